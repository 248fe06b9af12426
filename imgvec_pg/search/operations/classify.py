"""Texts as vectors, several at once, and labels as probabilities."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import is_loadable
from imgvec_pg.errors import ModelError, UsageError
from imgvec_pg.search.query_client import query_of_words
from imgvec_pg.search.query_embedding import (
    ModelOptions,
    embed_and_keep,
    load_collection_model,
    prompted,
    read_cached,
)
from imgvec_pg.search.query_types import Float32Array, vector_text
from imgvec_pg.search.transaction import bracketed, read_only_transaction, shown_columns
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key

log = logging.getLogger(__name__)

MAX_LABELS = 1000


@dataclass(frozen=True)
class Classified:
    """A row and the probability of each label, in the labels' order; the columns wanted as JSON values."""

    key: Key
    probabilities: Sequence[float]
    columns: dict[str, Any]


def embed_texts(
    connection: Connection, collection: Collection, texts: Sequence[str], options: ModelOptions
) -> list[Float32Array]:
    """Embed texts, each within the collection's prompt; the model is loaded once, and only for what is not cached.

    Where it cannot be loaded, as without the extra `models`, a running worker is asked.

    Returns:
        One vector a text, shape (dimensions,), L2 norm 1.

    Raises:
        UsageError: A text is empty or too long, or the collection's model knows no words.
        ModelError: The model cannot be loaded, or is not the one the collection was embedded with.
    """
    prompted_texts = [prompted(collection, text) for text in texts]
    if not collection.has_text:
        raise UsageError(
            f'model "{collection.model_name}" of collection "{collection.name}" has no text tower, so it knows '
            "no words; use a collection of a CLIP or SigLIP model"
        )
    embedder: Embedder | None = None
    vectors = []
    for text, words in zip(prompted_texts, texts, strict=True):
        cached = read_cached(connection, collection, text)
        if cached is not None:
            found = cached.found
        elif not is_loadable(collection.model_name):
            found = query_of_words(connection, collection, words)
        else:
            embedder = embedder or load_collection_model(connection, collection, options)
            found = embed_and_keep(connection, collection, embedder, words)
        if found.truncated is not None:
            log.warning('"%s": %s', words[:60], found.truncated)
        vectors.append(found.vector)
    return vectors


def classify(
    connection: Connection,
    collection: Collection,
    labels: Sequence[str],
    model: ModelOptions,
    *,
    where: str | None = None,
    columns: Sequence[str] = (),
    limit: int | None = None,
) -> Iterator[Classified]:
    """Give each row, in the order of the keys, with the probability of each label.

    With a softmax model (CLIP) the labels compete and add up to 1, even where none fits; with a sigmoid model
    (SigLIP) each stands for itself.

    Raises:
        UsageError: The labels are too few, too many or not different; the condition is not understood.
        ModelError: The model's scale is not known yet, or it cannot be loaded.
    """
    row = connection.execute(
        load_sql("queries/logit_scale.sql"), {"model_id": collection.model_id}
    ).fetchone()
    scale, bias = row or (None, None)
    fewest = 2 if bias is None else 1
    if not fewest <= len(labels) <= MAX_LABELS:
        raise UsageError(
            f"there are {len(labels)} labels; expected {fewest} to {MAX_LABELS} that exclude each other"
        )
    if len(set(labels)) < len(labels):
        raise UsageError(
            "a label was given twice; expected different ones: equal labels share their probability"
        )
    vectors = embed_texts(connection, collection, labels, model)
    if scale is None:
        raise ModelError(
            f'the scale of model "{collection.model_name}" is not known yet, so there are no probabilities; '
            f"the first worker records it: imgvec backfill {collection.name}"
        )
    statement = render(
        "collection/classified.sql",
        **bindable(
            {
                **collection.parts(vector_schema(connection)),
                **shown_columns(connection, collection, columns),
                "condition": bracketed(where),
            }
        ),
    )
    values = {
        "labels": [vector_text(vector) for vector in vectors],
        "logit_scale": scale,
        "logit_bias": bias,
        "limit": limit,
    }
    with read_only_transaction(connection, collection, where) as cursor:
        for key, probabilities, shown in cursor.stream(statement, values):
            yield Classified(key, probabilities, dict(zip(columns, shown, strict=True)))
