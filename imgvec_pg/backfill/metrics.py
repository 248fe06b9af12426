"""Prometheus metrics of a worker; docs/howto/monitoring.md explains each.

Nothing is counted for their sake: at each scrape they are read from the worker's stats, and the queue from its last
heartbeat.
"""

import ipaddress
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from imgvec_pg import __version__
from imgvec_pg.backfill.stats import BOUNDS_SECONDS, WorkerStats
from imgvec_pg.errors import UsageError

COUNTERS = {
    "imgvec_images_embedded": ("embedded", "Images embedded and written."),
    "imgvec_keys_finished": (
        "finished",
        "Keys taken off the queue for good: embedded, failed, outdated or gone from the source.",
    ),
    "imgvec_keys_delayed": ("delayed", "Keys enqueued again, to be tried later."),
    "imgvec_lease_lost": ("lost_jobs", "Jobs whose lease was lost before they were written."),
    "imgvec_database_reconnects": (
        "reconnects",
        "Times that the database was reached again after it was lost.",
    ),
}
"""Name -> the stats's field, and what it counts."""


class WorkerMetrics(Collector):
    """Metrics of one worker process."""

    def __init__(self, stats: WorkerStats, collection: str, model: str) -> None:
        self._stats = stats
        self._collection = collection
        self._model = model
        self._activities: set[str] = set()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as they are now."""
        yield InfoMetricFamily(
            "imgvec_worker",
            "What this process embeds.",
            {"collection": self._collection, "model": self._model, "version": __version__},
        )
        yield from self._counters()
        yield from self._worker()
        yield self._stages()
        yield from self._queue()

    def _counters(self) -> Iterator[Metric]:
        stats, labels = self._stats, ["collection"]
        for name, (attribute, help_text) in COUNTERS.items():
            family = CounterMetricFamily(name, help_text, labels=labels)
            family.add_metric([self._collection], getattr(stats, attribute))
            yield family
        failures = CounterMetricFamily(
            "imgvec_failures", "Rows that this process could not embed, by reason.", labels=[*labels, "code"]
        )
        for code, count in sorted(stats.failure_codes.copy().items()):
            failures.add_metric([self._collection, code], count)
        yield failures

    def _worker(self) -> Iterator[Metric]:
        stats = self._stats
        connected = GaugeMetricFamily(
            "imgvec_database_connected", "1 while this process has its connections.", labels=["collection"]
        )
        connected.add_metric([self._collection], float(stats.is_connected))
        yield connected
        activity = GaugeMetricFamily(
            "imgvec_worker_activity", "1 for what this process does now.", labels=["collection", "activity"]
        )
        now = stats.activity
        self._activities.add(now)
        for name in sorted(self._activities):
            activity.add_metric([self._collection, name], float(name == now))
        yield activity
        written = GaugeMetricFamily(
            "imgvec_last_write_timestamp_seconds",
            "When this process last took keys off the queue; 0 before the first time.",
            labels=["collection"],
        )
        written.add_metric([self._collection], stats.written_at)
        yield written

    def _stages(self) -> Metric:
        family = HistogramMetricFamily(
            "imgvec_batch_seconds",
            "Seconds that a batch spent in each stage: claim, read, wait (for pictures), embed, write.",
            labels=["collection", "stage"],
        )
        for stage, durations in self._stats.stages.snapshot().items():
            count, buckets = 0, []
            for bound, number in zip((*map(str, BOUNDS_SECONDS), "+Inf"), durations.steps, strict=True):
                count += number
                buckets.append((bound, count))
            family.add_metric([self._collection, stage], buckets, durations.total_seconds)
        return family

    def _queue(self) -> Iterator[Metric]:
        """Yield what the database said at the last look; nothing while it is away, rather than what is old."""
        queue = self._stats.queue
        if queue is None or not self._stats.is_connected:
            return
        rows = GaugeMetricFamily(
            "imgvec_queue_rows", "Keys in the queue: ready, leased, delayed.", labels=["collection", "state"]
        )
        for state in ("ready", "leased", "delayed"):
            rows.add_metric([self._collection, state], getattr(queue, state))
        yield rows
        for name, help_text, value in (
            (
                "imgvec_oldest_job_seconds",
                "How long the oldest ready key has waited.",
                queue.oldest_ready_seconds,
            ),
            (
                "imgvec_quarantined_jobs",
                "Quarantined jobs: a worker died with each; they are tried alone.",
                queue.quarantined,
            ),
        ):
            family = GaugeMetricFamily(name, help_text, labels=["collection"])
            family.add_metric([self._collection], value)
            yield family
        failed = GaugeMetricFamily(
            "imgvec_failed_rows",
            "Rows that stand in imgvec.failure now, by reason.",
            labels=["collection", "code"],
        )
        for code, count in sorted(queue.failures.items()):
            failed.add_metric([self._collection, code], count)
        yield failed


def worker_registry(stats: WorkerStats, collection: str, model: str) -> CollectorRegistry:
    """Return a registry of a worker's metrics and its process's memory, CPU time and open files."""
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(stats, collection, model))
    ProcessCollector(registry=registry)
    return registry


log = logging.getLogger(__name__)

CLIENT_SECONDS = 10.0
"""A client that sends nothing is dropped after so long."""


def _limit_clients(server: WSGIServer) -> None:
    """Drop clients that send nothing, for which prometheus_client waits without end: each holds a thread and a file."""

    class Handler(server.RequestHandlerClass):  # type: ignore[misc, name-defined]
        timeout = CLIENT_SECONDS

        def handle(self) -> None:
            # Else socketserver writes a traceback to stderr, amid the log.
            with suppress(TimeoutError, ConnectionError):
                super().handle()

    server.RequestHandlerClass = Handler


@contextmanager
def serving_metrics(
    port: int | None, host: str, make_registry: Callable[[], CollectorRegistry]
) -> Iterator[str | None]:
    """Serve while the `with` block lasts, and give the URL; no port, no server.

    Args:
        port: 0 chooses a free one.
        host: Address to listen on.
        make_registry: Called once.

    Raises:
        UsageError: The address cannot be listened on.
    """
    if port is None:
        yield None
        return
    try:
        server, thread = start_http_server(port, host, make_registry())
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"metrics cannot be served at {host}, port {port}: {reason}; choose another --metrics-port or --metrics-host"
        ) from error
    _limit_clients(server)
    if not is_loopback(host):
        log.warning(
            "metrics are read without a password by whoever reaches %s, port %d", host, server.server_port
        )
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
