"""Embedding requests of SQL queries: texts and images that workers claim and answer."""

import uuid
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from psycopg import sql
from psycopg.rows import class_row

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql, render

CHANNEL = "imgvec_request"
"""Where imgvec.enqueue_request notifies."""
MAX_ERROR_CHARACTERS = 500


@dataclass(frozen=True)
class EmbeddingRequest:
    """Request of a query: a text, its prompt in it, or an encoded image; neither is a ping.

    Attributes:
        rendering: Version of the rules for the image: the newest of the model's collections, as a request names the model alone.
    """

    id: uuid.UUID
    text: str | None
    image: bytes | None
    rendering: int


@dataclass(frozen=True)
class Answer:
    """Answer to a request: an embedding of shape (dimensions,), float32, L2 norm 1; or an error; or neither, to a ping.

    `note` says that the model read only the beginning of the text.
    """

    embedding: npt.NDArray[np.float32] | None = None
    error: str | None = None
    note: str | None = None


def claim_requests(connection: Connection, model_id: int, at_most: int) -> list[EmbeddingRequest]:
    """Take requests of a model; others leave them alone for a second."""
    with connection.cursor(row_factory=class_row(EmbeddingRequest)) as cursor:
        return cursor.execute(
            load_sql("queries/claim_requests.sql"), {"model_id": model_id, "at_most": at_most}
        ).fetchall()


def answer_request(
    connection: Connection,
    schema: str,
    model_id: int,
    fingerprint: str,
    request: EmbeddingRequest,
    answer: Answer,
) -> None:
    """Give the answer to whoever waits, and keep a text's vector in the cache; one transaction.

    Args:
        schema: The schema that holds the vector extension.
        fingerprint: Of the model that made it; the cache takes only what the model on record made.
    """
    values = {
        "id": request.id,
        "model_id": model_id,
        "fingerprint": fingerprint,
        "text": request.text,
        "embedding": vector_text(answer.embedding),
        "error": answer.error and answer.error.replace("\0", "")[:MAX_ERROR_CHARACTERS],
        "note": answer.note,
    }
    connection.execute(render("queries/answer_request.sql", vector=sql.Identifier(schema)), values)


def drop_left_behind(connection: Connection) -> None:
    """Delete requests that nobody waits for any more."""
    connection.execute(load_sql("queries/drop_requests.sql"))


def evict_texts(connection: Connection) -> int:
    """Forget cached texts that are too old or too many, as the database's settings have it; return their number."""
    row = connection.execute("SELECT imgvec.evict_texts()").fetchone()
    return int(row[0]) if row else 0


def vector_text(embedding: npt.NDArray[np.float32] | None) -> str | None:
    """Return a vector as pgvector reads it: "[0.6,0.8]"."""
    return None if embedding is None else "[" + ",".join(map(str, embedding.tolist())) + "]"
