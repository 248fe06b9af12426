"""Uninstall imgvec: drop triggers, functions, schema and roles."""

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, lock_timeout, one_line, pinned_search_path
from imgvec_pg.database.index_methods.hnsw import DATABASE_DEFAULTS
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import DatabaseError
from imgvec_pg.store.aliases import drop_aliases
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.registry import find_collections
from imgvec_pg.store.setup.grants import ROLES
from imgvec_pg.store.setup.kept_vectors import begin_keeping, end_keeping
from imgvec_pg.store.setup.text_relay import remove_relay

SHOWN_DEPENDENTS = 5


def remove_everything(
    connection: Connection, *, lock_timeout_ms: int, keep_vectors: bool = False
) -> list[str]:
    """Drop all collections, the schema, the extension if a migration made it, and roles nobody uses.

    It is one transaction: all of it happens or nothing.

    Args:
        keep_vectors: Leave the embedding tables as plain tables in the schema imgvec_kept.

    Returns:
        A line for each thing done or left, for people to read.

    Raises:
        DatabaseError: A source table stayed locked, or the application's own objects need the schema.
    """
    with connection.transaction():
        # Whoever migrates or sets words up meanwhile: waited for without the limit, which is for the application's tables.
        connection.execute(load_sql("queries/lock_schema.sql"))
        if not connection.execute("SELECT FROM pg_namespace WHERE nspname = 'imgvec'").rowcount:
            return ["the schema imgvec is gone: another session removed it meanwhile"]
        return _remove(connection, lock_timeout_ms, keep_vectors)


def _remove(connection: Connection, lock_timeout_ms: int, keep_vectors: bool) -> list[str]:
    lines = []
    with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
        made_extension = _made_extension(connection)
        drop_aliases(connection)
        collections = installed_collections(connection)
        comments = begin_keeping(connection, collections) if keep_vectors else {}
        for collection in collections:
            drop_collection(connection, collection, lock_timeout_ms=lock_timeout_ms)
            lines.append(f"dropped collection {collection.name}")
        if keep_vectors:
            lines += end_keeping(connection, collections, comments)
        _refuse_dependents(connection)
        remove_relay(connection)
        _remove_servers(connection)
        connection.execute("DROP SCHEMA imgvec CASCADE")
        lines.append("dropped schema imgvec")
        lines += _reset_database_defaults(connection, is_ours=made_extension)
        lines += _drop_extension(connection, is_ours=made_extension)
        lines += [_drop_role(connection, role) for role in ROLES]
    return lines


def installed_collections(connection: Connection) -> list[Collection]:
    """Return all collections, none where a broken schema has no registry."""
    row = connection.execute("SELECT to_regclass('imgvec.collection') IS NOT NULL").fetchone()
    return find_collections(connection) if row and row[0] else []


def _made_extension(connection: Connection) -> bool:
    row = connection.execute("SELECT obj_description('imgvec'::regnamespace, 'pg_namespace')").fetchone()
    return row is not None and "created the extension" in (row[0] or "")


def _remove_servers(connection: Connection) -> None:
    """Drop the shards' foreign servers, and raise rather than drop what the application has made on one."""
    try:
        connection.execute(render("shards/remove_servers.sql"))
    except psycopg.errors.DependentObjectsStillExist as error:
        detail = " ".join((error.diag.message_detail or "").split())
        raise DatabaseError(
            f"objects of the application lie on a shard: {detail}; drop them first. Nothing was changed"
        ) from error


def _refuse_dependents(connection: Connection) -> None:
    """Raise rather than let CASCADE take the application's own objects along."""
    found = [str(row[0]) for row in connection.execute(load_sql("queries/outside_dependents.sql"), {})]
    if found:
        shown = ", ".join(found[:SHOWN_DEPENDENTS])
        more = f" and {len(found) - SHOWN_DEPENDENTS} more" if len(found) > SHOWN_DEPENDENTS else ""
        raise DatabaseError(
            f"objects of the application need the schema imgvec: {shown}{more}; drop them first. Nothing was changed"
        )


def _reset_database_defaults(connection: Connection, *, is_ours: bool) -> list[str]:
    """Take back what `imgvec migrate --database-defaults` set, where nobody else can have."""
    found = connection.execute(
        load_sql("queries/database_defaults.sql"), {"names": list(DATABASE_DEFAULTS)}
    ).fetchall()
    return [_reset_database_default(connection, name, entry, is_ours=is_ours) for name, entry in found]


def _reset_database_default(connection: Connection, name: str, entry: str, *, is_ours: bool) -> str:
    statement = sql.SQL("ALTER DATABASE {} RESET {}").format(
        sql.Identifier(connection.info.dbname), sql.Identifier(*name.split("."))
    )
    if is_ours:
        try:
            with connection.transaction():
                connection.execute(statement)
            return f"reset the database's default {entry}"
        except psycopg.errors.InsufficientPrivilege:
            pass
    return f"left the database's default {entry}; reset it with: {statement.as_string(connection)}"


def _drop_extension(connection: Connection, *, is_ours: bool) -> list[str]:
    if connection.execute("SELECT FROM pg_extension WHERE extname = 'vector'").rowcount == 0:
        return []
    if not is_ours:
        return ["left extension vector: imgvec migrate did not create it"]
    try:
        with connection.transaction():
            connection.execute("DROP EXTENSION vector")
    except psycopg.errors.DependentObjectsStillExist:
        return ["left extension vector: other tables use it"]
    except psycopg.errors.InsufficientPrivilege as error:
        return [f"left extension vector: {one_line(error)}"]
    return ["dropped extension vector, which imgvec migrate had created"]


def _drop_role(connection: Connection, role: str) -> str:
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
    except psycopg.errors.DependentObjectsStillExist:
        return f"left role {role}: it has rights in this or another database"
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InternalError_) as error:
        # Internal: another database's uninstall drops it at the same moment.
        return f"left role {role}: {one_line(error)}"
    return f"dropped role {role}"
