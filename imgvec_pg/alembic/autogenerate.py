"""Filters for Alembic's autogenerate: `include_name` and `include_object` for an env.py.

Tables of collections (embedding tables and their partitions) are made by `imgvec collection create`, never by a
migration: neither the models that describe them nor the tables themselves are a difference.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table

SCHEMA = "imgvec"
COLLECTION_COLUMNS = frozenset({"embedding", "version", "content_hash", "precision", "embedded_at"})
DUPLICATE_COLUMNS = (
    frozenset({"content_hash", "other_content_hash", "distance", "why"}),
    frozenset({"group_id", "content_hash", "place", "reason"}),
    frozenset({"imgvec_number", "version", "embedded_at"}),
    frozenset({"imgvec_number", "coordinates"}),
    frozenset({"is_last", "threshold", "not_embedded", "largest_square"}),
)
"""Of the tables that `imgvec duplicates` makes."""
MAP_COLUMNS = (
    frozenset({"x", "y", "cluster", "is_landmark", "is_later"}),
    frozenset({"cluster", "name", "x", "y"}),
    frozenset({"is_last", "method", "landmark_count", "named_by"}),
)
"""Of those that `imgvec map` makes."""
PICTURE_COLUMNS = frozenset({"content_hash", "embedding"})
"""Of the table that a collection with copies has its different pictures in."""


def is_collection_table(table: Table) -> bool:
    """Whether a mapped or reflected table belongs to a collection."""
    if table.info.get("imgvec") == "collection":
        return True
    columns = set(table.columns.keys())
    return table.schema == SCHEMA and any(
        columns >= own for own in (COLLECTION_COLUMNS, PICTURE_COLUMNS, *DUPLICATE_COLUMNS, *MAP_COLUMNS)
    )


def include_imgvec_name(name: str | None, type_: str, parent_names: Mapping[str, str | None]) -> bool:
    """Look at the schema imgvec only; for the library's own migrations."""
    return name == SCHEMA if type_ == "schema" else True


def include_imgvec_object(
    object_: Any,  # noqa: ANN401 - a table, column, index or constraint
    name: str | None,
    type_: str,
    reflected: bool,
    compare_to: Any,  # noqa: ANN401
) -> bool:
    """Leave out the tables of collections; for the library's own migrations."""
    return not (isinstance(object_, Table) and is_collection_table(object_))


def include_application_object(
    object_: Any,  # noqa: ANN401 - a table, column, index or constraint
    name: str | None,
    type_: str,
    reflected: bool,
    compare_to: Any,  # noqa: ANN401
) -> bool:
    """Leave out everything in the schema imgvec; for an application's own env.py with include_schemas=True."""
    return not (isinstance(object_, Table) and object_.schema == SCHEMA)
