"""What is searched for: words, a picture, a row or a vector, each as what an application has at hand."""

import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from PIL import Image as PillowImage
from sqlalchemy.orm import Mapper

from imgvec_pg.errors import UsageError
from imgvec_pg.search.query_embedding import check_words
from imgvec_pg.search.query_types import Float32Array, as_unit_vector


@dataclass(frozen=True)
class Words:
    """Words, embedded in the database: from the cache, else by a running worker."""

    text: str | sa.ColumnElement[str]

    def __post_init__(self) -> None:
        if isinstance(self.text, str):
            check_words(self.text)


@dataclass(frozen=True, eq=False)
class Vector:
    """A vector of the collection's model, shape (dimensions,), L2 norm 1; or a column that holds one."""

    value: Float32Array | sa.ColumnElement[Any]


@dataclass(frozen=True)
class Picture:
    """The bytes of a picture file, embedded by a running worker; up to 32 MiB."""

    content: bytes


class Row:
    """A row of the source by its key: `Row(42)`, `Row(tenant, id)` in the key's order, `Row(id=42)`.

    The row itself is not in its own answer. A value may be a column, of an outer query.
    """

    def __init__(self, *values: Any, **named: Any) -> None:  # noqa: ANN401 - a key may have any type
        if bool(values) == bool(named) or any(value is None for value in (*values, *named.values())):
            raise UsageError("a row is given by its key; expected Row(42), or Row(tenant=3, id=42)")
        self.values = values
        self.named = named

    def key(self, columns: Sequence[str]) -> list[Any]:
        """Return the values in the order of the source's key columns.

        Raises:
            UsageError: They are others, or more or fewer.
        """
        if self.named:
            fits = set(self.named) == set(columns)
            found = [self.named.get(name) for name in columns]
        else:
            fits, found = len(self.values) == len(columns), list(self.values)
        if not fits:
            given = self.named or self.values
            raise UsageError(f"the key {given!r} does not fit; expected {', '.join(columns)}")
        return found


NearQuery = Words | Vector | Picture | Row
QueryInput = (
    NearQuery
    | str
    | bytes
    | Path
    | PillowImage.Image
    | int
    | uuid.UUID
    | npt.NDArray[Any]
    | Sequence[float]
    | Any  # a row as the ORM has it
)
"""What near() takes. A str is words, bytes and a Path are a picture, an int and a UUID a key, an instance of the source
its row, numbers a vector."""


OTHERS = "words, a picture (bytes, a Path or a PIL image), a row of the source, Row(key), or "


def read_query(value: QueryInput, source: sa.Table | None, dimensions: int | None = None) -> NearQuery:
    """Tell what kind of query a value is.

    Args:
        source: The collection's source, whose instances are rows; None where it is not known.
        dimensions: Those of the collection's model, likewise.

    Raises:
        UsageError: It is nothing of the kind.
    """
    if isinstance(value, np.ndarray):
        return Vector(as_unit_vector(value, dimensions))
    if isinstance(value, Vector) and as_column(value.value) is None:
        return Vector(as_unit_vector(value.value, dimensions))
    if isinstance(value, NearQuery):
        return value
    if isinstance(value, str):
        return Words(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return Picture(bytes(value))
    if isinstance(value, Path):
        return Picture(_read(value))
    if isinstance(value, PillowImage.Image):
        return Picture(_as_png(value))
    if isinstance(value, int | uuid.UUID) and not isinstance(value, bool):
        return Row(value)
    if (column := as_column(value)) is not None:
        return Vector(column)
    row = _instance(value, source)
    if row is not None:
        return row
    return Vector(as_unit_vector(value, dimensions, others=OTHERS))


def as_column(value: Any) -> sa.ColumnElement[Any] | None:  # noqa: ANN401
    """Return a column, or an attribute of a mapped class, as SQL; None for a plain value."""
    inner = getattr(value, "__clause_element__", None)
    found = value if inner is None or isinstance(value, sa.ColumnElement) else inner()
    return found if isinstance(found, sa.ColumnElement) else None


def _instance(value: object, source: sa.Table | None) -> Row | None:
    state = sa.inspect(value, raiseerr=False)
    mapper = getattr(state, "mapper", None)
    if not isinstance(mapper, Mapper) or state is mapper:
        return None
    if source not in mapper.tables:
        wanted = "Row(key)" if source is None else f"a row of {source.fullname}, the collection's source"
        raise UsageError(f"cannot search for a {type(value).__name__}; expected {wanted}")
    values = mapper.primary_key_from_instance(value)
    if None in values:
        raise UsageError(f"this {type(value).__name__} has no key yet; flush it first")
    return Row(*values)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"the picture {file} cannot be read: {error.strerror}") from error


def _as_png(image: PillowImage.Image) -> bytes:
    buffer = io.BytesIO()
    (image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()
