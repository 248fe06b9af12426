"""Create and drop a radius index: coordinates of each row, by which within_* pass over what cannot be within."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, lock_timeout, one_line, pinned_search_path, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError, NotOwnerError
from imgvec_pg.store.aliases import refresh_aliases
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.radius.axes import contracted, principal_axes, sample_vectors
from imgvec_pg.store.radius.coordinate_tables import (
    coordinate_parts,
    coordinate_policies,
    coordinate_triggers,
    dropping_coordinates,
)
from imgvec_pg.store.radius.fill import count_without_coordinates, fill_coordinates
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.search_functions import WITHIN, render_function

ROW_BYTES = 140
"""Of 32 coordinates and a bigint, with the key's index: 133 measured."""


@dataclass(frozen=True)
class RadiusIndexState:
    """What there is of a radius index.

    Attributes:
        exists: Whether its table is there: in use, or left by a command that was stopped.
        in_use: Whether within_* ask it.
        is_kept: Whether all its triggers fire.
        rows: As PostgreSQL last counted them.
        hides_rows: Whether the source shows each role other rows: then the policy is asked for each row first.
    """

    exists: bool
    in_use: bool
    bytes: int
    is_kept: bool
    rows: int
    hides_rows: bool


def radius_index_state(connection: Connection, collection: Collection) -> RadiusIndexState:
    """Look at a collection's radius index; does not read it."""
    values = {
        "coordinates": sql.Identifier("imgvec", f"{collection.name}_coordinates").as_string(None),
        "embeddings": sql.Identifier("imgvec", collection.embedding_table).as_string(None),
        "collection_id": collection.id,
    }
    row = connection.execute(load_sql("queries/radius_index_state.sql"), values).fetchone()
    exists, size, is_kept, rows, hides_rows = row or (False, 0, False, 0, False)
    return RadiusIndexState(exists, collection.has_radius_index, size, bool(is_kept), rows, bool(hides_rows))


def count_embedded(connection: Connection, collection: Collection) -> int:
    """Count the embedded rows."""
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM imgvec.{}").format(sql.Identifier(collection.embedding_table))
    ).fetchone()
    return int(row[0]) if row else 0


def create_radius_index(
    connection: Connection,
    collection: Collection,
    progress: Callable[[int], None] = lambda rows: None,
    *,
    lock_timeout_ms: int = 2000,
) -> Collection:
    """Make a radius index beside running searches and writes, and have within_* ask it once it is complete.

    Its triggers take SHARE ROW EXCLUSIVE on the embedding table for a moment: readers go on, writers wait. Stopped at any moment
    it changes no answer, and the next run goes on where it was.

    Raises:
        CollectionError: There is one in use, no row is embedded yet, or the source hides rows.
        NotOwnerError: The role does not own the embedding table.
        DatabaseError: A lock was not had in time.
    """
    state = radius_index_state(connection, collection)
    if state.in_use:
        raise CollectionError(
            f"collection {collection.name} has a radius index; to make it anew, with axes of today's vectors: "
            f"imgvec index drop {collection.name} --radius, then create it again"
        )
    if state.hides_rows:
        raise CollectionError(
            f"{collection.shown_source} shows each role other rows: its policy would be asked for each row before its "
            f"coordinates, and within_{collection.name} be slower than without a radius index. Nothing was changed"
        )
    try:
        if not state.exists:
            _prepare(connection, collection, lock_timeout_ms)
        fill_coordinates(connection, collection, progress)
        while count_without_coordinates(connection, collection):
            fill_coordinates(connection, collection)
        return _adopt(connection, collection, lock_timeout_ms)
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.UniqueViolation,
        psycopg.errors.DuplicateTable,
    ) as error:
        raise CollectionError(
            f"another session makes, drops or renames the radius index of {collection.name} meanwhile ({one_line(error)}); "
            f"see: imgvec index show {collection.name}"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotOwnerError(
            f"the role {connection.info.user} may not make a radius index ({one_line(error)}); "
            f"have the owner of imgvec.{collection.embedding_table} run: imgvec index create {collection.name} --radius"
        ) from error


def drop_radius_index(connection: Connection, collection: Collection, *, lock_timeout_ms: int = 2000) -> None:
    """Have within_* compare all vectors again, and drop the radius index, in use or half made; one transaction.

    Raises:
        CollectionError: There is none.
        NotOwnerError: The role does not own the embedding table.
        DatabaseError: A lock was not had in time; nothing was changed.
    """
    if not radius_index_state(connection, collection).exists and not collection.has_radius_index:
        raise CollectionError(f"collection {collection.name} has no radius index; nothing was dropped")
    try:
        with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
            _define(connection, replace(collection, has_radius_index=False))
            connection.execute(dropping_coordinates(collection))
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotOwnerError(
            f"the role {connection.info.user} may not drop the radius index of {collection.name} ({one_line(error)}); "
            f"run it as the owner of imgvec.{collection.embedding_table}"
        ) from error


def _prepare(connection: Connection, collection: Collection, lock_timeout_ms: int) -> None:
    """Make tables and triggers, so that all that is written from then on is in."""
    vectors = sample_vectors(connection, collection, count_embedded(connection, collection))
    if not len(vectors):
        raise CollectionError(
            f"collection {collection.name} has no embedded row yet, and axes are found in rows; first: "
            f"imgvec backfill {collection.name}"
        )
    axes = contracted(principal_axes(vectors))
    parts = coordinate_parts(collection, vector_schema(connection))
    wanted = replace(collection, has_radius_index=True)
    with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
        connection.execute(render("collection/coordinate_tables.sql", **parts))
        texts = [str(axis.astype(float).tolist()) for axis in axes]
        connection.execute(render("collection/insert_axes.sql", **parts), {"axes": texts})
        connection.execute(coordinate_triggers(collection, vector_schema(connection)))
        connection.execute(coordinate_policies(wanted, hides_rows=False))
        connection.execute(render("collection/grants.sql", **parts))
        connection.execute(render("collection/own_coordinates.sql", **parts))


def _adopt(connection: Connection, collection: Collection, lock_timeout_ms: int) -> Collection:
    """Let within_* ask the radius index, which is complete."""
    parts = coordinate_parts(collection, vector_schema(connection))
    connection.execute(sql.SQL("ANALYZE imgvec.{}").format(sql.Identifier(f"{collection.name}_coordinates")))
    with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
        connection.execute(load_sql("queries/lock_schema.sql"))
        connection.execute(render("collection/adopt_coordinates.sql", **parts))
        # As it is now: its index, aliases and policies may be others than when the filling began.
        present = get_collection(connection, collection.name)
        _define(connection, present)
        state = connection.execute(
            load_sql("queries/policy_state.sql"),
            {"table": present.embedding_table, "collection_id": present.id},
        ).fetchone()
        hides_rows = state is not None and bool(state[0] or state[2])
        connection.execute(coordinate_policies(present, hides_rows=hides_rows))
    return get_collection(connection, collection.name)


def _define(connection: Connection, wanted: Collection) -> None:
    """Replace within_* of a collection and its aliases by those that do, or do not, ask the radius index."""
    schema = vector_schema(connection)
    parts = {**wanted.parts(schema), "create": sql.SQL("CREATE OR REPLACE FUNCTION")}
    for name in WITHIN:
        connection.execute(render_function(name, parts))
    connection.execute(render("collection/grants.sql", **parts))
    refresh_aliases(connection, wanted, schema)
