"""Sibling collections: others by the same model and with the same rendering, which may have a picture already."""

import time

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.pictures.content_index_state import has_content_index
from imgvec_pg.store.registry import find_collections

LOOKED_FOR_SECONDS = 60.0
"""How often: one may be made, dropped or granted while a worker runs."""


def donor_parts(collection: Collection, vector: str) -> dict[str, sql.Composable]:
    """Return the `{parts}` of find_known.sql and confirm_known.sql, which need no source.

    Args:
        vector: The schema that holds the vector extension.
    """
    parts = bindable({**collection.parts_without_source(vector), **collection.key_sql.parts()})
    return {**parts, "is_donor": render("collection/donor_condition.sql", **parts)}


def find_siblings(
    connection: Connection, collection: Collection, privilege: str = "SELECT"
) -> list[Collection]:
    """Return the siblings on whose embeddings this role has a privilege, in the order in which their locks are taken."""
    values = {"collection_id": collection.id, "privilege": privilege}
    rows = connection.execute(load_sql("queries/sibling_collections.sql"), values).fetchall()
    return [found for _, name in rows for found in find_collections(connection, name)]


class Siblings:
    """A collection's siblings that are looked up by an index, looked for again from time to time; one thread at a time."""

    def __init__(self, connection: Connection, collection: Collection, vector: str) -> None:
        self._connection = connection
        self._collection = collection
        self._vector = vector
        self._found: list[tuple[int, sql.Composed, sql.Composed]] = []
        self._looked_at: float | None = None

    def get(self) -> list[tuple[int, sql.Composed, sql.Composed]]:
        """Return each one's id, and its statements that look pictures up and that confirm one."""
        now = time.monotonic()
        if self._looked_at is None or now - self._looked_at > LOOKED_FOR_SECONDS:
            self._looked_at = now
            found = find_siblings(self._connection, self._collection)
            self._found = [
                (each.id, *self._statements(each))
                for each in found
                if has_content_index(self._connection, each)
            ]
        return self._found

    def forget(self) -> None:
        """Have them looked for anew, as one may be gone."""
        self._looked_at, self._found = None, []

    def _statements(self, collection: Collection) -> tuple[sql.Composed, sql.Composed]:
        parts = donor_parts(collection, self._vector)
        return render("collection/find_known.sql", **parts), render("collection/confirm_known.sql", **parts)


GONE = (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedColumn)
"""What a statement about a sibling raises that was dropped, renamed or revoked meanwhile."""
