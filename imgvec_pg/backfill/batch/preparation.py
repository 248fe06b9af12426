"""Prepare images for the model: fetch, decode in the sandbox, preprocess; several at a time, which are looked up together."""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from imgvec_pg.backfill.batch.shared_decoding import PreparedPicture, pass_over, prepare_picture
from imgvec_pg.backfill.batch.shared_pictures import SharedPicture, SharedPictures
from imgvec_pg.backfill.picture_clock import fetching
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ImageError, ImgvecError
from imgvec_pg.images.decoding.malloc import give_back_memory
from imgvec_pg.images.fetching.application_fetch import Fetch, read_picture
from imgvec_pg.images.fetching.url import NO_URLS, AllowedUrls
from imgvec_pg.images.reference import ImageReference
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.images.rendering.version import NEWEST
from imgvec_pg.store.embeddings import StoredImage

READ_AHEAD_BYTES = 1 << 20
"""One thread reads pictures until they have as many bytes, looks them up together, and then decodes them one by one. So a large
photograph is alone."""
READ_AHEAD_SECONDS = 0.1
"""Or until that took as long: from slow storage all threads get something to do, and a stop is obeyed soon."""

Result = TypeVar("Result")


def prepare_image(
    stored: StoredImage,
    root: Path | None,
    embedder: Embedder,
    urls: AllowedUrls = NO_URLS,
    fetch: Fetch | None = None,
) -> SharedPicture:
    """Prepare one picture that nothing is known of; arguments as of `prepare_images`, whose error is raised."""
    found = prepare_images([stored], root, embedder, urls, fetch)[0]
    if isinstance(found, Exception):
        raise found
    return found


def prepare_images(
    images: Sequence[StoredImage],
    root: Path | None,
    embedder: Embedder,
    urls: AllowedUrls = NO_URLS,
    fetch: Fetch | None = None,
    *,
    rendering: int = NEWEST,
    bands: Bands = (),
    pictures: SharedPictures | None = None,
) -> list[SharedPicture | Exception]:
    """Fetch, decode and preprocess the first of some pictures, at least one; runs in a thread.

    Args:
        fetch: Reads a path instead of the file below the root; URLs too where the collection allows none.
        rendering: Version of the rules by which it is rendered: the collection's.
        bands: Shown of a TIFF of many: the collection's.
        pictures: Those in hand and of the collection, which are not decoded again.

    Returns:
        Each one's picture, or why there is none: an ImageError where it cannot be had or decoded, whatever the reason;
        PicturesAwayError where none can be had; DecoderError or MissingExtraError where none can be decoded or fetched here.
    """
    hashes: list[bytes | Exception] = []
    by_hash: dict[bytes, bytes] = {}
    began, size = time.monotonic(), 0
    for stored in images:
        if hashes and (size >= READ_AHEAD_BYTES or time.monotonic() - began >= READ_AHEAD_SECONDS):
            break
        data = _judged(_read, stored, root, urls, fetch)
        if isinstance(data, Exception):
            hashes.append(data)
            continue
        size += len(data)
        digest = hashlib.sha256(data).digest()
        hashes.append(digest)
        by_hash[digest] = data
    new: set[bytes] = set()

    def prepare(content_hash: bytes) -> PreparedPicture | Exception:
        new.add(content_hash)
        return _judged(prepare_picture, embedder, by_hash[content_hash], rendering, bands)

    try:
        found = (pictures or SharedPictures()).get(list(by_hash), prepare)
    finally:
        give_back_memory()
    for content_hash in by_hash.keys() - new:
        pass_over(embedder, content_hash, rendering, bands)
    return [each if isinstance(each, Exception) else found[each] for each in hashes]


def _read(stored: StoredImage, root: Path | None, urls: AllowedUrls, fetch: Fetch | None) -> bytes:
    if stored.path is None and stored.content is None:
        raise ImageError("no_image", "the row has no picture: its path or bytes are NULL or empty")
    if stored.path is not None and stored.content is not None:
        raise ImageError("two_images", "the row has both a path and bytes: set one of them to NULL")
    with fetching():
        return read_picture(ImageReference(path=stored.path, content=stored.content), root, urls, fetch)


def _judged(work: Callable[..., Result], *arguments: object) -> Result | Exception:
    """Return what `work` returns, or why it does not: an error that waits in a batch for its row."""
    try:
        return work(*arguments)
    except ImgvecError as error:
        return _bare(error)
    except Exception as error:
        return _bare(ImageError("decode_error", f"{type(error).__name__}: {error}"))


def _bare(error: Exception) -> Exception:
    """Return an error without its traceback: the frames would keep the picture's bytes with it."""
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error
