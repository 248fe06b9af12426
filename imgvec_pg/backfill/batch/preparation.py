"""Prepare one image for the model: fetch, decode in the sandbox, preprocess."""

import hashlib
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

Raised = TypeVar("Raised", bound=BaseException)


def prepare_image(
    stored: StoredImage,
    root: Path | None,
    embedder: Embedder,
    urls: AllowedUrls = NO_URLS,
    fetch: Fetch | None = None,
    *,
    rendering: int = NEWEST,
    bands: Bands = (),
    pictures: SharedPictures | None = None,
) -> SharedPicture:
    """Fetch, decode and preprocess one picture; runs in a thread.

    Args:
        fetch: Reads a path instead of the file below the root; URLs too where the collection allows none.
        rendering: Version of the rules by which it is rendered: the collection's.
        bands: Shown of a TIFF of many: the collection's.
        pictures: Those in hand and of the collection, which are not decoded again.

    Raises:
        ImageError: It cannot be had or decoded, whatever the reason: its neighbours go on.
        PicturesAwayError: None can be had.
        DecoderError, MissingExtraError: None can be decoded or fetched here.
    """
    if stored.path is None and stored.content is None:
        raise ImageError("no_image", "the row has no picture: its path or bytes are NULL or empty")
    if stored.path is not None and stored.content is not None:
        raise ImageError("two_images", "the row has both a path and bytes: set one of them to NULL")
    try:
        with fetching():
            data = read_picture(ImageReference(path=stored.path, content=stored.content), root, urls, fetch)
        content_hash = hashlib.sha256(data).digest()
        is_new = False

        def prepare() -> PreparedPicture:
            nonlocal is_new
            is_new = True
            return prepare_picture(embedder, data, rendering, bands)

        picture = (pictures or SharedPictures()).get(content_hash, prepare)
        if not is_new:
            pass_over(embedder, content_hash, rendering, bands)
        return picture
    except ImgvecError as error:
        raise _bare(error) from None
    except Exception as error:
        raise ImageError("decode_error", f"{type(error).__name__}: {error}") from _bare(error)
    finally:
        give_back_memory()


def _bare(error: Raised) -> Raised:
    """Return an error without its traceback: it waits in a batch, and the frames would keep the picture's bytes with it."""
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error
