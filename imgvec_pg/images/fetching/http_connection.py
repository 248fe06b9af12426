"""HTTP/1.1 connections to hosts that rows name: to addresses that were checked, every wait bounded by a deadline."""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from threading import Thread
from typing import Any

from imgvec_pg.errors import ImageError
from imgvec_pg.images.fetching.url_rules import WEB, Url
from imgvec_pg.images.limits import CONNECT_SECONDS
from imgvec_pg.network_addresses import is_allowed
from imgvec_pg.settings import Network

MAX_ADDRESSES = 4
"""Tried of one name."""


class HostError(ImageError):
    """A host did not answer: it, not the picture, is the one to wait for."""


class LateError(OSError):
    """The deadline is over."""


class HostConnection(http.client.HTTPConnection):
    """A connection to an allowed address of one host, for one request after another; one thread uses it at a time.

    Attributes:
        authority: Scheme, host and port that it was opened for. It serves no other, nor does its TLS session.
        peer: Address that was really connected.
        opened_at, idle_since: By time.monotonic().
    """

    # Otherwise http.client would connect again by itself.
    auto_open = 0

    def __init__(self, url: Url) -> None:
        super().__init__(url.host, url.port)
        self.default_port = WEB[url.scheme]
        self.authority = url.authority
        self.peer = ""
        self.opened_at = self.idle_since = 0.0
        self._opened: socket.socket | None = None
        self._stream: _TimedStream

    def open(self, url: Url, networks: Sequence[Network], deadline: float) -> None:
        """Resolve the host, connect, check the address that was really connected and, by https, the certificate.

        Args:
            networks: Addresses allowed though they are not public.
            deadline: By time.monotonic().

        Raises:
            ImageError: `address_denied`.
            HostError: It has no address, or does not answer.
        """
        addresses = resolve(url, deadline)
        # One denied address condemns the name: the others are there to look innocent.
        for address in addresses:
            check_address(url, address, networks)
        self._opened = _connect(url, addresses, deadline)
        self.peer = self._opened.getpeername()[0]
        check_address(url, self.peer, networks)
        if url.scheme == "https":
            self._opened.settimeout(left(deadline))
            self._opened = tls_context().wrap_socket(self._opened, server_hostname=url.host)
        self.opened_at = time.monotonic()
        self._stream = _TimedStream(self._opened)
        self.sock: Any = _TimedSocket(self._opened, self._stream)

    def get(self, target: str, headers: Mapping[str, str], deadline: float) -> http.client.HTTPResponse:
        """Send a request and read the head of its answer; `deadline` holds for the body too."""
        self._stream.received_bytes = 0
        self._stream.deadline = deadline
        self.request("GET", target, headers=headers)
        return self.getresponse()

    def set_deadline(self, deadline: float) -> None:
        """Bound all further waits by another deadline, by time.monotonic()."""
        self._stream.deadline = deadline

    @property
    def received_bytes(self) -> int:
        """Bytes that have come since the last request was begun."""
        return self._stream.received_bytes

    def is_quiet(self) -> bool:
        """Whether it is open and nothing has come that was not asked for; returns at once."""
        return self.sock is not None and self.sock.is_quiet()

    def hang_up(self) -> None:
        """Close it; `close` alone does not, as http.client calls that before the answer is read."""
        self.close()
        if self._opened is not None:
            self._opened.close()


class _TimedStream(io.RawIOBase):
    """The bytes that come from a socket.

    Attributes:
        deadline: By time.monotonic(); every wait ends then, however slowly bytes trickle in.
        may_wait: Else only what has arrived is read.
        has_ended: The host has closed its side.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self.deadline = 0.0
        self.may_wait = True
        self.has_ended = False
        self.received_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - as RawIOBase has it
        self._socket.settimeout(left(self.deadline) if self.may_wait else 0.0)
        try:
            count = self._socket.recv_into(buffer)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        self.received_bytes += count
        self.has_ended = self.has_ended or not count
        return count


class _SharedReader(io.BufferedReader):
    """One buffer for all answers: what a host sends behind an answer stays in it, where `is_quiet` finds it."""

    def close(self) -> None:
        """Stay open for the next answer: http.client closes what it has read an answer from."""


class _TimedSocket:
    """The part of a socket that http.client needs."""

    def __init__(self, connected: socket.socket, stream: _TimedStream) -> None:
        self._socket = connected
        self._stream = stream
        self._reader = _SharedReader(stream)

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(left(self._stream.deadline))
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return self._reader

    def is_quiet(self) -> bool:
        """Whether nothing is buffered, nothing has arrived and the host has not closed."""
        self._stream.may_wait = False
        try:
            # Of a TLS connection this also takes in session tickets and the like, which are no answer.
            return not self._reader.peek(1) and not self._stream.has_ended
        except OSError:
            return False
        finally:
            self._stream.may_wait = True

    def close(self) -> None:
        """Leave the socket to those who read from it, as a real one does."""


def _connect(url: Url, addresses: Sequence[str], deadline: float) -> socket.socket:
    problem: OSError | None = None
    for address in addresses[:MAX_ADDRESSES]:
        try:
            seconds = min(left(deadline), CONNECT_SECONDS)
            return socket.create_connection((address, url.port), seconds)
        except OSError as error:
            problem = error
    reason = (problem and problem.strerror) or "it does not answer"
    raise HostError(
        "fetch_failed", f"{url.shown}: no connection to its host ({reason})", transient=True
    ) from problem


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
