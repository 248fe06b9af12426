"""Pictures that are neither bytes in the table nor files below a folder: read by a function of the application's.

IMGVEC_FETCH names it as `package.module:function`, so that every process of a worker finds it. It is called with a
collection's name and returns a function from a path to the encoded bytes, or None where the collection's pictures
are ordinary files. That function is called by several threads at once, and raises ImageError for a picture that
cannot be had; FileNotFoundError counts as `not_found`, anything else that it raises as `fetch_failed`.
"""

import importlib
from collections.abc import Callable
from pathlib import Path

from imgvec_pg.errors import ImageError, ImgvecError, UsageError
from imgvec_pg.images.fetching.files import fetch_bytes
from imgvec_pg.images.fetching.url import NO_URLS, AllowedUrls
from imgvec_pg.images.limits import max_image_bytes
from imgvec_pg.images.reference import ImageReference, shown, url_scheme
from imgvec_pg.settings import fetch_function

Fetch = Callable[[str], bytes]


def read_picture(
    reference: ImageReference, root: Path | None, urls: AllowedUrls = NO_URLS, fetch: Fetch | None = None
) -> bytes:
    """Return the encoded bytes of a picture, by whichever way is for it.

    Args:
        fetch: What `find_fetch` found, for all paths but URLs that the collection allows.

    Raises:
        ImageError, PicturesAwayError, MissingExtraError: As `fetch_bytes`.
    """
    path = reference.path
    if fetch is not None and path is not None and not (urls.prefixes and url_scheme(path)):
        return fetch(path)
    return fetch_bytes(reference, root, urls=urls)


def find_fetch(collection_name: str) -> Fetch | None:
    """Return what reads the pictures of a collection, None for files below its root folder.

    Raises:
        UsageError: IMGVEC_FETCH names no function.
    """
    named = fetch_function()
    if not named:
        return None
    module_name, _, function_name = named.partition(":")
    try:
        find = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f'IMGVEC_FETCH is "{named}", which cannot be loaded ({error}); expected package.module:function'
        ) from error
    fetch: Fetch | None = find(collection_name)
    return None if fetch is None else _judged(fetch)


def _judged(fetch: Fetch) -> Fetch:
    """Return a function that reads as `fetch` does, and says what is wrong as reading a file does."""

    def read(path: str) -> bytes:
        try:
            data = fetch(path)
        except ImgvecError:
            raise
        except FileNotFoundError as error:
            raise ImageError("not_found", f"{shown(path)} does not exist: {error}", transient=True) from error
        except Exception as error:  # an application's own
            raise ImageError(
                "fetch_failed",
                f"{shown(path)} cannot be read: {type(error).__name__}: {error}",
                transient=True,
            ) from error
        if not isinstance(data, bytes):
            raise ImageError(
                "fetch_failed", f"IMGVEC_FETCH gave a {type(data).__name__} for {shown(path)}, expected bytes"
            )
        if len(data) > max_image_bytes():
            raise ImageError(
                "too_large",
                f"{shown(path)} has {len(data)} bytes, at most {max_image_bytes()} are decoded: "
                "raise IMGVEC_MAX_BYTES",
            )
        if not data:
            raise ImageError("empty", f"{shown(path)} has 0 bytes, an encoded image was expected: replace it")
        return data

    return read
