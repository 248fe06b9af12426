"""Serves a worker's metrics over HTTP, to this machine only unless told otherwise."""

import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from imgvec_pg.errors import UsageError

log = logging.getLogger(__name__)

CLIENT_SECONDS = 10.0
"""A client that sends nothing is dropped after so long."""


class QuietHandler(WSGIRequestHandler):
    """Handles one client, without a line in the log for each scrape."""

    timeout = CLIENT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: ANN401 - the base class's own
        """Say it at the level debug only."""
        log.debug(format, *args)


class MetricsServer(ThreadingWSGIServer):
    """A server whose threads end with the process."""

    daemon_threads = True


class MetricsServer6(MetricsServer):
    """The same on an IPv6 address."""

    address_family = socket.AF_INET6


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
        server = make_server(
            host,
            port,
            make_wsgi_app(make_registry()),
            server_class=MetricsServer6 if ":" in host else MetricsServer,
            handler_class=QuietHandler,
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"metrics cannot be served at {host}, port {port}: {reason}; choose another --metrics-port or --metrics-host"
        ) from error
    if not is_loopback(host):
        log.warning(
            "metrics are read without a password by whoever reaches %s, port %d", host, server.server_port
        )
    thread = threading.Thread(target=server.serve_forever, daemon=True, name="imgvec-metrics")
    thread.start()
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
