"""Fetching the bytes of a picture by http or https, with limits on size, time and redirects."""

import email.utils
import http.client
import ssl
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urljoin

from imgvec_pg import __version__
from imgvec_pg.errors import ImageError
from imgvec_pg.images.fetching.http_connection import HostConnection, HostError, LateError
from imgvec_pg.images.fetching.http_pool import connections, may_be_kept
from imgvec_pg.images.fetching.url_rules import Url, UrlPrefix, check_url, parse_url
from imgvec_pg.images.limits import FETCH_SECONDS
from imgvec_pg.settings import Network

MAX_REDIRECTS = 5
MAX_RETRY_AFTER_SECONDS = 3600.0
MAX_QUOTED_CHARACTERS = 80
CHUNK_BYTES = 256 * 1024
HEADERS = {
    "User-Agent": f"imgvec-pg/{__version__}",
    "Accept": "image/*, */*;q=0.5",
    # A picture is compressed already; a server that does it all the same is read within the same limit.
    "Accept-Encoding": "identity",
}
REDIRECTS = (301, 302, 303, 307, 308)
DRAINED_BYTES = 64 * 1024
DRAIN_SECONDS = 0.1
"""The body of an answer that is no picture is read so far, to keep the connection; it mostly came along with its head."""


class LaterError(HostError):
    """A host said when to come again."""


def download(
    url: Url,
    prefixes: Sequence[UrlPrefix],
    networks: Sequence[Network],
    max_image_bytes: int,
    seconds: float = FETCH_SECONDS,
) -> bytes:
    """Return the body that a URL leads to.

    Args:
        prefixes: What it, and every redirect, must begin with.
        networks: Addresses allowed though they are not public.

    Raises:
        ImageError: `scheme_denied`, `address_denied`, `path_denied`, `not_found`, `fetch_limit` or `fetch_failed`.
        HostError: The host does not answer, or says "later".
    """
    deadline = time.monotonic() + seconds
    for _ in range(MAX_REDIRECTS + 1):
        check_url(url, prefixes)
        with _errors_explained(url, seconds):
            connection, response = connections.get(url, networks, HEADERS, deadline)
            is_whole = False
            try:
                _check_framing(response)
                location = response.headers.get("Location")
                if response.status == 200:
                    data = _read(url, response, max_image_bytes)
                    is_whole = True
                    return data
                is_whole = _drain(connection, response, deadline)
                if response.status not in REDIRECTS or not location:
                    raise _status_error(url, response)
                url = _redirected(url, location)
            finally:
                # Left to the garbage collector, it would be closed after what it reads from: Python 3.13 complains.
                response.close()
                if is_whole:
                    connections.keep(connection, response)
                else:
                    connection.hang_up()
    raise ImageError("fetch_limit", f"{url.shown} is redirected more than {MAX_REDIRECTS} times")


@contextmanager
def _errors_explained(url: Url, seconds: float) -> Iterator[None]:
    """Raise ImageError for what went wrong with a connection or an answer."""
    try:
        yield
    except (LateError, TimeoutError) as error:
        raise ImageError(
            "fetch_limit", f"{url.shown} took more than {seconds:.0f} s: it was given up", transient=True
        ) from error
    except http.client.IncompleteRead as error:
        # Of chunks http.client tells neither what is wrong with them nor how much is missing.
        how = (
            "ended before the length that it had announced"
            if error.expected
            else "is damaged, or ended before the last chunk"
        )
        raise ImageError("fetch_limit", f"{url.shown} {how}", transient=True) from error
    except ssl.SSLCertVerificationError as error:
        raise ImageError(
            "fetch_failed", f"{url.shown}: its certificate is not trusted ({error.verify_message})"
        ) from error
    except (http.client.HTTPException, OSError, ValueError) as error:
        reason = plain(getattr(error, "strerror", None) or str(error)) or type(error).__name__
        raise ImageError(
            "fetch_failed", f"{url.shown} cannot be fetched ({reason})", transient=True
        ) from error


def plain(text: str) -> str:
    """Return what a server wrote as it may stand in a message of one line."""
    return "".join(filter(str.isprintable, " ".join(text.split())))[:MAX_QUOTED_CHARACTERS]


def _redirected(url: Url, location: str) -> Url:
    host = f"[{url.host}]" if ":" in url.host else url.host
    return parse_url(urljoin(f"{url.scheme}://{host}:{url.port}{url.target}", location))


def _check_framing(response: http.client.HTTPResponse) -> None:
    """Refuse an answer with two different lengths: http.client would take the first (RFC 9112, section 6.3).

    Raises:
        http.client.HTTPException: It has.
    """
    lengths = set(map(str.strip, response.headers.get_all("Content-Length", [])))
    if len(lengths) > 1:
        raise http.client.HTTPException(f"it announces {len(lengths)} different lengths")


def _drain(connection: HostConnection, response: http.client.HTTPResponse, deadline: float) -> bool:
    """Read the body of an answer that is no picture, as far as it is short and quick; return whether that was all."""
    if not may_be_kept(response):
        return False
    connection.set_deadline(min(deadline, time.monotonic() + DRAIN_SECONDS))
    count = 0
    try:
        while chunk := response.read1(DRAINED_BYTES):
            count += len(chunk)
            if count > DRAINED_BYTES:
                return False
    except (http.client.HTTPException, OSError, ValueError):
        return False
    return not response.length


def _status_error(url: Url, response: http.client.HTTPResponse) -> ImageError:
    """Return what to raise for an answer that is no picture."""
    status, said = (
        response.status,
        f"{url.shown} answered {response.status} {plain(response.reason)}".rstrip(),
    )
    if status in (429, 503):
        return LaterError(
            "fetch_later",
            f"{said}: it is asked again later",
            transient=True,
            retry_after_seconds=_retry_after_seconds(response.headers.get("Retry-After")),
            counts_as_attempt=False,
        )
    if status in (404, 410):
        return ImageError("not_found", said, transient=status == 404)
    return ImageError("fetch_failed", said, transient=status >= 500 or status in (408, 425))


def _retry_after_seconds(value: str | None) -> float | None:
    """Read Retry-After, seconds or a date; None where it is missing or neither."""
    if value is None:
        return None
    try:
        if value.strip().isdigit():
            seconds = float(value)
        else:
            seconds = (
                email.utils.parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC)
            ).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 1.0), MAX_RETRY_AFTER_SECONDS)


def _read(url: Url, response: http.client.HTTPResponse, max_image_bytes: int) -> bytes:
    if response.length is not None and response.length > max_image_bytes:
        raise _too_long(url, f"announces {response.length} bytes", max_image_bytes)
    encoding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", "deflate"):
        raise ImageError(
            "fetch_failed", f"{url.shown} comes in the encoding {plain(encoding)!r}, which was not asked for"
        )
    # 32: gzip or zlib, by what it begins with.
    inflate = None if encoding == "identity" else zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    data = bytearray()
    try:
        while chunk := response.read1(CHUNK_BYTES):
            while chunk:
                data += chunk if inflate is None else inflate.decompress(chunk, CHUNK_BYTES)
                # What a step did not get to: so much the worse for a bomb, it grows by small steps only.
                chunk = b"" if inflate is None else inflate.unconsumed_tail
                if len(data) > max_image_bytes:
                    raise _too_long(url, "goes on", max_image_bytes)
    except zlib.error as error:
        raise ImageError("fetch_failed", f"{url.shown} is no valid {encoding} ({error})") from error
    # read1 does not complain of a body that ends early.
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return bytes(data)


def _too_long(url: Url, how: str, limit: int) -> ImageError:
    return ImageError("fetch_limit", f"{url.shown} {how}, at most {limit} are read: store a smaller picture")
