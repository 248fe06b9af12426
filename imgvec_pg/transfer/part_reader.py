"""Read a collection's rows for an export: ranges of keys, each read by one statement, all of one snapshot where they share it."""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import psycopg
from psycopg import sql
from psycopg.types.string import ByteaBinaryLoader

from imgvec_pg.database.connect import Connection, one_line, vector_schema
from imgvec_pg.database.sql_templates import render
from imgvec_pg.errors import DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.guarded_columns import printed
from imgvec_pg.store.integrity.verify import reading_only
from imgvec_pg.store.transactions import read_like_triggers
from imgvec_pg.transfer.export_columns import columns_beside
from imgvec_pg.transfer.export_description import ExportDescription
from imgvec_pg.transfer.row_chunks import RowChunk

CHUNKS_AHEAD = 1
"""Read and not yet written; one more is being read, and one written."""
SHA256_BYTES = 32
NOT_SHARED = (psycopg.errors.UndefinedObject, psycopg.errors.InvalidParameterValue)
"""What SET TRANSACTION SNAPSHOT says of a snapshot that the server does not have, or that is of another database."""
Item = TypeVar("Item")


@dataclass(frozen=True)
class KeyRange:
    """Keys behind one and up to another, each a text for each key column; None where there is no such end."""

    after: Sequence[str] | None
    until: Sequence[str] | None


@contextmanager
def shared_snapshot(leader: Connection, collection: Collection) -> Iterator[str]:
    """Give the name of a snapshot that other sessions may read until the block ends.

    The leader's own transaction is READ COMMITTED, so that the snapshot is younger than its lock on the source: no policy
    can have come between, which readers would not see and obey.
    """
    with reading_only(leader, collection):
        row = leader.execute("SELECT pg_catalog.pg_export_snapshot()").fetchone()
        yield str(row[0] if row else "")


@contextmanager
def _reading(connection: Connection, collection: Collection, snapshot: str | None) -> Iterator[None]:
    """Run one transaction that cannot write: of a snapshot, or of its statements' own moments.

    Raises:
        DatabaseError: The server does not have the snapshot.
    """
    if snapshot is None:
        with reading_only(connection, collection):
            yield
        return
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        try:
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        except NOT_SHARED as error:
            raise DatabaseError(
                f"the connections of this export do not share a snapshot ({one_line(error)}), as if they reached different "
                "servers: connect to one server, or read over one connection with --jobs 1"
            ) from error
        read_like_triggers(connection, collection)
        connection.execute("SET TRANSACTION READ ONLY")
        yield


def key_ranges(
    leader: Connection,
    collection: Collection,
    after: Sequence[str] | None,
    part_rows: int,
    *,
    is_in_transaction: bool,
) -> Iterator[KeyRange]:
    """Give ranges behind a key that together have all rows, so many rows each; the last one has no end, and may have no rows.

    Args:
        is_in_transaction: The connection is in one already, which reads as the triggers do.
    """
    while True:
        if is_in_transaction:
            until = _find_cut(leader, collection, after, part_rows)
        else:
            with reading_only(leader, collection):
                until = _find_cut(leader, collection, after, part_rows)
        yield KeyRange(after, until)
        if until is None:
            return
        after = until


def _find_cut(
    leader: Connection, collection: Collection, after: Sequence[str] | None, part_rows: int
) -> list[str] | None:
    """Return the key of the last of so many rows behind a key; None where there are fewer."""
    row = leader.execute(
        render(
            "collection/export_cut.sql",
            **collection.parts(vector_schema(leader)),
            texts_of_key=_texts_of_key(collection),
            of_range=_of_range(collection, KeyRange(after, None)),
            skipped=sql.Literal(part_rows - 1),
        )
    ).fetchone()
    return None if row is None else [str(text) for text in row]


def _texts_of_key(collection: Collection) -> sql.Composed:
    return sql.SQL(", ").join(printed(sql.Identifier("e", name)) for name in collection.key_columns)


def _of_range(collection: Collection, keys: KeyRange) -> sql.Composable:
    """Return the WHERE clause that a row's key is in a range; nothing for all keys."""
    conditions = []
    for sign, end in ((">", keys.after), ("<=", keys.until)):
        if end is None:
            continue
        values = [
            sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(kind))
            for text, kind in zip(end, collection.key_types, strict=True)
        ]
        conditions.append(collection.key_sql.ordered("e", sign, values))
    return sql.SQL("WHERE {}").format(sql.SQL(" AND ").join(conditions)) if conditions else sql.SQL("")


def read_part(
    connection: Connection,
    collection: Collection,
    description: ExportDescription,
    types: dict[str, str],
    keys: KeyRange,
    snapshot: str | None,
    chunk_rows: int,
) -> Generator[RowChunk]:
    """Give the rows of a range in the order of the key, some at a time.

    Args:
        types: Types of PostgreSQL's of the columns that stand beside the vectors.
        snapshot: Name of one that another session shares; None for the statement's own moment.
        chunk_rows: Rows given at a time.
    """
    parts = collection.parts(vector_schema(connection))
    key_count = len(collection.key_columns)
    columns, join = columns_beside(collection, description, types, parts)
    statement = render(
        "collection/export_rows.sql",
        **parts,
        texts_of_key=_texts_of_key(collection),
        columns=columns,
        join=join,
        of_range=_of_range(collection, keys),
    )
    count = key_count + 3 + len(description.columns)
    with (
        _reading(connection, collection, snapshot),
        connection.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        # Texts arrive in the connection's encoding, which is UTF-8.
        copy.set_types(["bytea"] * count)
        cursor.adapters.register_loader("bytea", ByteaBinaryLoader)
        rows: list[tuple[bytes | None, ...]] = []
        for row in copy.rows():
            rows.append(row)
            if len(rows) == chunk_rows:
                yield _chunk(rows, key_count, description)
                rows = []
        if rows:
            yield _chunk(rows, key_count, description)


def _chunk(
    rows: Sequence[tuple[bytes | None, ...]], key_count: int, description: ExportDescription
) -> RowChunk:
    values = list(zip(*rows, strict=True))
    # pgvector 0.8 src/halfvec.c, halfvec_send: four bytes come before the halves, most significant byte first.
    packed = np.frombuffer(b"".join(value or b"" for value in values[key_count + 2]), dtype=np.uint8)
    halves = packed.reshape(len(rows), -1).view(">f2")[:, 2:]
    return RowChunk(
        keys=[[(value or b"").decode() for value in column] for column in values[:key_count]],
        vectors=halves.astype(np.dtype(description.vector_type)),
        hashes=(
            [_sha256(value) for value in values[key_count]],
            [_sha256(value) for value in values[key_count + 1]],
        ),
        columns=[
            [None if value is None else value.decode() for value in column]
            for column in values[key_count + 3 :]
        ],
    )


def _sha256(value: bytes | None) -> bytes:
    """Return a hash; what stands in its place for a picture of unknown bytes is none."""
    return value if value is not None and len(value) == SHA256_BYTES else b""


def made_ahead(items: Generator[Item]) -> Generator[Item]:
    """Give items that a thread makes meanwhile, few beforehand: reading and writing take turns no longer.

    Closed early, it closes the items too before it returns.
    """
    made: queue.Queue[Item | BaseException | None] = queue.Queue(maxsize=CHUNKS_AHEAD)
    stopped = threading.Event()

    def make() -> None:
        try:
            with closing(items):
                for item in items:
                    made.put(item)
                    if stopped.is_set():
                        return
            made.put(None)
        except BaseException as error:
            made.put(error)

    thread = threading.Thread(target=make, name="imgvec-export-read", daemon=True)
    thread.start()
    try:
        while (item := made.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        while thread.is_alive():
            with suppress(queue.Empty):
                made.get(timeout=0.05)
