"""Query vector of `near()`: words, an image, a row or a vector, resolved when the query is written."""

from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import Model, UUIDField
from PIL.Image import Image

from imgvec_pg.django.connection_dsn import hints_for_django, psycopg_connection, setting
from imgvec_pg.django.image_search import ImageSearch
from imgvec_pg.embedding.catalog import known_dimensions
from imgvec_pg.errors import CollectionNotFoundError, UsageError
from imgvec_pg.search.query_client import MAX_UPLOAD_BYTES, vector_of_image, vector_of_words
from imgvec_pg.search.query_embedding import check_words
from imgvec_pg.search.query_types import as_unit_vector, vector_text
from imgvec_pg.shards.near_from_python import span_dimensions, vector_from_shards
from imgvec_pg.store.registry import get_collection


class QueryTarget:
    """Words, a picture, a row or a vector, of one search; the vector is worked out once for each database.

    Raises:
        UsageError: It is none of them, the words are empty or too long, or the vector has other dimensions than the model.
    """

    def __init__(self, search: ImageSearch, value: Any) -> None:  # noqa: ANN401 - one of four kinds
        self.search = search
        self.key: Any = None
        """Primary key of the row that is searched with; None where it is something else."""
        self._vectors: dict[str, str | None] = {}
        if isinstance(value, str):
            check_words(value)
        elif isinstance(value, Model):
            if not isinstance(value, search.owner) or value.pk is None:
                raise UsageError(
                    f"near() was given {value!r}; expected a saved {search.owner._meta.label}, whose pictures are searched"
                )
            self.key = value.pk
        elif isinstance(value, int | np.integer | UUID) and not isinstance(value, bool):
            self.key = _key_of(search.owner, value)
        elif isinstance(value, Path):
            value = _bytes_of(value)
        elif hasattr(value, "read"):
            # Read now: an upload is closed when its request ends.
            value = value.read(MAX_UPLOAD_BYTES + 1)
            if not isinstance(value, bytes):
                raise UsageError(
                    "near() was given a file that is open as text; expected one opened with open(…, 'rb')"
                )
        elif not isinstance(value, bytes | Image):
            dimensions = known_dimensions(search.used_model_name)
            value = as_unit_vector(value, dimensions, others="words, a picture, a row or its key, or ")
        self.value = value

    @property
    def is_checked_late(self) -> bool:
        """Whether only a database can tell that it can be searched for: a row, or a vector for a model that is not catalogued."""
        return self.key is not None or (
            isinstance(self.value, np.ndarray) and known_dimensions(self.search.used_model_name) is None
        )

    def vector(self, alias: str) -> str | None:
        """Return the vector as pgvector reads it; None for a row that is not embedded (yet).

        Raises:
            ImgvecError: It cannot be had.
        """
        if alias not in self._vectors:
            self._vectors[alias] = self._find(alias)
        return self._vectors[alias]

    def _find(self, alias: str) -> str | None:
        if self.key is not None:
            embeddings = self.search.embedding_model._default_manager.using(alias).filter(pk=self.key)
            found = embeddings.values_list("embedding", flat=True).first()
            return None if found is None else vector_text(as_unit_vector(found))
        is_vector = isinstance(self.value, np.ndarray)
        if is_vector and not self.is_checked_late:
            return vector_text(self.value)
        connection = psycopg_connection(alias)
        # A failed statement must not leave a caller's transaction unusable, nor Django unaware of it.
        with connections[alias].wrap_database_errors, hints_for_django():
            try:
                collection = get_collection(connection, self.search.collection)
            except CollectionNotFoundError:
                dimensions = span_dimensions(connection, self.search.collection)
                if dimensions is None:
                    raise
                return vector_from_shards(connection, self.search.collection, dimensions, self.value)
            if is_vector:
                return vector_text(as_unit_vector(self.value, collection.dimensions))
            embedding = setting("EMBED", "auto")
            if isinstance(self.value, str):
                return vector_text(vector_of_words(connection, collection, self.value, embedding))
            return vector_text(vector_of_image(connection, collection, self.value, embedding))


def _key_of(owner: type[Model], value: object) -> Any:  # noqa: ANN401 - of the key's own type
    """Return a row's primary key.

    Raises:
        UsageError: The model's keys are of another type.
    """
    key = owner._meta.pk
    while key.remote_field is not None:
        key = key.target_field
    refused = UsageError(
        f"near() was given {value!r}; expected a key of {owner._meta.label}, which is a {type(key).__name__}"
    )
    # int() of a UUID is a number too.
    if isinstance(value, UUID) and not isinstance(key, UUIDField):
        raise refused
    try:
        return key.to_python(value)
    except ValidationError as error:
        raise refused from error


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"the picture {file} cannot be read: {error.strerror}") from error
