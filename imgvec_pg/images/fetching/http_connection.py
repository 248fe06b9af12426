"""Connections to hosts that rows name: to addresses that were looked at, and never for longer than a deadline."""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import cache
from threading import Thread
from typing import Any

from imgvec_pg.errors import ImageError
from imgvec_pg.images.fetching.ssrf import is_allowed
from imgvec_pg.images.fetching.url_rules import Url
from imgvec_pg.images.limits import CONNECT_SECONDS
from imgvec_pg.settings import Network

MAX_ADDRESSES = 4
"""Tried of one name."""


class HostError(ImageError):
    """A host did not answer: it, not the picture, is the one to wait for."""


class LateError(OSError):
    """The deadline is over."""


class TimedConnection(http.client.HTTPConnection):
    """A connection to an allowed address of a URL's host.

    Args:
        deadline: By time.monotonic(); every wait ends then, however slowly bytes trickle in.
    """

    def __init__(self, url: Url, networks: Sequence[Network], deadline: float) -> None:
        super().__init__(url.host, url.port)
        self.default_port = {"http": 80, "https": 443}[url.scheme]
        self._url = url
        self._networks = networks
        self._deadline = deadline
        self._opened: socket.socket | None = None

    def connect(self) -> None:
        """Connect, and look at the address that was really connected.

        Raises:
            ImageError: `address_denied`.
            HostError: It has no address, or does not answer.
        """
        addresses = resolve(self._url, self._deadline)
        # One denied address condemns the name: the others are there to look innocent.
        for address in addresses:
            check_address(self._url, address, self._networks)
        self._opened = self._open(addresses)
        check_address(self._url, self._opened.getpeername()[0], self._networks)
        if self._url.scheme == "https":
            self._opened.settimeout(left(self._deadline))
            self._opened = tls_context().wrap_socket(self._opened, server_hostname=self._url.host)
        self.sock: Any = _TimedSocket(self._opened, self._deadline)

    def hang_up(self) -> None:
        """Close it; `close` alone does not, as http.client calls that before the answer is read."""
        self.close()
        if self._opened is not None:
            self._opened.close()

    def _open(self, addresses: Sequence[str]) -> socket.socket:
        problem: OSError | None = None
        for address in addresses[:MAX_ADDRESSES]:
            try:
                seconds = min(left(self._deadline), CONNECT_SECONDS)
                return socket.create_connection((address, self._url.port), seconds)
            except OSError as error:
                problem = error
        reason = (problem and problem.strerror) or "it does not answer"
        raise HostError(
            "fetch_failed", f"{self._url.shown}: no connection to its host ({reason})", transient=True
        ) from problem


class _TimedSocket:
    """The part of a socket that http.client needs, with a deadline for all of it."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(left(self._deadline))
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._socket, self._deadline))

    def close(self) -> None:
        """Leave the socket to those who read from it, as a real one does."""


class _TimedReader(io.RawIOBase):
    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - as RawIOBase has it
        self._socket.settimeout(left(self._deadline))
        return self._socket.recv_into(buffer)


def left(deadline: float) -> float:
    """Return the seconds until a deadline.

    Raises:
        LateError: It is over.
    """
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise LateError("the time is over")
    return seconds


def check_address(url: Url, address: str, networks: Sequence[Network]) -> None:
    """Refuse an address that is not public, unless its network is allowed.

    Raises:
        ImageError: `address_denied`.
    """
    if not is_allowed(address, networks):
        raise ImageError(
            "address_denied",
            f"{url.shown} leads to {address}, which is not a public address: nothing is fetched from there "
            "unless the worker's IMGVEC_ALLOW_NETWORKS has it",
        )


def resolve(url: Url, deadline: float) -> list[str]:
    """Return the addresses of a URL's host; a name server that does not answer is not waited for beyond the deadline.

    Raises:
        HostError: It has none.
    """
    found: Future[list[str]] = Future()

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
            found.set_result(list(dict.fromkeys(str(entry[4][0]) for entry in entries)))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)

    # getaddrinfo knows no time limit; a thread that waits for it is left behind.
    Thread(target=look_up, daemon=True, name="imgvec-resolve").start()
    try:
        return found.result(min(left(deadline), CONNECT_SECONDS))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no answer in time"
        raise HostError(
            "fetch_failed", f"{url.shown}: its host has no address ({reason})", transient=True
        ) from error


@cache
def tls_context() -> ssl.SSLContext:
    """Return the one context for all connections: certificates are checked against the system's."""
    return ssl.create_default_context()
