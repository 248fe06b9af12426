"""Keep HTTP connections open for the next picture of their host.

A connection is kept only after a whole answer that left nothing behind, and goes to one thread at a time, for the same
scheme, host and port: a TLS connection never serves another name. Its address was checked when it was connected, and is
checked again by the rules of each request that takes it. The name is resolved anew with each connection, so a host whose
name comes to lead to a denied address is reached for at most MAX_AGE_SECONDS more, by requests begun until then.

Own code and not urllib3's or httpcore's pool, since neither keeps what rows of others demand (tried with urllib3 2.8 and
httpcore2 2.16). A second answer that a host sends behind the first is taken for the answer to the next request by httpcore,
and by urllib3 after a 103; in two parts it breaks urllib3's next request. A connection has no greatest age, and name
resolution, headers and body are under no common deadline. What would remain of them is this list of idle connections.
"""

import atexit
import contextlib
import http.client
import os
import re
import ssl
import threading
import time
from collections.abc import Mapping, Sequence

from imgvec_pg.images.fetching.http_connection import HostConnection
from imgvec_pg.images.fetching.url_rules import Url
from imgvec_pg.network_addresses import is_allowed
from imgvec_pg.settings import Network

MAX_IDLE_PER_HOST = 4
"""As many as a worker's requests at once to one host."""
MAX_IDLE = 16
"""As many as a worker's requests at once to all hosts. Those in use are bounded by their threads."""
IDLE_SECONDS = 10.0
"""Closed after so long, at the latest twice as long. Most servers close after 5 to 75, which the next request notices."""
MAX_AGE_SECONDS = 30.0
"""From connecting to the start of a request: for so long one look at the name server holds."""

_DIGITS = re.compile(r"[0-9]+", re.ASCII)


class ConnectionPool:
    """Idle connections by scheme, host and port; safe in any number of threads, and empty in a forked process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[HostConnection] = []
        self._sweeper: threading.Timer | None = None

    def get(
        self, url: Url, networks: Sequence[Network], headers: Mapping[str, str], deadline: float
    ) -> tuple[HostConnection, http.client.HTTPResponse]:
        """Request a URL, and return the connection with the head of its answer.

        The caller gives the connection back by `keep` once the body is read, or hangs up.

        A host may close a kept connection just as the next request is under way: the request is then sent once more on
        a new one, provided that not one byte of an answer had come.

        Raises:
            ImageError: `address_denied`.
            HostError: It has no address, or does not answer.
            OSError, http.client.HTTPException: As the connection fails.
        """
        kept = self._take(url, networks)
        if kept is not None:
            try:
                return kept, kept.get(url.target, headers, deadline)
            except BaseException as error:
                kept.hang_up()
                # http.client.RemoteDisconnected is a ConnectionError.
                if kept.received_bytes or not isinstance(error, ConnectionError | ssl.SSLError):
                    raise
        new = HostConnection(url)
        try:
            new.open(url, networks, deadline)
            return new, new.get(url.target, headers, deadline)
        except BaseException:
            new.hang_up()
            raise

    def keep(self, connection: HostConnection, response: http.client.HTTPResponse) -> None:
        """Keep a connection whose answer was read to its end and closed; hang up if it may not serve another request."""
        if not may_be_kept(response) or not connection.is_quiet():
            connection.hang_up()
            return
        connection.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(connection)
            of_host = [other for other in self._idle if other.authority == connection.authority]
            dropped = [*self._expired(), *of_host[:-MAX_IDLE_PER_HOST], *self._idle[:-MAX_IDLE]]
            self._drop(dropped)
            self._sweep_later()

    def close(self) -> None:
        """Close all that are idle; those in use stay with their thread."""
        with self._lock:
            self._drop(list(self._idle))
            if self._sweeper is not None:
                self._sweeper.cancel()
                self._sweeper = None

    def forget(self) -> None:
        """Begin anew in a forked process, whose parent goes on using the same connections."""
        # The parent's other threads, the holder of the lock and the timer among them, are not in this process.
        self._lock = threading.Lock()
        self._sweeper = None
        # Closes this process's handle alone, and says nothing to the host.
        self._drop(list(self._idle))

    def _take(self, url: Url, networks: Sequence[Network]) -> HostConnection | None:
        """Return the connection used last of those that are fit for a request, and drop those found unfit."""
        with self._lock:
            self._drop(self._expired())
            for connection in reversed(self._idle.copy()):
                if connection.authority != url.authority:
                    continue
                if connection.is_quiet() and is_allowed(connection.peer, networks):
                    self._idle.remove(connection)
                    return connection
                self._drop([connection])
        return None

    def _expired(self) -> list[HostConnection]:
        now = time.monotonic()
        return [
            connection
            for connection in self._idle
            if now - connection.opened_at > MAX_AGE_SECONDS or now - connection.idle_since > IDLE_SECONDS
        ]

    def _drop(self, connections: Sequence[HostConnection]) -> None:
        for connection in connections:
            if connection in self._idle:
                self._idle.remove(connection)
                connection.hang_up()

    def _sweep_later(self) -> None:
        """Close idle connections also where no further request comes."""
        if self._sweeper is None and self._idle:
            sweeper = threading.Timer(IDLE_SECONDS, self._sweep)
            sweeper.daemon = True
            # No thread can be started while the process ends, which closes them all the same.
            with contextlib.suppress(RuntimeError):
                sweeper.start()
                self._sweeper = sweeper

    def _sweep(self) -> None:
        with self._lock:
            if self._sweeper is not threading.current_thread():
                return
            self._sweeper = None
            self._drop(self._expired())
            self._sweep_later()


def may_be_kept(response: http.client.HTTPResponse) -> bool:
    """Whether a connection may serve another request once this answer's body is read.

    Where the end of a body is open to doubt (RFC 9112, section 6.3), what follows it may be part of it: no.
    """
    lengths = response.headers.get_all("Content-Length", [])
    codings = response.headers.get_all("Transfer-Encoding", [])
    options = ",".join(response.headers.get_all("Connection", [])).lower()
    is_delimited = (
        [coding.strip().lower() for coding in codings] == ["chunked"]
        if codings
        else len(lengths) == 1 and _DIGITS.fullmatch(lengths[0].strip()) is not None
    )
    return (
        # 1xx is followed by another answer; 204, 205 and 304 by whatever a faulty server takes for their body.
        response.status >= 200
        and response.status not in (204, 205, 304)
        and response.version == 11
        and not response.will_close
        and "close" not in map(str.strip, options.split(","))
        and is_delimited
        and not (codings and lengths)
    )


connections = ConnectionPool()
"""What this process keeps open."""
os.register_at_fork(after_in_child=connections.forget)
atexit.register(connections.close)
