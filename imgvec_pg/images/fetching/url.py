"""Fetching pictures by URL, for a collection that allows some."""

from collections.abc import Iterable
from dataclasses import dataclass

from imgvec_pg.errors import ImageError
from imgvec_pg.images.fetching.host_backoff import HostCircuitBreakers
from imgvec_pg.images.fetching.http_client import LaterError, download
from imgvec_pg.images.fetching.http_connection import HostError
from imgvec_pg.images.fetching.object_storage import read_store
from imgvec_pg.images.fetching.url_rules import STORES, UrlPrefix, check_url, parse_prefix, parse_url
from imgvec_pg.images.limits import max_image_bytes as allowed_image_bytes
from imgvec_pg.settings import Network, allowed_networks

breakers = HostCircuitBreakers()
"""Of the hosts that this process fetches from."""


@dataclass(frozen=True)
class AllowedUrls:
    """What a collection and this machine allow.

    Attributes:
        prefixes: What URLs may begin with; none by default. The collection's owner says so.
        networks: Addresses that may be fetched from though they are not public. This machine's operator says so.
    """

    prefixes: tuple[UrlPrefix, ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, prefixes: Iterable[str]) -> "AllowedUrls":
        """Read a collection's prefixes and this machine's settings.

        Raises:
            UsageError: One of them cannot be understood.
        """
        return cls(tuple(map(parse_prefix, prefixes)), allowed_networks())


NO_URLS = AllowedUrls()


def fetch_url(text: str, allowed: AllowedUrls, max_image_bytes: int | None = None) -> bytes:
    """Return the bytes that a URL leads to.

    Raises:
        ImageError: `scheme_denied`, `address_denied`, `path_denied`, `not_found`, `fetch_limit`, `fetch_failed`, or
            `fetch_later` (transient) when its host's circuit breaker is open.
        MissingExtraError: The package for this kind of store is not installed.
    """
    max_image_bytes = allowed_image_bytes() if max_image_bytes is None else max_image_bytes
    url = parse_url(text)
    check_url(url, allowed.prefixes)
    breakers.require_not_open(url)
    try:
        if url.scheme in STORES:
            data = read_store(url, max_image_bytes)
        else:
            data = download(url, allowed.prefixes, allowed.networks, max_image_bytes)
    except LaterError as error:
        breakers.record_later(url, error)
        raise
    except HostError as error:
        breakers.record_failure(url, error)
        raise
    except ImageError as error:
        if error.code == "fetch_limit" and error.transient:
            breakers.record_timeout(url)
        else:
            breakers.record_answer(url)
        raise
    breakers.record_answer(url)
    return data
