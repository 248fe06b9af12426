"""Ask a coordinator's search function from Python: with words, a picture, a row or a vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.errors import CollectionNotFoundError, DatabaseError


@dataclass(frozen=True)
class ShardedRow:
    """A row found: its key, a value a column, and its cosine distance, 0 to 2."""

    key: dict[str, Any]
    distance: float


@dataclass(frozen=True)
class ShardedAnswer:
    """Rows in the order of their distance, and how they were found: "index (3 of 3 shards)"."""

    rows: list[ShardedRow]
    strategy: str


def search_shards(
    connection: Connection,
    name: str,
    *,
    words: str | None = None,
    image: bytes | None = None,
    like: str | None = None,
    vector: Sequence[float] | None = None,
    k: int = 10,
    distinct: bool = True,
    partial: bool = False,
) -> ShardedAnswer:
    """Find the nearest rows of all shards; exactly one of words, image, like and vector is given.

    Args:
        name: A collection that spans shards (imgvec shard span).
        words: What a worker of a shard embeds.
        image: A picture's file, JPEG, PNG and so on, which a worker of a shard embeds.
        like: The key of an embedded row, of several columns as a JSON object.
        vector: Shape (dimensions,), not zero.
        k: Rows wanted, 1 to 10,000.
        distinct: Of the rows with one picture only that with the smallest key.
        partial: Take what the others have where a shard is away; strategy then names it.

    Raises:
        CollectionNotFoundError: No collection of this name spans shards.
        DatabaseError: A shard is away and partial is false, the words cannot be embedded, or an argument is out of range.
    """
    known = connection.execute(
        "SELECT key_columns FROM imgvec.sharded_collection WHERE name = %s", [name]
    ).fetchone()
    if known is None:
        raise CollectionNotFoundError(f'no collection "{name}" spans shards here; see: imgvec shard list')
    target, asked = _target(words, image, like, vector)
    # By names: the composite type of `among` is left out.
    call = sql.SQL(
        "SELECT * FROM imgvec.{}({}, %(k)s, distinct_pictures => %(distinct)s, partial => %(partial)s)"
    ).format(sql.Identifier(f"search_{name}"), target)
    values = {"name": name, "asked": asked, "k": k, "distinct": distinct, "partial": partial}
    try:
        with connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(call, values).fetchall()
        way = connection.execute("SELECT imgvec.last_search_strategy()").fetchone()
    except psycopg.Error as error:
        hint = getattr(error.diag, "message_hint", None)
        raise DatabaseError(one_line(error) + (f" ({' '.join(hint.split())})" if hint else "")) from error
    rows = [ShardedRow({column: row[column] for column in known[0]}, float(row["distance"])) for row in found]
    return ShardedAnswer(rows, "" if way is None else str(way[0]))


def _target(
    words: str | None, image: bytes | None, like: str | None, vector: Sequence[float] | None
) -> tuple[sql.SQL, str | bytes | None]:
    """Return the SQL of the vector to ask with, and what stands for %(asked)s there."""
    if words is not None:
        return sql.SQL("imgvec.embed_text(%(name)s, %(asked)s)"), words
    if image is not None:
        return sql.SQL("imgvec.embed_image(%(name)s, %(asked)s)"), image
    if like is not None:
        return sql.SQL("imgvec.embedding_of(%(name)s, %(asked)s::text)"), like
    return sql.SQL("%(asked)s"), None if vector is None else str([float(part) for part in vector])
