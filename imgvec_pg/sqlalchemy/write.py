"""Write vectors that an application has already, in binary and many at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from pgvector import HalfVector
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg import sql
from psycopg.types import TypeInfo
from sqlalchemy.orm import Session

from imgvec_pg.database.connect import vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.sqlalchemy.resolve import target_of
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.mixin import EmbeddingMixin
from imgvec_pg.store.registry import find_collections

ROWS_PER_STATEMENT = 1000
UNIT_TOLERANCE = 1e-3


def write_embeddings(
    session: Session,
    by: type[EmbeddingMixin],
    keys: Sequence[Any],
    vectors: npt.ArrayLike,
    *,
    precision: str = "fp32",
) -> int:
    """Write vectors of the collection's own model, computed elsewhere, in the session's transaction; return how many.

    A row that a worker has embedded keeps its vector. Load first and build the index after: `imgvec index create`.

    Args:
        keys: n keys of rows that exist; tuples in the key's order where it has several columns.
        vectors: Shape (n, dimensions), each row of L2 norm 1.

    Raises:
        UsageError: Keys and vectors do not fit, a key is no row of the source, or the driver is not psycopg 3 in a sync session.
        CollectionError: The collection does not exist.
    """
    target = target_of(by)
    session.flush()
    connection = _psycopg_connection(session)
    collection = _find_collection(connection, target.name)
    array = _checked(vectors, len(keys), collection.dimensions)
    columns = _by_column(keys, collection.key_columns)
    schema = vector_schema(connection)
    statement = _insertion(collection, schema)
    written = 0
    with _halfvec_cursor(connection, schema) as cursor:
        for start in range(0, len(keys), ROWS_PER_STATEMENT):
            batch = slice(start, start + ROWS_PER_STATEMENT)
            values: dict[str, Any] = {
                f"key_{position}": column[batch] for position, column in enumerate(columns)
            }
            values |= {"vectors": [HalfVector(row) for row in array[batch]], "precision": precision}
            try:
                row = cursor.execute(statement, values).fetchone()
            except psycopg.errors.ForeignKeyViolation as error:
                raise UsageError(
                    f"a key is no row of {collection.shown_source} ({error.diag.message_detail}); roll back, and write the "
                    "rows first"
                ) from error
            written += int(row[0]) if row else 0
    return written


def _psycopg_connection(session: Session) -> psycopg.Connection[Any]:
    bound = session.connection()
    connection = bound.connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise UsageError(
            f"the session's driver is {bound.dialect.driver}; expected psycopg 3 and a sync session"
        )
    return connection


def _find_collection(connection: psycopg.Connection[Any], name: str) -> Collection:
    found = [c for c in find_collections(connection, name) if c.name == name]
    if not found:
        raise CollectionError(f'collection "{name}" does not exist; imgvec.collection has those that do')
    return found[0]


def _halfvec_cursor(connection: psycopg.Connection[Any], schema: str) -> psycopg.Cursor[Any]:
    """Return a cursor that writes halfvec in binary; it alone, as the application may read vectors in another form."""
    cursor = connection.cursor()
    info = TypeInfo.fetch(connection, sql.Identifier(schema, "halfvec"))
    assert info is not None  # noqa: S101 - vector_schema() has found the extension
    register_halfvec_info(cursor, info)  # type: ignore[arg-type]
    return cursor


def _insertion(collection: Collection, schema: str) -> sql.Composed:
    """Return the statement that writes %(vectors)s of the rows with %(key_0)s, %(key_1)s and so on, arrays of one length."""
    arrays = sql.SQL(", ").join(
        sql.SQL("{}::{}[]").format(sql.Placeholder(f"key_{position}"), sql.SQL(type_name))
        for position, type_name in enumerate(collection.key_types)
    )
    return render(
        "collection/insert_embeddings.sql",
        **bindable(collection.parts(schema)),
        k_keys=sql.SQL(", ").join(sql.Identifier("k", name) for name in collection.key_columns),
        key_arrays=arrays,
    )


def _checked(vectors: npt.ArrayLike, rows: int, dimensions: int) -> npt.NDArray[np.float32]:
    array = np.asarray(vectors, dtype=np.float32)
    if array.shape != (rows, dimensions):
        raise UsageError(
            f"the vectors have shape {array.shape}; expected ({rows}, {dimensions}), one for each key from the collection's model"
        )
    norms = np.linalg.norm(array, axis=1)
    if rows and not np.allclose(norms, 1, atol=UNIT_TOLERANCE):
        raise UsageError(
            f"the vectors have norms of {norms.min():.3f} to {norms.max():.3f}; expected 1: divide each by its norm"
        )
    return array


def _by_column(keys: Sequence[Any], names: Sequence[str]) -> list[list[Any]]:
    if len(names) == 1:
        return [list(keys)]
    if any(not isinstance(key, tuple) or len(key) != len(names) for key in keys):
        raise UsageError(f"each key must be a tuple of {', '.join(names)}")
    return [list(column) for column in zip(*keys, strict=True)]
