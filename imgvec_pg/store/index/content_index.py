"""Build the index on the pictures' hashes where an earlier release made the embedding table without it."""

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, execute_alone, lock_timeout, one_line
from imgvec_pg.database.sql_templates import render
from imgvec_pg.errors import DatabaseError, NotOwnerError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.pictures.content_index_state import ContentIndex, content_indexes

PARENT_LOCK_TIMEOUT_MS = 5000
"""A partitioned table's own index holds no rows; its lock still stands in the way of writes."""


def build_content_index(connection: Connection, collection: Collection) -> bool:
    """Build what is missing of the index on content_hash, CONCURRENTLY, and return whether anything was.

    Raises:
        NotOwnerError: Only the owner of the embedding table may build.
        DatabaseError: The build was cancelled or refused; running it again repairs.
    """
    missing = [state for state in content_indexes(connection, collection) if not state.is_valid]
    again = f"imgvec index create {collection.name}"
    try:
        for state in missing:
            _build_one(connection, collection, state)
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotOwnerError(
            f"the role {connection.info.user} may not build the index on content_hash ({one_line(error)}); "
            f"have the owner of imgvec.{collection.embedding_table} run: {again}"
        ) from error
    except psycopg.Error as error:
        raise DatabaseError(
            f"the index on content_hash of {collection.name} was not built ({one_line(error)}); run again: {again}"
        ) from error
    return bool(missing)


def _build_one(connection: Connection, collection: Collection, state: ContentIndex) -> None:
    table, index = sql.Identifier(state.table_name), sql.Identifier(f"{state.table_name}_content_hash")
    if state.is_parent:
        with lock_timeout(connection, PARENT_LOCK_TIMEOUT_MS):
            connection.execute(
                render(
                    "collection/create_partitioned_content_index.sql",
                    index=index,
                    table=table,
                )
            )
        return
    if state.index_name is not None:  # A build that was cancelled left it INVALID.
        execute_alone(connection, render("collection/drop_index.sql", index=sql.Identifier(state.index_name)))
    execute_alone(connection, render("collection/create_content_index.sql", index=index, table=table))
