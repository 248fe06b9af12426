"""Read images through Django's storages, in every process of a worker (IMGVEC_FETCH)."""

from pathlib import Path

import django
from django.apps import apps
from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import FileSystemStorage, Storage

from imgvec_pg.django.image_search import ImageSearch, all_searches
from imgvec_pg.errors import ImageError
from imgvec_pg.images.fetching.application_fetch import Fetch
from imgvec_pg.images.fetching.files import fetch_bytes
from imgvec_pg.images.limits import max_image_bytes
from imgvec_pg.images.reference import ImageReference, shown

FETCH = "imgvec_pg.django.storages:find_fetch"
"""The value of IMGVEC_FETCH."""


def find_fetch(collection: str) -> Fetch | None:
    """Return what reads a collection's pictures; None where no model of this project has it, or it holds bytes only."""
    if not apps.ready:
        django.setup()
    for search in all_searches():
        if search.collection == collection:
            return fetch_for(search)
    return None


def fetch_for(search: ImageSearch) -> Fetch | None:
    """Return what reads the pictures of a search through its field's storage."""
    for name in search.image:
        field = search.owner._meta.get_field(name)
        storage = getattr(field, "storage", None)
        if isinstance(storage, FileSystemStorage):
            return read_below(storage)
        if isinstance(storage, Storage):
            return read_from(storage)
    return None


def read_below(storage: FileSystemStorage) -> Fetch:
    """Return what reads a file below the storage's folder on this machine, and nothing outside it."""
    root = Path(storage.location)
    return lambda name: fetch_bytes(ImageReference(path=name), root)


def read_from(storage: Storage) -> Fetch:
    """Return what reads a file of any storage, at most `max_image_bytes()` of it."""

    def fetch(name: str) -> bytes:
        most = max_image_bytes()
        try:
            with storage.open(name, "rb") as file:
                data: bytes = file.read(most + 1)
        except FileNotFoundError as error:
            raise ImageError(
                "not_found", f"{shown(name)} is not in the storage: put it there", transient=True
            ) from error
        except SuspiciousOperation as error:
            raise ImageError("path_denied", f"{shown(name)} is refused by the storage: {error}") from error
        except Exception as error:  # each storage has errors of its own
            raise ImageError(
                "fetch_failed",
                f"{shown(name)} cannot be read: {type(error).__name__}: {error}",
                transient=True,
            ) from error
        if len(data) > most:
            raise ImageError(
                "too_large",
                f"{shown(name)} has over {most} bytes: store a smaller one, or raise IMGVEC_MAX_BYTES",
            )
        if not data:
            raise ImageError("empty", f"{shown(name)} has 0 bytes, an encoded image was expected: replace it")
        return data

    return fetch
