"""Find registered collections, by name or all."""

from contextlib import suppress

import psycopg
from psycopg.rows import TupleRow, class_row

from imgvec_pg.database.connect import (
    Connection,
)
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import (
    CollectionChangedError,
    CollectionError,
    CollectionNotFoundError,
    CollectionReplacedError,
    UsageError,
)
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.guarded_columns import reads_as
from imgvec_pg.store.transactions import read_as_owner

WORKED_BY = (
    "source_schema",
    "source_name",
    "is_partitioned",
    "reads_as",
    "key_columns",
    "key_types",
    "key_equality_schemas",
    "source_key_types",
    "path_column",
    "content_column",
    "watch_columns",
    "url_prefixes",
    "root",
    "has_foreign_key",
    "rendering",
)
"""Fields of a collection that a worker's statements are made from, and its pictures."""


def find_collections(connection: Connection, name: str | None = None) -> list[Collection]:
    """Return all collections, or those that a name or alias points to (none or one)."""
    with connection.cursor(row_factory=class_row(Collection)) as cursor:
        query = render("queries/collections.sql", reads_as=reads_as("r"))
        found = cursor.execute(query, {"name": name}).fetchall()
    for collection in found:
        # A standby cannot: what then reads the view says so.
        with suppress(psycopg.errors.ReadOnlySqlTransaction):
            read_as_owner(connection, collection)
    return found


def get_collection(
    connection: Connection, name: str | None = None, *, say_which: str = "--collection NAME"
) -> Collection:
    """Return the collection of this name or alias; None takes the only one there is.

    Args:
        say_which: How the caller's user names one: "--collection NAME", "imgvec backfill NAME".

    Raises:
        CollectionNotFoundError: There is none.
        UsageError: None was given and there are several.
    """
    found = find_collections(connection, name)
    if name is None and len(found) > 1:
        names = ", ".join(c.name for c in found)
        raise UsageError(f"there are {len(found)} collections ({names}); say which: {say_which}")
    if found:
        return found[0]
    if name is not None and spans_shards(connection, name):
        raise CollectionNotFoundError(
            f'the rows of "{name}" lie on other servers, which this does not ask; search them with: imgvec search --collection '
            f"{name}, imgvec.search_{name} in SQL, or search() of imgvec_pg.sqlalchemy; for all else ask a shard itself"
        )
    others = ", ".join(c.name for c in find_collections(connection))
    aliases = connection.execute(
        load_sql("queries/aliases.sql"), {"name": None, "collection_id": None}
    ).fetchall()
    if aliases:
        others += f"; aliases: {', '.join(row[0] for row in aliases)}"
    if name is None or not others:
        raise CollectionNotFoundError(f"there is {none_yet(connection)}")
    raise CollectionNotFoundError(f'collection "{name}" does not exist; there are: {others}')


def none_yet(connection: Connection) -> str:
    """Return what to say where a database has no collection: how to make one, or that those of a coordinator lie elsewhere."""
    if names := find_spans(connection):
        return f"no collection in this database itself; on shards: {', '.join(names)} (imgvec shard list)"
    return "no collection yet; make one with: imgvec collection create"


def spans_shards(connection: Connection, name: str) -> bool:
    """Whether the rows of a collection of this name lie on shards: imgvec shard span."""
    return name in find_spans(connection)


def find_span(connection: Connection, name: str | None) -> str | None:
    """Return the collection that spans shards where this name means one, or it is the only one there is; else None."""
    spans = find_spans(connection)
    if name is None:
        return spans[0] if len(spans) == 1 and not find_collections(connection) else None
    return name if name in spans else None


def find_spans(connection: Connection) -> list[str]:
    """Return the names of the collections that span shards: imgvec shard span."""
    row = connection.execute("SELECT to_regclass('imgvec.sharded_collection') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return []
    return [
        str(found[0]) for found in connection.execute("SELECT name FROM imgvec.sharded_collection ORDER BY 1")
    ]


def refuse_span(connection: Connection, name: str) -> None:
    """Refuse a name whose search function is that over shards: a second one would make each call ambiguous.

    Raises:
        CollectionError: A collection of this name spans shards.
    """
    if spans_shards(connection, name):
        raise CollectionError(
            f'"{name}" spans shards here, whose search_{name} is in the way; choose another name, or first: '
            f"imgvec shard unspan {name}"
        )


def require_same_collection(connection: Connection, name: str, collection: Collection) -> Collection:
    """Check that a name or alias still means the collection that it meant before, and return it as it is now.

    Raises:
        CollectionNotFoundError: It means none any more.
        CollectionReplacedError: It means another one.
    """
    found = find_collections(connection, name)
    if not found:
        raise CollectionNotFoundError(f"collection {name} was dropped meanwhile")
    if found[0].id != collection.id:
        what = (
            f"collection {name} was dropped and created again meanwhile"
            if found[0].name == collection.name
            else f"{name} points to collection {found[0].name} now, no longer to {collection.name}"
        )
        raise CollectionReplacedError(what)
    return found[0]


def require_unchanged_collection(connection: Connection, name: str, collection: Collection) -> None:
    """Check the same, and that the collection is read and written as it was.

    Raises:
        CollectionNotFoundError, CollectionReplacedError: As require_same_collection.
        CollectionChangedError: Statements made for it before are not those that it takes now.
    """
    now = require_same_collection(connection, name, collection)
    changed = [field for field in WORKED_BY if getattr(now, field) != getattr(collection, field)]
    if changed:
        raise CollectionChangedError(f"collection {collection.name} has changed ({', '.join(changed)})")


class CollectionWatch:
    """Checks again and again that a collection is the one that it was: only rows of the catalogs while none has changed."""

    def __init__(self, name: str, collection: Collection) -> None:
        self.name = name
        self.collection = collection
        self._versions: TupleRow | None = None

    def check(self, connection: Connection) -> None:
        """Check it as require_unchanged_collection does.

        Raises:
            As require_unchanged_collection.
        """
        found = connection.execute(
            load_sql("queries/collection_versions.sql"), {"name": self.name}
        ).fetchone()
        if found is None or found != self._versions:
            require_unchanged_collection(connection, self.name, self.collection)
            # As it was before that: what changed meanwhile is met by the next check.
            self._versions = found
