"""What a question is near to: one vector or row of a collection, and how SQL says it."""

from dataclasses import dataclass

import numpy as np
from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.errors import UsageError
from imgvec_pg.flask.request_search import key_in_url
from imgvec_pg.pages.browse.question import Question
from imgvec_pg.pages.browse.uploads import Uploads
from imgvec_pg.search.operations.weighted_query import row_vector
from imgvec_pg.search.query_client import query_of_words
from imgvec_pg.search.query_embedding import read_cached, text_query
from imgvec_pg.search.query_types import Float32Array, RowKey, as_unit_vector, vector_text
from imgvec_pg.search.rows import find_row, parse_key
from imgvec_pg.store.collection import Collection

MINUS_WEIGHT = 0.5
"""Of minus words beside 1 of all others: enough to push aside, too little to lead."""


@dataclass(frozen=True)
class Target:
    """What rows are near to.

    Attributes:
        query: A vector of shape (dimensions,), L2 norm 1; or a row, which is then not in its own answer.
        expression: The same as an SQL expression of type halfvec.
        truncated: A sentence where the model read only the beginning of the words.
    """

    query: Float32Array | RowKey
    expression: sql.Composable
    truncated: str | None = None


def find_target(
    connection: Connection, collection: Collection, question: Question, uploads: Uploads
) -> Target:
    """Embed what a question has: words, a picture and a row weigh 1 each together, minus words -MINUS_WEIGHT.

    Raises:
        UsageError: The question cannot be asked, or its parts cancel out.
        CollectionError: The row is not there.
        NoWorkerError, ModelError: The words or the picture cannot be embedded.
    """
    parts: list[tuple[float, Float32Array | RowKey, sql.Composable]] = []
    notes = []
    for words, weight in ((question.words, 1.0), (question.minus, -MINUS_WEIGHT)):
        if words:
            found = query_of_words(connection, collection, words)
            notes += [found.truncated] if found.truncated else []
            parts.append((weight, found.vector, _embed_text(connection, collection, words, found.vector)))
    if question.picture:
        vector = uploads.vector(connection, collection, question.picture)
        parts.append((1.0, vector, vector_literal(connection, vector)))
    if question.like:
        row = find_row(connection, collection, parse_key(collection, question.like))
        parts.append((1.0, row, _embedding_of(collection, row)))
    truncated = "; ".join(notes) or None
    if len(parts) == 1 and parts[0][0] > 0:
        return Target(parts[0][1], parts[0][2], truncated)
    return _combine(connection, collection, parts, truncated)


def _combine(
    connection: Connection,
    collection: Collection,
    parts: list[tuple[float, Float32Array | RowKey, sql.Composable]],
    truncated: str | None,
) -> Target:
    vectors = [
        row_vector(connection, collection, query) if isinstance(query, RowKey) else query
        for _, query, _ in parts
    ]
    weights = [weight for weight, _, _ in parts]
    total = np.tensordot(np.asarray(weights, dtype=np.float64), np.stack(vectors).astype(np.float64), axes=1)
    try:
        combined = as_unit_vector(total)
    except UsageError as error:
        raise UsageError("the words and the minus words cancel out; expected some that differ") from error
    # As imgvec.combine() sums them: psql gets what the page got.
    expression = sql.SQL("imgvec.combine(ARRAY[{}], ARRAY[{}])").format(
        sql.SQL(", ").join(call for _, _, call in parts),
        sql.SQL(", ").join(sql.SQL(f"{weight:g}") for weight in weights),
    )
    return Target(combined, expression, truncated)


def _embed_text(
    connection: Connection, collection: Collection, words: str, vector: Float32Array
) -> sql.Composable:
    """Return the call that gives the vector of words; the vector where the cache lacks them, as for a role that only reads."""
    if read_cached(connection, collection, text_query(collection, words)) is None:
        return vector_literal(connection, vector)
    return sql.SQL("imgvec.embed_text({}, {})").format(sql.Literal(collection.name), sql.Literal(words))


def vector_literal(connection: Connection, vector: Float32Array) -> sql.Composable:
    """Return a vector as SQL of type halfvec."""
    text = vector_text(vector).replace(" ", "")
    return sql.SQL("{}::{}.halfvec").format(sql.Literal(text), sql.Identifier(vector_schema(connection)))


def _embedding_of(collection: Collection, row: RowKey) -> sql.Composable:
    """Return the call that gives a row's vector; a key of several columns goes as JSON."""
    return sql.SQL("imgvec.embedding_of({}, {})").format(
        sql.Literal(collection.name), sql.Literal(key_in_url(row.key))
    )
