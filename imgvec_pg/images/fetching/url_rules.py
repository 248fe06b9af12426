"""URLs of pictures: which of them a collection allows.

A URL in a table is data that others wrote. The owner of the collection says which prefixes it may begin with.
"""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from imgvec_pg.errors import ImageError, UsageError
from imgvec_pg.images.reference import SHOWN_CHARACTERS

WEB = {"http": 80, "https": 443}
STORES = ("s3", "gs", "gcs", "az", "abfs", "abfss")
"""Object stores that fsspec opens: within one bucket a key cannot lead anywhere else."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_HOST = re.compile(r"[a-z0-9_.:-]+")


@dataclass(frozen=True)
class Url:
    """A URL that was taken apart.

    Attributes:
        scheme: In lower case.
        host: In lower case, in ASCII, without brackets; of a store, the bucket as written.
        port: Never missing for http and https; 0 for a store.
        target: Path and query, percent-encoded; of a store, the key as written.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def shown(self) -> str:
        """It may stand in a message so: without the query, where the secrets of signed URLs are."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port in (0, WEB.get(self.scheme)) else f":{self.port}"
        path, question, _ = self.target.partition("?")
        text = f"{self.scheme}://{host}{port}{path}{'?…' if question and self.scheme in WEB else ''}"
        return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"

    @property
    def authority(self) -> str:
        """What a host's queue and back-off are kept under."""
        return f"{self.scheme}://{self.host}:{self.port}"


def parse_url(text: str) -> Url:
    """Take a URL apart.

    Raises:
        ImageError: `scheme_denied`: it is of another kind than http, https and object stores, has a user or password in
            it, or is none at all.
    """
    scheme = text.partition(":")[0].lower()
    if scheme not in WEB and scheme not in STORES:
        raise _denied(f"a URL of the kind {scheme!r} is never fetched: store one of https")
    try:
        parts = urlsplit(text)
        if "@" in parts.netloc:
            raise _denied(f"a {scheme} URL with a user or password in it is not fetched: take them out")
        if scheme in STORES:
            return _parse_store(scheme, text)
        if _CONTROL.search(text) or not parts.hostname:
            raise ValueError("no host, or a control character in it")
        host = parts.hostname.rstrip(".")
        host = host if host.isascii() else host.encode("idna").decode("ascii").lower()
        if not _HOST.fullmatch(host):
            raise ValueError(f"{host!r} is no name of a host")
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._[]")
        query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?[]')}" if parts.query else ""
        return Url(scheme, host, parts.port or WEB[scheme], path + query)
    except (ValueError, UnicodeError) as error:
        raise _denied(f"a {scheme} URL cannot be understood ({error}): correct it") from error


def _parse_store(scheme: str, text: str) -> Url:
    # Whatever follows the bucket is the key: ? and # too.
    bucket, _, key = text[len(scheme) + 1 :].removeprefix("//").partition("/")
    # fsspec chains file systems by "::" and reads patterns in "*".
    if not bucket or not key or "::" in text or _CONTROL.search(bucket):
        raise ValueError("expected bucket and key")
    return Url(scheme, bucket, 0, f"/{key}")


def _denied(message: str) -> ImageError:
    return ImageError("scheme_denied", message)


@dataclass(frozen=True)
class UrlPrefix:
    """How a URL may begin: scheme, host (`*` for any, `*.example.com` for those below) and path.

    Attributes:
        path: "/" or a path; what follows it begins at a slash.
    """

    scheme: str
    host: str
    port: int
    path: str

    def covers(self, url: Url) -> bool:
        """Whether a URL begins so."""
        if (url.scheme, url.port) != (self.scheme, self.port) or not self._covers_host(url.host):
            return False
        path = self.path.rstrip("/")
        return not path or (url.target == path or url.target.startswith((f"{path}/", f"{path}?")))

    def _covers_host(self, host: str) -> bool:
        if self.scheme in WEB and self.host == "*":
            return True
        if self.scheme in WEB and self.host.startswith("*."):
            return host.endswith(self.host[1:])
        return host == self.host


def parse_prefix(text: str) -> UrlPrefix:
    """Read a prefix as `imgvec collection create --url` takes it.

    Raises:
        UsageError: It is none.
    """
    pattern = re.fullmatch(r"(?i)(https?://)(\*\.?)(.*)", text)
    try:
        # A wildcard is no name of a host: a stand-in is checked in its place.
        url = parse_url(
            f"{pattern[1]}x{'.' if pattern[2] == '*.' else ''}{pattern[3]}" if pattern else _closed(text)
        )
    except ImageError as error:
        raise UsageError(
            f'"{text}" is no beginning of URLs ({error}); expected one such as https://images.example.com, '
            "https://*.example.com, https://*, s3://bucket or s3://bucket/folder"
        ) from error
    if "?" in url.target or (pattern and pattern[2] == "*" and url.host != "x"):
        raise UsageError(
            f'"{text}" is no beginning of URLs; expected scheme, host and path only, such as https://images.example.com'
        )
    host = pattern[2] + url.host[2:] if pattern and pattern[2] == "*." else "*" if pattern else url.host
    path = url.target.removesuffix("*") if url.scheme in STORES else url.target
    return UrlPrefix(url.scheme, host, url.port, path)


def _closed(text: str) -> str:
    # A bucket alone stands for all of its keys; a key is needed to parse it.
    scheme, _, rest = text.partition("://")
    return f"{scheme}://{rest.rstrip('/')}/*" if scheme.lower() in STORES else text


def check_url(url: Url, prefixes: Sequence[UrlPrefix]) -> None:
    """Refuse a URL that a collection does not allow.

    Raises:
        ImageError: `scheme_denied` when it allows none of this scheme, `path_denied` when the path climbs, else
            `address_denied`.
    """
    of_scheme = [prefix for prefix in prefixes if prefix.scheme == url.scheme]
    if not of_scheme:
        raise _denied(
            f"{url.shown} is a URL, and this collection allows none of {url.scheme}: "
            "store a path, or have its owner allow them with --url"
        )
    path = unquote(url.target.partition("?")[0])
    if path != "/" and posixpath.normpath(path) != re.sub("/+", "/", path).rstrip("/"):
        raise ImageError("path_denied", f"{url.shown} climbs with . or ..: write the path without them")
    if not any(prefix.covers(url) for prefix in of_scheme):
        raise ImageError(
            "address_denied",
            f"{url.shown} begins otherwise than the URLs that this collection allows (--url)",
        )
