"""Checks of pictures that several rows share, and of blank ones: how many there are, and what they cost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.doctor.index_and_queue_checks import index_bytes, size
from imgvec_pg.doctor.source_checks import CollectionFacts
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.ddl import index_states
from imgvec_pg.store.pictures.content_index_state import has_content_index
from imgvec_pg.store.pictures.picture_table import PictureCounts
from imgvec_pg.text import counted

COUNTED_ROWS = 100_000
"""A larger table is sampled."""
SAMPLED_ROWS = 2_000
MOST_COPIES = 1_000
"""Rows counted of one picture, where a table is sampled."""
LIMIT_MS = 5_000
WORTH_TELLING = 0.05
"""Share of rows."""
ISLAND_COPIES = 300
"""Rows of one picture from which an HNSW index loses sight of others: ten of them are one element, of 2 m = 32 links."""


@dataclass(frozen=True)
class Copies:
    """How many rows have how many pictures, and the most rows of one; estimated where `is_sampled`."""

    rows: int
    pictures: float
    most: int
    is_sampled: bool

    @property
    def share(self) -> float:
        """Rows that a picture's first one would do for, 0 to 1."""
        return max(0.0, 1 - self.pictures / self.rows) if self.rows else 0.0


def check_copies(connection: Connection, collection: Collection, facts: CollectionFacts) -> Iterator[Finding]:
    """Tell what copies and blank pictures cost, and whether copies are found at all."""
    name = collection.name
    has_index = has_content_index(connection, collection)
    if not has_index:
        yield Finding(
            "warning",
            name,
            "no index on content_hash: a picture that several rows have is embedded anew for each of them",
            f"imgvec index create {name}",
        )
    try:
        copies = count_copies(connection, collection, facts.estimated_rows, has_index)
        blank = count_blank(connection, collection)
    except psycopg.errors.QueryCanceled:
        yield Finding("info", name, f"copies of pictures could not be counted within {LIMIT_MS // 1000} s")
        return
    if copies is not None and copies.share >= WORTH_TELLING:
        yield tell_copies(connection, collection, copies)
    rows = max(facts.estimated_rows, blank)
    if blank and blank >= WORTH_TELLING * rows:
        yield Finding(
            "info",
            name,
            f"{counted(blank, 'row')} of about {rows:,} ({blank / rows:.0%}) {'has' if blank == 1 else 'have'} a blank picture, "
            "of one single colour: they are embedded and found like all others"
            f"{tell_cost(connection, collection, blank, blank / rows)}",
            f"SELECT * FROM imgvec.noted_pictures WHERE collection = '{name}' AND code = 'blank'",  # noqa: S608 - shown
        )


def tell_copies(connection: Connection, collection: Collection, copies: Copies) -> Finding:
    """Say how many rows share a picture, what they take, and whether the index should be over different pictures."""
    about = "about " if copies.is_sampled else ""
    name = collection.name
    shown = (
        f"{about}{copies.share:.0%} of {copies.rows:,} rows are copies: they have {about}{copies.pictures:,.0f} different "
        f"pictures{tell_cost(connection, collection, round(copies.rows * copies.share), copies.share)}"
    )
    listing = f"SELECT picture, count(*) FROM imgvec.copies_{name}() GROUP BY picture ORDER BY count(*) DESC LIMIT 10"  # noqa: S608
    if collection.by_picture:
        return Finding("info", name, f"{shown}; the index holds each picture once", listing)
    counts = PictureCounts(copies.rows, round(copies.pictures), copies.most)
    is_graph = collection.index_method == "hnsw"
    # An index over bits or of lists is always over rows.
    suits = is_graph and collection.quantization is None and counts.suit_pictures(now=False)
    next_step = f"imgvec index rebuild {name}" if suits else listing
    if copies.most <= ISLAND_COPIES or not is_graph:
        return Finding("info", name, shown, next_step)
    most = f"{copies.most:,} rows{' or more' if copies.most == MOST_COPIES and copies.is_sampled else ''}"
    warning = f"one picture has {most}, and among more than {ISLAND_COPIES} equal vectors an HNSW index misses others"
    return Finding("warning", name, f"{shown}; {warning}", next_step)


def tell_cost(connection: Connection, collection: Collection, rows: int, share: float) -> str:
    """Say what so many rows, and this share of all, take of the table and of an index over rows.

    A halfvec takes 2 bytes a dimension and 8 more (pgvector 0.8 src/halfvec.h).
    """
    vectors = f"; their vectors take {size(rows * (2 * collection.dimensions + 8))}"
    if collection.by_picture:
        return vectors
    in_index = int(index_bytes(index_states(connection, collection)) * share)
    return f"{vectors}, and {size(in_index)} of the index" if in_index else vectors


def count_copies(
    connection: Connection, collection: Collection, estimated_rows: int, has_index: bool
) -> Copies | None:
    """Count pictures, or estimate them where the table is large; None where that would read all of a large one.

    Raises:
        psycopg.errors.QueryCanceled: It took too long.
    """
    is_sampled = estimated_rows > COUNTED_ROWS
    if is_sampled and not has_index:
        return None
    parts = bindable(collection.parts_without_source("public"))
    values = {
        "percent": min(100.0, 100.0 * SAMPLED_ROWS / max(estimated_rows, 1)),
        "rows": 2 * SAMPLED_ROWS,
        "most": MOST_COPIES,
    }
    file = "estimate_copies" if is_sampled else "count_copies"
    row = _run(connection, render(f"collection/{file}.sql", **parts), values)
    if row is None or not row[0]:
        return None
    if not is_sampled:
        return Copies(row[0], row[1], row[2], False)
    return Copies(estimated_rows, row[1] / row[0] * estimated_rows, row[2], True)


def count_blank(connection: Connection, collection: Collection) -> int:
    """Count rows noted as blank, up to ten times COUNTED_ROWS."""
    values = {"collection_id": collection.id, "most": 10 * COUNTED_ROWS}
    row = _run(connection, load_sql("queries/count_blank.sql"), values)
    return int(row[0]) if row else 0


def _run(
    connection: Connection, statement: sql.SQL | sql.Composed, values: Mapping[str, object]
) -> tuple[int, ...] | None:
    with connection.transaction():
        connection.execute("SELECT set_config('statement_timeout', %s, true)", [str(LIMIT_MS)])
        return connection.execute(statement, values).fetchone()
