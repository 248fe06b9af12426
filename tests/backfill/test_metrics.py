"""What a worker tells those who watch it: metrics as Prometheus reads them, and a log of one object a line."""

import json
import random
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from imgvec_faulty_embedder import RAISER
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from workers import (
    Running,
    count,
    failures,
    imgvec,
    make_table,
    picture,
    put_file,
    queued_keys,
    random_picture,
    running,
    wait_until,
)

from imgvec_pg.backfill import metrics
from imgvec_pg.backfill.metrics import serving_metrics, worker_registry
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.store.queue.queue_stats import read_queue_state
from imgvec_pg.store.registry import get_collection

NAME = "photo_grid"
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "monitoring.md"
Samples = dict[tuple[str, tuple[str, ...]], float]


def scrape(worker: Running) -> tuple[Samples, dict[str, str]]:
    """Return samples by name and the values of their labels, and the type of each family."""
    found = re.search(r"http://127\.0\.0\.1:\d+/metrics", worker.text())
    assert found is not None, worker.text()
    with urllib.request.urlopen(found[0], timeout=900) as answer:  # noqa: S310
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = {
        (sample.name, labels_of(sample.labels)): sample.value
        for family in families
        for sample in family.samples
    }
    return samples, {family.name: family.type for family in families}


def labels_of(labels: dict[str, str]) -> tuple[str, ...]:
    """Return the values, that of `collection` first and of `le` last."""
    order = ("collection", "model", "version", "stage", "code", "state", "activity", "le")
    return tuple(labels[name] for name in order if name in labels)


@pytest.fixture
def worker(
    connection: Connection, database: str, plugin_environment: dict[str, str], tmp_path: Path
) -> Iterator[Running]:
    """A worker that has worked off 40 good rows, a file that is cut short, one that the model refuses and one not there."""
    make_table(connection, tmp_path, 40)
    put_file(connection, tmp_path, 41, random_picture(random.Random(1))[:60])
    put_file(connection, tmp_path, 42, picture(RAISER))
    connection.execute("INSERT INTO photo (id, path) VALUES (43, '43.png')")
    arguments = (
        "worker",
        NAME,
        "--device",
        "cpu",
        "--metrics-port",
        "0",
        "--log-format",
        "json",
        "--batch-size",
        "16",
    )
    with running(database, plugin_environment, tmp_path, *arguments, IMGVEC_LEASE_SECONDS="2") as process:
        wait_until(lambda: "metrics at" in process.text(), "the metrics")
        wait_until(lambda: queued_keys(connection) == 1, "the queue to hold what is delayed", 60)
        later = "UPDATE imgvec.job SET run_after = now() + interval '1 hour' WHERE token IS NULL"
        wait_until(lambda: connection.execute(later).rowcount, "the key to be delayed")
        yield process


def test_metrics_are_the_official_format_and_say_what_the_database_says(
    connection: Connection, worker: Running
) -> None:
    def seen(name: str, *labels: str) -> float | None:
        return scrape(worker)[0].get((name, (NAME, *labels)))

    wait_until(lambda: seen("imgvec_queue_rows", "delayed") == 1, "a heartbeat")
    samples, types = scrape(worker)

    def value(name: str, *labels: str) -> float:
        return samples[(name, (NAME, *labels))]

    assert value("imgvec_images_embedded_total") == count(connection, "imgvec.photo_grid_embedding") == 40
    assert set(failures(connection).values()) == {"truncated", "embed_error"}
    assert value("imgvec_failures_total", "truncated") == 1
    assert value("imgvec_failures_total", "embed_error") == 1
    assert value("imgvec_failed_rows", "truncated") == 1
    assert value("imgvec_keys_finished_total") == 42
    assert value("imgvec_keys_delayed_total") in (1, 2)
    assert value("imgvec_queue_rows", "ready") == value("imgvec_queue_rows", "leased") == 0
    assert value("imgvec_oldest_job_seconds") == 0
    assert value("imgvec_database_connected") == 1
    assert value("imgvec_database_reconnects_total") == value("imgvec_lease_lost_total") == 0
    assert time.time() - 60 < value("imgvec_last_write_timestamp_seconds") <= time.time()
    batches = value("imgvec_batch_seconds_count", "embed")
    # Looks into an empty queue are no claims.
    assert 1 <= value("imgvec_batch_seconds_count", "claim") <= 43 + 2
    assert 1 <= batches <= value("imgvec_batch_seconds_count", "read") <= 43
    assert samples[("imgvec_batch_seconds_bucket", (NAME, "embed", "+Inf"))] == batches
    assert 0 < value("imgvec_batch_seconds_sum", "embed") < 60
    [info] = [labels for name, labels in samples if name == "imgvec_worker_info"]
    assert info[:2] == (NAME, "faulty-grid")
    assert samples[("process_resident_memory_bytes", ())] > 1 << 20

    # What is served is what the page explains, with its type, and nothing else.
    rows = re.findall(r"^\| `(imgvec_\w+?)(?:_total)?[`{][^|]*\| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    assert dict(rows) == {name: kind for name, kind in types.items() if name.startswith("imgvec_")}


def test_a_lost_database_is_told_and_counted_once_it_is_back(connection: Connection, worker: Running) -> None:
    def connected() -> float:
        return scrape(worker)[0][("imgvec_database_connected", (NAME,))]

    # No new session is let in, and those of the worker are ended.
    database = connection.info.dbname
    with psycopg.connect(connection.info.dsn.replace(database, "postgres"), autocommit=True) as other:
        other.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false'.encode())
        try:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND application_name LIKE 'imgvec worker%%'",
                [database],
            )
            wait_until(lambda: connected() == 0, "the loss to be noticed")
            assert ("imgvec_queue_rows", (NAME, "ready")) not in scrape(worker)[0]
        finally:
            other.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true'.encode())
    wait_until(lambda: connected() == 1, "the database to be back")
    assert scrape(worker)[0][("imgvec_database_reconnects_total", (NAME,))] == 1


def test_each_line_of_the_log_is_one_object(worker: Running) -> None:
    worker.send(signal.SIGTERM)
    assert worker.wait() == 143
    entries = [json.loads(line) for line in worker.text().splitlines()]
    said = [entry["message"] for entry in entries]
    assert f"worker for {NAME} (faulty-grid) is ready" in said
    assert "finishing the batch in hand; ctrl-C once more leaves at once" in said
    counted = [entry for entry in entries if "embedded" in entry]
    assert counted[-1]["embedded"] == 40 and counted[-1]["collection"] == NAME
    for entry in entries:
        assert {"time", "level", "message", "logger", "pid"} <= entry.keys()


def test_a_backfill_serves_metrics_and_ends_in_json_too(
    connection: Connection, database: str, plugin_environment: dict[str, str], tmp_path: Path
) -> None:
    make_table(connection, tmp_path, 4, model="color-grid")
    options = (
        "backfill",
        NAME,
        "--device",
        "cpu",
        "--no-index",
        "--metrics-port",
        "0",
        "--log-format",
        "json",
    )
    done = imgvec(database, plugin_environment, *options)
    assert done.returncode == 0
    assert [json.loads(line)["message"][:10] for line in done.stderr.splitlines()] == ["metrics at"]
    tmp_path.joinpath("2.png").rename(tmp_path / "elsewhere.png")
    refused = imgvec(database, plugin_environment, *options, "--root", str(tmp_path / "none"))
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert json.loads(line)["level"] == "error" and "is not on this machine" in json.loads(line)["message"]
    assert imgvec(database, plugin_environment, *options, "--workers", "2").returncode == 2


def registry() -> CollectorRegistry:
    return worker_registry(WorkerStats(), "photo", "demo")


def test_metrics_listen_on_loopback_and_a_taken_port_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with serving_metrics(0, "127.0.0.1", registry) as url:
        assert url is not None
        port = urlsplit(url).port
        with (
            pytest.raises(
                UsageError, match=f"port {port}: Address already in use; choose another --metrics-port"
            ),
            serving_metrics(port, "127.0.0.1", registry),
        ):
            pass
        assert not caplog.records
    with serving_metrics(port, "127.0.0.1", registry) as url:  # The first has given it up.
        assert url == f"http://127.0.0.1:{port}/metrics"
    with serving_metrics(0, "0.0.0.0", registry) as url:  # noqa: S104
        assert url is not None and url.startswith("http://0.0.0.0:")
    assert "read without a password by whoever reaches 0.0.0.0" in caplog.text
    with serving_metrics(None, "127.0.0.1", registry) as url:
        assert url is None


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("nowhere.invalid", 0, "not known|resolution"),
        ("203.0.113.7", 0, "Cannot assign requested address"),
        ("127.0.0.1", 70_000, "port must be 0-65535"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_told_in_one_line(host: str, port: int, reason: str) -> None:
    with (
        pytest.raises(UsageError, match=rf"^metrics cannot be served at {host}, port {port}: .*{reason}.*;"),
        serving_metrics(port, host, registry),
    ):
        pass


def has_ipv6() -> bool:
    """Whether this machine has ::1; many containers do not."""
    try:
        with socket.socket(socket.AF_INET6) as asking:
            asking.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_metrics_are_served_over_ipv6(caplog: pytest.LogCaptureFixture) -> None:
    with serving_metrics(0, "::1", registry) as url:
        assert url is not None and url.startswith("http://[::1]:")
        with urllib.request.urlopen(url, timeout=900) as answer:  # noqa: S310
            assert b"imgvec_worker_info" in answer.read()
    assert not caplog.records


def test_a_client_that_sends_nothing_is_dropped_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics, "CLIENT_SECONDS", 0.5)
    with serving_metrics(0, "127.0.0.1", registry) as url:
        assert url is not None
        address = ("127.0.0.1", urlsplit(url).port)
        with socket.create_connection(address, 5) as silent, socket.create_connection(address, 5) as half:
            half.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
            with urllib.request.urlopen(url, timeout=900) as answer:  # noqa: S310
                assert b"imgvec_worker_info" in answer.read()
            assert silent.recv(1) == half.recv(1) == b""
    said = capfd.readouterr()
    assert said.out == said.err == "", "neither the scrape nor the clients that were dropped"


def test_the_queue_is_counted_by_state(connection: Connection, tmp_path: Path) -> None:
    make_table(connection, tmp_path, 6, listed=False)
    collection = get_collection(connection, NAME)
    connection.execute(
        "INSERT INTO imgvec.job (collection_id, version, keys, deaths, token, lease_until, run_after)"
        " SELECT %s, 1, keys, deaths, CASE WHEN lease IS NOT NULL THEN gen_random_uuid() END, now() + lease, now() + after"
        " FROM (VALUES ('[{\"id\": 1}, {\"id\": 2}]'::jsonb, 0, NULL::interval, interval '-90 seconds'),"
        " ('[{\"id\": 3}]', 1, interval '-1 second', interval '-100 seconds'),"
        " ('[{\"id\": 4}]', 0, interval '1 minute', interval '-1 hour'),"
        " ('[{\"id\": 5}, {\"id\": 6}]', 0, NULL, interval '1 hour')) AS v(keys, deaths, lease, after)",
        [collection.id],
    )
    state = read_queue_state(connection, collection.id)
    assert (state.ready, state.leased, state.delayed, state.quarantined, state.failures) == (3, 1, 2, 1, {})
    assert 100 <= state.oldest_ready_seconds < 130
