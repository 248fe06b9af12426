"""Read a collection's vectors and keys by a binary COPY: one statement, so one moment."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, needing, one_line, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.duplicates.plan import COORDINATE_BYTES
from imgvec_pg.duplicates.projection import Halves
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.text import size

ROWS_TOGETHER = 4096
KEY_BYTES = 160
"""What key, version and hash of one row take in Python, about."""
BASE_BYTES = 200 * 10**6
"""Modules, blocks of products and buffers."""
HEADER_BYTES = 4
"""Of a vector as PostgreSQL sends it: dimensions and an unused number, 16 bits each. Halves follow, big-endian."""


@dataclass(frozen=True)
class VectorRows:
    """Rows of one moment.

    Attributes:
        vectors: Shape (n, d), float16; in a file where memory is short.
        keys: JSON objects as text.
        versions: Shape (n,).
        content_hashes: Of the bytes they were embedded from.
        times: When they were embedded, in microseconds since 2000, shape (n,).
        bytes_of_coordinates: What is left of the memory for the coordinates of one row.
    """

    vectors: Halves
    keys: list[bytes]
    versions: npt.NDArray[np.int64]
    content_hashes: list[bytes]
    times: npt.NDArray[np.int64]
    bytes_of_coordinates: int

    def staged(self, row: int, group: int | None) -> tuple[int, str, int, bytes, int | None, int | None]:
        """Return one row as `staging.stage` takes it."""
        key, version, time = self.keys[row].decode(), int(self.versions[row]), int(self.times[row])
        return row, key, version, self.content_hashes[row], time, group


def read_vectors(
    connection: Connection,
    collection: Collection,
    where: str | None,
    memory_bytes: int,
    progress: Callable[[int], None] = lambda rows: None,
) -> VectorRows:
    """Read all embedded rows, or those whose source matches a condition.

    Args:
        where: SQL over the source's columns.
        memory_bytes: What the search may take. Vectors go to a temporary file where they would not fit.

    Raises:
        UsageError: PostgreSQL does not take the condition, or the memory is too little for so many rows.
        DatabaseError: The role may not read the source.
    """
    with one_moment(connection, collection, where) as restriction:
        return read_restricted(connection, collection, restriction, memory_bytes, progress)


def read_restricted(
    connection: Connection,
    collection: Collection,
    restriction: sql.SQL | sql.Composed,
    memory_bytes: int,
    progress: Callable[[int], None] = lambda rows: None,
) -> VectorRows:
    """Read embedded rows, e, that meet a restriction; within the transaction of `one_moment`, whose snapshot it takes.

    Raises:
        UsageError: The memory is too little for so many rows.
    """
    parts = collection.parts(vector_schema(connection))
    counted = connection.execute(
        render("collection/count_vectors.sql", **parts, restriction=restriction)
    ).fetchone()
    count = int(counted[0]) if counted else 0
    in_memory, coordinates = share_memory(count, collection.dimensions, memory_bytes)
    statement = render("collection/copy_vectors.sql", **parts, restriction=restriction)
    return _copied(connection, statement, (count, collection.dimensions), in_memory, coordinates, progress)


@contextmanager
def one_moment(
    connection: Connection, collection: Collection, where: str | None
) -> Iterator[sql.SQL | sql.Composed]:
    """Read in one snapshot; gives the `{restriction}` of embedded rows, e, to those whose source matches a condition.

    Raises:
        UsageError: PostgreSQL does not take the condition.
        DatabaseError: The role may not read the source.
    """
    restriction: sql.SQL | sql.Composed = sql.SQL("true")
    if where is not None:
        parts = collection.parts("public")
        restriction = sql.SQL("EXISTS (SELECT FROM (SELECT * FROM {} WHERE {}) AS s WHERE {})").format(
            parts["source"], bracketed(where), parts["e_equals_s"]
        )
    needed = f"it takes SELECT on imgvec.{collection.embedding_table} and on {collection.shown_source}"
    with own_sql(where, "condition", collection), needing(connection, needed), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        _check_condition(connection, collection, where)
        yield restriction


def share_memory(rows: int, dimensions: int, memory_bytes: int) -> tuple[bool, int]:
    """Say whether the vectors fit into memory, and how many bytes the coordinates of a row may take beside the rest.

    Raises:
        UsageError: Not even the coordinates fit.
    """
    left = (memory_bytes - BASE_BYTES) // max(rows, 1) - KEY_BYTES
    if left >= COORDINATE_BYTES + 2 * dimensions:
        return True, left - 2 * dimensions
    if left >= COORDINATE_BYTES:
        return False, left
    needed = rows * (COORDINATE_BYTES + KEY_BYTES) + BASE_BYTES
    raise UsageError(
        f"{rows:,} rows take {size(needed)} of memory at least, with their vectors in a temporary file; "
        f"--memory is {size(memory_bytes)}: give more, or fewer rows by --where"
    )


def bracketed(condition: str) -> sql.SQL:
    """Return a person's SQL in brackets; the line break keeps a trailing comment from swallowing them.

    Raises:
        UsageError: It is empty.
    """
    if not condition.strip() or "\0" in condition:
        raise UsageError(
            'the condition is empty; expected SQL over the source\'s columns, such as "price < 50"'
        )
    return sql.SQL(f"(\n{condition}\n)")


def _check_condition(connection: Connection, collection: Collection, where: str | None) -> None:
    """Have PostgreSQL plan the condition outside brackets, from which it could break out: COPY has no bound values."""
    if where is None:
        return
    parts = bindable({"source": collection.rows, "condition": sql.SQL(where)})
    connection.execute(render("collection/condition.sql", **parts), {"bound": 0})


@contextmanager
def own_sql(text: str | None, what: str, collection: Collection) -> Iterator[None]:
    """Say which SQL of a person's own PostgreSQL does not take.

    Raises:
        UsageError: It does not take it, or it fails for a row.
    """
    try:
        yield
    except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError) as error:
        if text is None or isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise
        raise UsageError(
            f"PostgreSQL does not take the {what} {text!r}: {one_line(error)}; "
            f"expected SQL over the columns of {collection.shown_source}"
        ) from error


def _copied(
    connection: Connection,
    statement: sql.Composed,
    shape: tuple[int, int],
    in_memory: bool,
    coordinates: int,
    progress: Callable[[int], None],
) -> VectorRows:
    vectors = _array(shape, in_memory)
    keys: list[bytes] = []
    hashes: list[bytes] = []
    versions: list[bytes] = []
    times: list[bytes] = []
    buffer = bytearray()

    def store() -> None:
        block = halves(buffer, shape[1])
        vectors[len(keys) - len(block) : len(keys)] = block
        buffer.clear()
        progress(len(keys))

    with connection.cursor().copy(statement) as copy:
        for key, version, content_hash, time, embedding in copy.rows():
            keys.append(bytes(key))
            versions.append(bytes(version))
            hashes.append(bytes(content_hash))
            times.append(bytes(time))
            buffer += bytes(embedding)[HEADER_BYTES:]
            if len(keys) % ROWS_TOGETHER == 0:
                store()
    store()
    return VectorRows(vectors, keys, whole_numbers(versions), hashes, whole_numbers(times), coordinates)


def halves(sent: bytes | bytearray, dimensions: int) -> Halves:
    """Return vectors, shape (n, dimensions), as PostgreSQL sends them one behind the other, without their headers."""
    return np.frombuffer(bytes(sent), dtype=">f2").reshape(-1, dimensions).astype(np.float16)


def whole_numbers(sent: Sequence[bytes]) -> npt.NDArray[np.int64]:
    """Return numbers of eight bytes as PostgreSQL sends them."""
    return np.frombuffer(b"".join(sent), dtype=">i8").astype(np.int64)


def _array(shape: tuple[int, int], in_memory: bool) -> Halves:
    if in_memory or not shape[0]:
        return np.empty(shape, dtype=np.float16)
    # Without a name: it goes with the process, whatever ends that.
    with tempfile.TemporaryFile(dir=Path(tempfile.gettempdir())) as file:
        needed = 2 * shape[0] * shape[1]
        try:
            # A file with holes ends the process by SIGBUS where the disk is full.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, needed)
        except OSError as error:
            raise UsageError(
                f"{tempfile.gettempdir()} has no room for {size(needed)} of vectors ({error.strerror}); set TMPDIR, or give "
                "more --memory"
            ) from error
        return np.memmap(file, dtype=np.float16, mode="w+", shape=shape)
