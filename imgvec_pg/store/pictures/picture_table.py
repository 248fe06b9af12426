"""Indexes over different pictures: an HNSW index that holds each picture of a collection once, however many rows have it.

Equal vectors link to each other in an HNSW graph and become an island: 2 to 3 % of a shop's pictures are not found by their own
near copies then (benchmarks/results/copies.txt). So where rows share pictures, the different ones are kept beside the rows
(sql/collection/picture_table.sql, in step by triggers), the index is over them, and near_* and search_* join the rows. Where none
are shared there is nothing of all this: the rows are indexed themselves.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from psycopg import sql

from imgvec_pg.database.connect import (
    Connection,
    lock_timeout,
    pinned_search_path,
    vector_schema,
)
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.store.aliases import refresh_aliases
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import (
    picture_policies,
    picture_triggers,
    table_comment,
)
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.search_functions import grants, render_function
from imgvec_pg.store.transactions import short_transaction

LEAST_ROWS = 1000
"""Of fewer rows an exact search takes a millisecond."""
FEW_ENOUGH, TOO_MANY = 0.8, 0.9
"""Different pictures for each row up to which they are indexed in place of the rows, and from which on rows are again. The
pictures' vectors are stored a second time, 2 bytes a dimension, which the smaller index makes up for in part."""
ISLAND, NO_ISLAND = 300, 150
"""Rows of one picture that do the same: among more than about 300 equal vectors HNSW loses sight of others."""
STEP = 1000
"""Pictures looked at in one transaction that removes those which no row has."""
LOCK_MS = 10_000


@dataclass(frozen=True)
class PictureCounts:
    """Counts of a collection: embedded rows, different pictures among them, and the most rows that one of them has."""

    rows: int
    pictures: int
    most: int

    def suit_pictures(self, *, now: bool) -> bool:
        """Whether an index over the pictures suits better than one over the rows.

        Args:
            now: Whether it is over them now; so that a collection at the border does not change with each rebuild.
        """
        share, island = (TOO_MANY, NO_ISLAND) if now else (FEW_ENOUGH, ISLAND)
        return self.rows >= LEAST_ROWS and (self.pictures <= share * self.rows or self.most >= island)


def count_pictures(connection: Connection, collection: Collection) -> PictureCounts:
    """Count them; a row whose vector an application wrote has a picture of its own. Reads the whole table."""
    statement = render(
        "collection/count_rows_and_pictures.sql", embedding_table=sql.Identifier(collection.embedding_table)
    )
    row = connection.execute(statement).fetchone()
    return PictureCounts(*row) if row else PictureCounts(0, 0, 0)


def with_fitting_index(connection: Connection, collection: Collection) -> Collection:
    """Return the collection with its index over what suits it: the different pictures, or the rows.

    An index of another method than HNSW is over the rows: equal vectors lie in one list. So is one of partitions by tenant,
    since pictures that tenants share belong to none of them.
    """
    is_over_vectors = collection.index_method == "hnsw" and collection.quantization is None
    if not is_over_vectors or collection.source_name is None or collection.partition_by is not None:
        return replace(collection, by_picture=False)
    counts = count_pictures(connection, collection)
    return replace(collection, by_picture=counts.suit_pictures(now=collection.by_picture))


def has_pictures(connection: Connection, collection: Collection) -> bool:
    """Whether the table of different pictures is there; complete or, before its index is in use, not."""
    values = {"table": sql.Identifier("imgvec", collection.picture_table).as_string(connection)}
    row = connection.execute(load_sql("queries/has_pictures.sql"), values).fetchone()
    return bool(row and row[0])


def prepare_pictures(connection: Connection, wanted: Collection) -> None:
    """Make and fill the table of different pictures, beside running reads and writes.

    Its triggers take SHARE ROW EXCLUSIVE on the embedding table for a moment: readers go on, writers wait.
    """
    schema = vector_schema(connection)
    parts = wanted.parts(schema)
    with lock_timeout(connection, LOCK_MS), pinned_search_path(connection):
        connection.execute(
            render("collection/picture_table.sql", **parts, comment=sql.Literal(table_comment(wanted)))
        )
        connection.execute(picture_triggers(wanted, schema))
        state = connection.execute(
            load_sql("queries/policy_state.sql"),
            {"table": wanted.embedding_table, "collection_id": wanted.id},
        ).fetchone()
        connection.execute(picture_policies(wanted, hides_rows=bool(state and (state[0] or state[2]))))
        connection.execute(grants(parts))
    naming = render("collection/name_unknown_pictures.sql", **parts)
    while (row := connection.execute(naming).fetchone()) and row[0]:
        pass
    complete_pictures(connection, wanted)
    connection.execute(
        sql.SQL("ANALYZE imgvec.{} (content_hash)").format(sql.Identifier(wanted.embedding_table))
    )
    connection.execute(sql.SQL("ANALYZE imgvec.{}").format(sql.Identifier(wanted.picture_table)))


def complete_pictures(connection: Connection, collection: Collection) -> int:
    """Add the pictures of rows that were written where no trigger fires, as on a subscriber; return how many."""
    statement = render("collection/fill_pictures.sql", **collection.parts(vector_schema(connection)))
    return connection.execute(statement).rowcount


def adopt_shape(connection: Connection, wanted: Collection, schema: str) -> None:
    """Let searches ask the index over `wanted.indexed_table`; belongs into the transaction in which that becomes the index.

    Functions are replaced as they are, so what depends on them stays.
    """
    connection.execute(
        load_sql("queries/define_shape.sql"),
        {"by_picture": wanted.by_picture, "collection_id": wanted.id},
    )
    # A radius index may have come or gone while the index was built.
    present = get_collection(connection, wanted.name)
    wanted = replace(wanted, has_radius_index=present.has_radius_index)
    parts = {**wanted.parts(schema), "create": sql.SQL("CREATE OR REPLACE FUNCTION")}
    for name in wanted.function_files:
        connection.execute(render_function(name, parts))
    connection.execute(grants(parts))
    refresh_aliases(connection, wanted, schema)


def drop_pictures(connection: Connection, collection: Collection, *, lock_timeout_ms: int = LOCK_MS) -> None:
    """Drop the table of different pictures, which no function asks any more, with what keeps it in step.

    Raises:
        DatabaseError: The lock was not had in time; nothing was dropped.
    """
    with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
        connection.execute(
            render("collection/drop_pictures.sql", **collection.parts_without_source("public"))
        )


class PictureTidy:
    """Removes pictures that no row has any more, in small steps, whenever it is asked to.

    A pass over all begins every `interval_seconds`; no transaction lasts longer than it takes to look at STEP pictures.
    """

    def __init__(
        self,
        collection: Collection,
        interval_seconds: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._collection = collection
        self._interval = interval_seconds
        self._clock = clock
        self._after: bytes | None = None
        self._begun_at: float | None = None
        self.removed = 0

    def look(self, connection: Connection, seconds: float = 0.5) -> None:
        """Go on for this long at most, where a pass is due or under way."""
        began = self._clock()
        if self._after is None:
            if self._begun_at is not None and began - self._begun_at < self._interval:
                return
            self._begun_at = began
            if not has_pictures(connection, self._collection):
                return
            self._after = b""
        while self._after is not None and self._clock() - began < seconds:
            if not self._step(connection):
                return

    def _step(self, connection: Connection) -> bool:
        """Look at the next pictures; whether nobody was writing."""
        collection = self._collection
        statement = render(
            "collection/tidy_pictures.sql",
            picture_table=sql.Identifier(collection.picture_table),
            embedding_table=sql.Identifier(collection.embedding_table),
            vector=sql.Identifier(vector_schema(connection)),
        )
        with short_transaction(connection):
            lock = connection.execute(
                load_sql("queries/try_lock_pictures.sql"), {"collection_id": collection.id}
            ).fetchone()
            if lock is None or not lock[0]:
                return False
            row = connection.execute(statement, {"after": self._after, "most": STEP}).fetchone()
        assert row is not None  # noqa: S101 - it gives one row
        self.removed += int(row[0])
        self._after = row[1]
        return True
