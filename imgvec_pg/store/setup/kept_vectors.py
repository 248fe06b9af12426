"""Leave a collection's vectors behind as a plain table, in a schema of their own."""

from collections.abc import Iterator, Sequence

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.model_registry import read_fingerprint
from imgvec_pg.text import counted

SCHEMA = "imgvec_kept"


def begin_keeping(connection: Connection, collections: Sequence[Collection]) -> dict[str, str]:
    """Move the embedding tables of all collections out of the schema imgvec, and return what each is to say of itself.

    Raises:
        DatabaseError: The schema for them exists already.
    """
    found = connection.execute("SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s", [SCHEMA])
    if found.rowcount:
        raise DatabaseError(
            f"the schema {SCHEMA} exists already, as an earlier uninstall left it: rename it (ALTER SCHEMA {SCHEMA} "
            "RENAME TO …) or "
            "drop it first. Nothing was changed"
        )
    connection.execute(load_sql("keep_vectors_schema.sql"))
    comments = {}
    for collection in collections:
        comments[collection.name] = describe(connection, collection)
        table = sql.Literal(sql.Identifier("imgvec", collection.embedding_table).as_string(None))
        parts = collection.parts_without_source("public")
        connection.execute(render("collection/move_embeddings.sql", **parts, table_name=table))
    return comments


def describe(connection: Connection, collection: Collection) -> str:
    """Return what a kept table says of itself."""
    fingerprint = read_fingerprint(connection, collection)
    by = collection.model_name + (f" (fingerprint {fingerprint})" if fingerprint else "")
    return (
        f"Embeddings of {collection.shown_source} by {by}, each of L2 norm 1: compare them by <=>, the cosine distance. "
        "content_hash is the SHA-256 of the picture where it has 32 bytes, else unknown"
    )


def end_keeping(
    connection: Connection, collections: Sequence[Collection], comments: dict[str, str]
) -> Iterator[str]:
    """Make plain tables of them, once the collections are dropped; give a line for each.

    The library's pictures stay too, where a collection is over them, and what people decided about duplicates.
    """
    for collection in collections:
        parts = collection.parts_without_source("public")
        comment = sql.Literal(comments[collection.name])
        if collection.is_library:
            connection.execute(load_sql("move_library.sql"))
            yield f"kept the library's pictures in {SCHEMA}.image"
        connection.execute(render("collection/strip_embeddings.sql", **parts, comment=comment))
        name = sql.Identifier(SCHEMA, collection.embedding_table).as_string(None)
        yield f"kept the vectors of collection {collection.name} in {name}"
    decisions = _count_decisions(connection)
    if decisions:
        connection.execute(load_sql("move_decisions.sql"))
        yield f"kept {counted(decisions, 'decision')} about duplicates in {SCHEMA}.duplicate_decision"


def _count_decisions(connection: Connection) -> int:
    """Return how many decisions about duplicates there are; none in a schema of a revision before them."""
    row = connection.execute("SELECT to_regclass('imgvec.duplicate_decision') IS NOT NULL").fetchone()
    if not row or not row[0]:
        return 0
    counts = connection.execute("SELECT count(*) FROM imgvec.duplicate_decision").fetchone()
    return int(counts[0]) if counts else 0
