"""One request to the server of a model: to an address that is allowed, by a deadline, with an answer of bounded length."""

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import urlsplit

from imgvec_pg import __version__
from imgvec_pg.errors import ModelAnswerError, ModelAwayError
from imgvec_pg.network_addresses import is_allowed
from imgvec_pg.settings import allowed_networks, embedder_key

CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 << 20
CHUNK_BYTES = 256 << 10
PORTS = {"http": 80, "https": 443}


class NotServedError(ModelAnswerError):
    """Whatever is asked, this server is not to be asked, or does not answer: its address, its key, its model."""


class NotFoundError(NotServedError):
    """The server knows no such path, or no such model there: another dialect may."""


@dataclass(frozen=True)
class Request:
    """What a server is asked: GET where there is no body.

    Attributes:
        path: Below the path of the server's URL, as it is sent.
        headers: Beside those of every request; JSON both ways where they do not say otherwise.
    """

    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ServerConnection:
    """A kept connection to one server; one thread uses it at a time. Redirects are not followed: the key would go along.

    Args:
        url: Where the server's API is.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.scheme, self.host = parts.scheme, str(parts.hostname)
        self.port = parts.port or PORTS[parts.scheme]
        self.path = parts.path.rstrip("/")
        self.shown = f"{self.scheme}://{parts.netloc}{self.path}"
        self._open: http.client.HTTPConnection | None = None

    def send(self, request: Request, seconds: float) -> Reply:
        """Send a request and return the answer, once more on a new connection where a kept one was closed meanwhile.

        Raises:
            ModelAwayError: It cannot be reached, or did not answer in time.
            NotServedError: Its address is not allowed, its certificate not trusted, or its answer too long.
        """
        deadline = time.monotonic() + seconds
        was_kept = self._open is not None
        try:
            return self._send(request, deadline)
        except (ConnectionError, http.client.HTTPException) as error:
            self.close()
            if not was_kept:
                raise self._away(error) from error
        except OSError as error:
            self.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                raise NotServedError(
                    f"the certificate of {self.shown} is not trusted ({error.verify_message})"
                ) from error
            raise self._away(error, seconds) from error
        except BaseException:
            self.close()
            raise
        try:
            return self._send(request, deadline)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._away(error, seconds) from error

    def close(self) -> None:
        """Hang up."""
        if self._open is not None:
            with contextlib.suppress(OSError):
                self._open.close()
            self._open = None

    def _away(self, error: Exception, seconds: float = 0) -> ModelAwayError:
        if isinstance(error, TimeoutError):
            return ModelAwayError(f"the server {self.shown} did not answer within {seconds:.0f} s")
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return ModelAwayError(
            f"the server {self.shown} cannot be reached ({' '.join(str(reason).split())[:80]})"
        )

    def _send(self, request: Request, deadline: float) -> Reply:
        if self._open is None:
            self._open = self._connect(deadline)
        connection = self._open
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"imgvec-pg/{__version__}",
            **request.headers,
        }
        if key := embedder_key():
            headers["Authorization"] = f"Bearer {key}"
        connection.sock.settimeout(_left(deadline))
        method = "GET" if request.body is None else "POST"
        connection.request(method, f"{self.path}{request.path}", body=request.body, headers=headers)
        response = connection.getresponse()
        data = bytearray()
        # Closed even where it fails, else http.client would take no further request.
        with contextlib.closing(response):
            while chunk := response.read1(CHUNK_BYTES):
                data += chunk
                if len(data) > MAX_ANSWER_BYTES:
                    raise ModelAnswerError(
                        f"the answer of {self.shown} is longer than {MAX_ANSWER_BYTES >> 20} MB; expected embeddings only"
                    )
                if connection.sock is not None:
                    connection.sock.settimeout(_left(deadline))
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
        if response.will_close:
            self.close()
        return Reply(
            response.status, {name.lower(): value for name, value in response.headers.items()}, bytes(data)
        )

    def _connect(self, deadline: float) -> http.client.HTTPConnection:
        """Resolve the host and connect to the first of its addresses that answers; all of them must be allowed."""
        networks = allowed_networks()
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if not is_allowed(address, networks):
                raise NotServedError(
                    f"the server {self.shown} is at {address}, an address that is not public; where that is meant, "
                    f"allow it: IMGVEC_ALLOW_NETWORKS={address}"
                )
        failed: OSError = OSError("it has no address")
        for address in addresses[:4]:
            try:
                sock = socket.create_connection((address, self.port), min(CONNECT_SECONDS, _left(deadline)))
            except OSError as error:
                failed = error
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = http.client.HTTPConnection(self.host, self.port)
            connection.auto_open = 0
            connection.sock = (
                _tls().wrap_socket(sock, server_hostname=self.host) if self.scheme == "https" else sock
            )
            return connection
        raise failed


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
