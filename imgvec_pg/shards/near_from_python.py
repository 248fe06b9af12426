"""near() on a coordinator: the model's table is here, its embeddings are foreign tables over the shards."""

import io

import numpy as np
import psycopg
from PIL.Image import Image

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import CollectionError, ModelError, UsageError
from imgvec_pg.search.query_types import as_unit_vector, vector_text
from imgvec_pg.store.registry import spans_shards


def span_dimensions(connection: Connection, name: str) -> int | None:
    """Return the length of the vectors of a collection that spans shards; None where none of this name does.

    Raises:
        CollectionError: It has no tables that near() could read.
    """
    if not spans_shards(connection, name):
        return None
    row = connection.execute(load_sql("queries/span.sql").format(), {"name": name}).fetchone()
    assert row is not None  # noqa: S101 - it spans shards
    if not row[1]:
        raise CollectionError(
            f"near() reads the tables of near_{name}, which imgvec shard span could not make: run it again for the reason; "
            f"imgvec.search_{name} in SQL and search() of imgvec_pg.sqlalchemy do without"
        )
    return int(row[0])


def refuse_distinct(name: str) -> None:
    """Refuse near(distinct=True).

    Raises:
        UsageError: Always.
    """
    raise UsageError(
        f"distinct counts rows with one picture, which shards do not tell; leave it out, or ask imgvec.search_{name}(…, "
        "distinct_pictures => true) in SQL"
    )


def vector_from_shards(connection: Connection, name: str, dimensions: int, value: object) -> str:
    """Return the vector of words, a picture or a vector, as pgvector reads it; a worker of a shard embeds the first two.

    Raises:
        UsageError: A vector has other dimensions than the collection.
        ModelError: No worker of the shards answers.
    """
    if isinstance(value, np.ndarray):
        return vector_text(as_unit_vector(value, dimensions))
    if isinstance(value, Image):
        buffer = io.BytesIO()
        value.save(buffer, "PNG")
        value = buffer.getvalue()
    function = "embed_text" if isinstance(value, str) else "embed_image"
    try:
        row = connection.execute(f"SELECT imgvec.{function}(%s, %s)::text", [name, value]).fetchone()
    except psycopg.Error as error:
        hint = " ".join((error.diag.message_hint or "").split())
        message = error.diag.message_primary or " ".join(str(error).split())
        raise ModelError(f"{message}{f' ({hint})' if hint else ''}") from error
    assert row is not None  # noqa: S101 - one row
    return str(row[0])
