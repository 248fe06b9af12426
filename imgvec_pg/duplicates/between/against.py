"""Pairs of two collections of one model: an upload against the archive, one table against another."""

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, needing, one_line, pinned_search_path, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.duplicates.between.across import Across
from imgvec_pg.duplicates.only_run import StillOnly
from imgvec_pg.duplicates.relations import (
    NEEDED,
    TRIES,
    duplicate_parts,
    key_definitions,
    keys_equal,
    other_columns,
)
from imgvec_pg.duplicates.staging import distances_of, stage
from imgvec_pg.duplicates.vector_rows import VectorRows
from imgvec_pg.errors import CollectionError, DatabaseError, UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.model_registry import read_fingerprint

Indices = npt.NDArray[np.intp]
MAX_NAME_BYTES = 63
"""Of PostgreSQL's identifiers."""


def against_names(collection: Collection, other: Collection) -> tuple[str, str]:
    """Return what the table and the view are called.

    Raises:
        CollectionError: That would be too long for PostgreSQL.
    """
    table = f"{collection.name}_against_{other.name}"
    view = f"duplicate_{table}"
    if len(view.encode()) > MAX_NAME_BYTES:
        raise CollectionError(
            f"the pairs would be called {view}, which has {len(view.encode())} bytes; PostgreSQL's names have at most "
            f"{MAX_NAME_BYTES}: rename one of the collections (imgvec collection rename). Nothing was changed"
        )
    return table, view


def require_same_model(connection: Connection, collection: Collection, other: Collection) -> None:
    """Refuse collections whose vectors cannot be compared.

    Raises:
        UsageError: They are the same collection, or their models differ.
    """
    if collection.id == other.id:
        raise UsageError(
            f"--against {other.name} is the same collection; leave it out to compare its rows with each other"
        )
    if collection.model_id == other.model_id:
        return
    own, their = (read_fingerprint(connection, one) for one in (collection, other))
    if own is None or own != their:
        raise UsageError(
            f"collection {collection.name} is of model {collection.model_name} (fingerprint {(own or 'unknown')[:12]}), "
            f"{other.name} of {other.model_name} ({(their or 'unknown')[:12]}); only vectors of one model can be compared"
        )


def against_parts(collection: Collection, other: Collection, vector: str) -> dict[str, sql.Composable]:
    """Return the `{parts}` of the SQL files about pairs of two collections."""
    table, view = against_names(collection, other)
    names = other_columns(other.key_columns, collection.key_columns)
    key, other_key = collection.key_sql, other.key_sql
    return {
        **duplicate_parts(collection, vector),
        "against_table": sql.Identifier(table),
        "against_view": sql.Identifier(view),
        "other_embedding_table": sql.Identifier(other.embedding_table),
        "keys_of_other": sql.SQL(", ").join(map(sql.Identifier, other.key_columns)),
        "b_keys_of_other": other_key.columns("b"),
        "other_keys": sql.SQL(", ").join(map(sql.Identifier, names)),
        "p_other_keys": sql.SQL(", ").join(sql.Identifier("p", name) for name in names),
        "other_key_definitions": key_definitions(other_key, names),
        "e_equals_against": keys_equal(key, "e", ("imgvec", table), key.names),
        "o_equals_against": keys_equal(other_key, "o", ("imgvec", table), names),
        "o_equals_p_other": keys_equal(other_key, "o", ("p",), names),
        "against_comment": sql.Literal(
            f"Rows of {collection.shown_source} and near-duplicates of them in {other.shown_source}, as imgvec duplicates "
            f"{collection.name} --against {other.name} found them"
        ),
    }


def prepare_against(connection: Connection, collection: Collection, other: Collection) -> None:
    """Make the table and the view unless they are there, so that nothing is compared in vain.

    Raises:
        CollectionError: Something else has the name of one.
        DatabaseError: The role may not make or fill them.
    """
    table, view = against_names(collection, other)
    row = connection.execute(
        load_sql("queries/duplicate_state.sql"), {"view": view, "tables": [table], "run_table": None}
    ).fetchone()
    if row is not None and row[1]:
        if not row[2]:
            raise DatabaseError(
                f"the role {connection.info.user} may not write imgvec.{table}; it takes imgvec_worker"
            )
        return
    try:
        with needing(connection, NEEDED), connection.transaction(), pinned_search_path(connection):
            parts = against_parts(collection, other, vector_schema(connection))
            connection.execute(render("collection/against_relations.sql", **parts))
    except (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateColumn) as error:
        raise CollectionError(
            f"the duplicates of {collection.name} in {other.name} cannot be kept ({one_line(error)}); rename what has that "
            "name. Nothing was changed"
        ) from error


def write_across(
    connection: Connection,
    collection: Collection,
    other: Collection,
    rows: VectorRows,
    across: Across,
    still_only: StillOnly,
) -> tuple[int, int]:
    """Replace the pairs, in one transaction; returns how many there are, and how many rows changed meanwhile."""
    vector = vector_schema(connection)
    parts, other_parts = against_parts(collection, other, vector), duplicate_parts(other, vector)
    taking_part = np.unique(across.first).tolist()
    none = np.empty(0, dtype=np.intp)
    near = (across.first, across.second, distances_of(across.similarities))
    for attempt in range(TRIES):
        try:
            with needing(connection, NEEDED), connection.transaction():
                staged = (rows.staged(row, None) for row in taking_part)
                found = stage(connection, parts, staged, (none, none, np.empty(0)))
                connection.execute(load_sql("queries/keep_first.sql"))
                found += stage(connection, other_parts, across.others, near)
                connection.execute(render("collection/empty_against.sql", **parts))
                written = connection.execute(render("collection/insert_against.sql", **parts)).rowcount
                still_only()
                return written, len(taking_part) + len(across.others) - found
        except (psycopg.errors.ForeignKeyViolation, psycopg.errors.DeadlockDetected):
            # A row went between the statement that looked it up and the one that refers to it.
            if attempt + 1 == TRIES:
                raise
    raise AssertionError
