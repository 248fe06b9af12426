"""Take imgvec out of a database again."""

from collections.abc import Iterator

import psycopg
from psycopg import sql

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.store.collections import drop_collection, find_collections

ROLES = ("imgvec_reader", "imgvec_worker")


def remove_everything(connection: Connection, *, lock_timeout_ms: int) -> Iterator[str]:
    """Drop all collections, the schema, the extension if a migration made it, and roles nobody uses.

    Yields:
        A line for each thing done or left, for people to read.

    Raises:
        DatabaseError: A source table stayed locked; run again to go on.
    """
    comment = connection.execute("SELECT obj_description('imgvec'::regnamespace, 'pg_namespace')").fetchone()
    made_extension = comment is not None and "created the extension" in (comment[0] or "")
    for collection in find_collections(connection):
        drop_collection(connection, collection, lock_timeout_ms=lock_timeout_ms)
        yield f"dropped collection {collection.name}"
    if migrations.current_revision(connection) is not None:
        migrations.downgrade(connection)
    connection.execute("DROP SCHEMA imgvec CASCADE")
    yield "dropped schema imgvec"
    if made_extension:
        try:
            connection.execute("DROP EXTENSION vector")
            yield "dropped extension vector, which imgvec migrate had created"
        except psycopg.errors.DependentObjectsStillExist:
            yield "left extension vector: other tables use it"
    for role in ROLES:
        try:
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
        except (psycopg.errors.DependentObjectsStillExist, psycopg.errors.InsufficientPrivilege) as error:
            yield f"left role {role}: {one_line(error)}"
        else:
            yield f"dropped role {role}"
