"""The folder that a collection has on record for the paths of a field."""

from pathlib import Path

from django.core.files.storage import FileSystemStorage, Storage
from django.db.models import Field, URLField

NOT_FILES = "/django-storage"
"""Stands for a storage that keeps no files on this machine: only a worker that Django starts can read it."""


def root_for(field: Field) -> str | None:
    """Return where the field's storage keeps files on this machine; None where only root=… can tell."""
    storage = getattr(field, "storage", None)
    if isinstance(storage, FileSystemStorage):
        return str(Path(storage.location).absolute())
    if isinstance(storage, Storage) or isinstance(field, URLField):
        return f"{NOT_FILES}/{field.model._meta.label}.{field.name}"
    return None
