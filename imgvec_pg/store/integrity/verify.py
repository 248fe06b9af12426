"""Verify a collection against its source and itself; read-only."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.column_check import check_columns_are_there
from imgvec_pg.store.integrity.pages import page_rows_beside, read_page, without_expressions
from imgvec_pg.store.integrity.reconcile import tables_without_triggers
from imgvec_pg.store.integrity.renewal import lacks_foreign_key
from imgvec_pg.store.pictures.siblings import donor_parts, find_siblings
from imgvec_pg.store.queue.jobs import Key, queue_depth
from imgvec_pg.store.radius.coordinate_tables import coordinate_parts, coordinate_tolerance
from imgvec_pg.store.source import describe_source
from imgvec_pg.store.transactions import ROW_ERRORS, read_like_triggers

EXAMPLES = 5
"""Keys named for each kind of difference."""
LATE_SECONDS = 120
STUCK_SECONDS = 3600

KINDS = {
    "missing": "have a picture and neither embedding, failure nor job",
    "changed": "name another picture than the one that was embedded",
    "changed_bytes": "hold other bytes than those that were embedded",
    "changed_failure": "failed, and name another picture now",
    "unreadable": "are embedded, and their picture cannot be read now",
    "orphan": "are embedded, and the source has no such row or no picture in it",
    "orphan_failure": "are failures of which the source has no row",
    "bad_vector": "have a vector of another norm than 1 or of another length",
    "bad_coordinates": "are embedded, and the radius index has not their coordinates: within_* may miss them",
    "different_vector": "have another vector than the model gives for the same bytes",
    "stuck": "are queued, and nobody works on them",
    "queued_without_row": "are queued, and the source has no such row: harmless",
    "unseen": "reasons why triggers could not file changes, which may be missing here",
    "without_foreign_key": "foreign key to the source is gone or not valid: deleted rows may still be found",
    "without_triggers": "tables of the source lack triggers: their changes are not seen",
}
"""Kinds of difference, each with what its rows have in common."""
HARMLESS = frozenset({"queued_without_row"})
BY_HAND = {
    "unreadable": "put the files back, or change the rows",
    "stuck": "run a worker: imgvec worker {name}",
}
"""Kinds that --repair cannot fix, and what does."""


@dataclass
class Difference:
    """Differences of one kind: how many rows, and some of their keys (of `without_triggers` the names of tables)."""

    kind: str
    rows: int = 0
    examples: list[Key | str] = field(default_factory=list)

    def add(self, rows: int, examples: Iterable[Key | str]) -> None:
        """Count more rows of the kind."""
        self.rows += rows
        self.examples = [*self.examples, *examples][:EXAMPLES]


@dataclass
class Verified:
    """Result of verifying a collection: counts and differences.

    Attributes:
        source_rows: Rows of the source that were looked at, with a picture or without.
        embedded, queued, failed: Embeddings, keys in the queue, and failures with a reason: none of them is a difference.
        pictures_read: Files read and compared, and rows embedded anew.
    """

    collection: str
    source: str
    source_rows: int = 0
    embedded: int = 0
    queued: int = 0
    failed: int = 0
    pictures_read: int = 0
    differences: dict[str, Difference] = field(default_factory=dict)

    def add(self, kind: str, rows: int, examples: Iterable[Key | str]) -> None:
        """Note rows that differ."""
        self.differences.setdefault(kind, Difference(kind)).add(rows, examples)

    def listed(self) -> list[Difference]:
        """Return what differs, in the order of KINDS."""
        return [self.differences[kind] for kind in KINDS if kind in self.differences]

    @property
    def is_in_step(self) -> bool:
        """Whether there is nothing to repair."""
        return all(kind in HARMLESS for kind in self.differences)


@contextmanager
def reading_only(connection: Connection, collection: Collection) -> Iterator[None]:
    """Run one transaction that cannot write, and sees the source as the triggers do."""
    with connection.transaction():
        # First what may make a function of this session's own, see store/transactions.py.
        read_like_triggers(connection, collection)
        connection.execute("SET TRANSACTION READ ONLY")
        yield


def verify_collection(
    connection: Connection,
    collection: Collection,
    *,
    contents: bool = False,
    progress: Callable[[int], None] = lambda rows: None,
) -> Verified:
    """Compare source, embeddings, failures and queue.

    Each page of the source is one statement, so that changes that go on meanwhile are never taken for differences.

    Args:
        contents: Read and hash the pictures in the table too.
        progress: Called with the source rows looked at so far.

    Raises:
        CollectionError: The source or a column that it is read by is gone.
        psycopg.errors.InsufficientPrivilege: The role may not read it all.
    """
    check_columns_are_there(connection, collection)
    found = Verified(collection.name, collection.shown_source)
    _compare_source(connection, collection, contents, found, progress)
    schema = vector_schema(connection)
    parts = bindable(collection.parts(schema))
    values = {
        "examples": EXAMPLES,
        "late_seconds": LATE_SECONDS,
        "stuck_seconds": STUCK_SECONDS,
        "tolerance": coordinate_tolerance(collection.dimensions),
    }
    names = ["find_orphans", "find_bad_vectors", "find_bad_jobs"]
    if collection.has_radius_index:
        parts = bindable(coordinate_parts(collection, schema))
        names.append("find_bad_coordinates")
    for name in names:
        for kind, rows, keys in _find(connection, collection, name, parts, values):
            found.add(kind, rows, keys)
    with reading_only(connection, collection):
        counted = connection.execute(render("collection/count_states.sql", **parts)).fetchone()
    if counted is not None:
        found.embedded, found.queued, found.failed = counted
    if lacks_foreign_key(connection, collection):
        found.add("without_foreign_key", 1, [collection.embedding_table])
    unseen = connection.execute(load_sql("queries/unseen_changes.sql"), [collection.id]).fetchall()
    if unseen:
        found.add("unseen", len(unseen), [str(message) for (message,) in unseen])
    source = describe_source(connection, collection.source.as_string(connection), collection.key_columns)
    untriggered = tables_without_triggers(connection, collection, source)
    if untriggered:
        found.add("without_triggers", len(untriggered), [".".join(table) for table in untriggered])
    return found


def _find(
    connection: Connection,
    collection: Collection,
    name: str,
    parts: dict[str, sql.Composable],
    values: Mapping[str, float],
) -> list[tuple[str, int, list[Key | str]]]:
    """Run one of the statements that find a kind of difference; where a view's expressions fail, by the keys alone."""
    try:
        with reading_only(connection, collection):
            return connection.execute(render(f"collection/{name}.sql", **parts), values).fetchall()
    except ROW_ERRORS:
        with reading_only(connection, collection):
            known = without_expressions(parts)
            return connection.execute(render(f"collection/{name}.sql", **known), values).fetchall()


def _compare_source(
    connection: Connection,
    collection: Collection,
    contents: bool,
    found: Verified,
    progress: Callable[[int], None],
) -> None:
    after: Key | None = None
    attempt = 0
    values = {"reconciles": True, "contents": contents, "examples": EXAMPLES}
    least_rows = page_rows_beside(queue_depth(connection, collection.id).waiting)
    while True:
        page = read_page(
            connection,
            collection,
            "find_differences",
            after,
            values,
            attempt,
            read_only=True,
            least_rows=least_rows,
        )
        after, looked_at, differences = page.row
        attempt = page.next_attempt
        found.source_rows += looked_at
        for kind, rows, keys in differences:
            found.add(kind, rows, keys)
        progress(found.source_rows)
        if page.is_last(looked_at):
            return


def count_leftovers(connection: Connection) -> int:
    """Count jobs and failures of collections that are no more."""
    row = connection.execute(load_sql("queries/find_leftovers.sql")).fetchone()
    return sum(row) if row else 0


def drop_leftovers(connection: Connection) -> int:
    """Delete jobs and failures of collections that are no more, and return how many."""
    row = connection.execute(load_sql("queries/drop_leftovers.sql")).fetchone()
    return int(row[0]) if row else 0


def enqueue_again(connection: Connection, collection: Collection, rows: Sequence[tuple[Key, int]]) -> int:
    """File embedded keys again, each with the version that its embedding was seen at; return how many still had it."""
    if not rows:
        return 0
    return _changed(
        connection,
        collection,
        "enqueue_again",
        {"keys": Jsonb([key for key, _ in rows]), "versions": [version for _, version in rows]},
    )


def enqueue_doubtful(connection: Connection, collection: Collection, rows: Sequence[tuple[Key, int]]) -> int:
    """File keys whose vector is not their picture's, and all rows that may have copied it; return how many.

    Those of other collections by the same model among them, where this role may change their embeddings. None of these vectors is
    copied from then on: workers that found one before are kept from writing it by the collections' locks.
    """
    if not rows:
        return 0
    values = {"keys": Jsonb([key for key, _ in rows]), "versions": [version for _, version in rows]}
    statement = render("collection/doubtful_hashes.sql", **donor_parts(collection, vector_schema(connection)))
    with connection.transaction():
        related = [collection, *find_siblings(connection, collection, "UPDATE")]
        for each in sorted(related, key=lambda each: each.id):
            connection.execute(load_sql("queries/lock_collection_exclusive.sql"), {"collection_id": each.id})
        with connection.transaction():
            read_like_triggers(connection, collection)
            found = connection.execute(statement, values).fetchall()
        hashes: dict[str, object] = {"hashes": [content_hash for (content_hash,) in found]}
        return sum(_changed(connection, each, "enqueue_doubtful", hashes) for each in related)


def replace_bad_vectors(connection: Connection, collection: Collection) -> int:
    """Delete embeddings that cannot be found rightly, file their keys, and return how many."""
    return _changed(connection, collection, "replace_bad_vectors")


def drop_empty_jobs(connection: Connection, collection: Collection) -> int:
    """Delete jobs of which no key has a row any more, and return their keys' number."""
    return _changed(connection, collection, "drop_empty_jobs")


def _changed(
    connection: Connection, collection: Collection, name: str, values: dict[str, object] | None = None
) -> int:
    parts: dict[str, sql.Composable] = dict(bindable(collection.parts(vector_schema(connection))))
    with connection.transaction():
        read_like_triggers(connection, collection)
        row = connection.execute(render(f"collection/{name}.sql", **parts), values or {}).fetchone()
    return int(row[0]) if row else 0
