"""The index on the hashes of pictures, by which a collection's pictures are looked up."""

from dataclasses import dataclass

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.store.collection import Collection


@dataclass(frozen=True)
class ContentIndex:
    """An embedding table or partition and its index on the pictures' hashes, None where there is none."""

    table_name: str
    index_name: str | None
    is_valid: bool
    is_parent: bool


def content_indexes(connection: Connection, collection: Collection) -> list[ContentIndex]:
    """Return the state of each table of a collection, partitions before their parent."""
    rows = connection.execute(
        load_sql("queries/content_index.sql"), {"table": f"imgvec.{collection.embedding_table}"}
    ).fetchall()
    return [ContentIndex(*row) for row in rows]


def has_content_index(connection: Connection, collection: Collection) -> bool:
    """Whether pictures of this collection are looked up by an index: without one a look-up would read the whole table."""
    return all(state.is_valid for state in content_indexes(connection, collection) if not state.is_parent)
