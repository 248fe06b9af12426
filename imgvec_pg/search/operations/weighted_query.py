"""Queries of several parts: 0.6 x this photo + 0.4 x "in red", minus too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import render
from imgvec_pg.search.operations.classify import embed_texts
from imgvec_pg.search.operations.recommend import preference_vector
from imgvec_pg.search.query_embedding import ModelOptions
from imgvec_pg.search.query_types import Float32Array, RowKey, SearchQuery, read_vector, vector_text
from imgvec_pg.search.transaction import read_only_transaction
from imgvec_pg.store.collection import Collection


@dataclass(frozen=True)
class Part:
    """Words to add to a query, or with a negative weight to subtract."""

    weight: float
    words: str


def add_words(
    connection: Connection,
    collection: Collection,
    query: SearchQuery,
    weight: float,
    parts: Sequence[Part],
    model: ModelOptions,
) -> SearchQuery:
    """Return the query weight * query + the sum of weight * words over the parts, at L2 norm 1.

    A query of a row becomes one of a vector, so the row may be in its own answer.

    Raises:
        UsageError, ModelError: The words cannot be embedded.
        DatabaseError: A weight is out of range (-1000 to 1000) or the parts cancel out.
    """
    target = query.target
    base = row_vector(connection, collection, target) if isinstance(target, RowKey) else target
    words = embed_texts(connection, collection, [part.words for part in parts], model)
    schema = sql.Identifier(vector_schema(connection))
    values = {
        "embeddings": [vector_text(vector) for vector in (base, *words)],
        "weights": [weight, *(part.weight for part in parts)],
    }
    with read_only_transaction(connection, collection) as cursor:
        row = cursor.execute(render("queries/combine.sql", vector=schema), values).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM
    shown = f"{weight:g} × {query.shown}" + "".join(
        f' {"-" if part.weight < 0 else "+"} {abs(part.weight):g} × "{part.words}"' for part in parts
    )
    return replace(query, shown=shown, target=read_vector(row[0]))


def row_vector(connection: Connection, collection: Collection, row: RowKey) -> Float32Array:
    """Return the stored vector of a row, shape (dimensions,)."""
    return preference_vector(connection, collection, [row.key])
