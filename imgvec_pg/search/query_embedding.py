"""From words or a picture file to a question: by the collection's model, or from the cache of texts."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from PIL.Image import Image

from imgvec_pg.database.connect import Connection, one_line, vector_schema
from imgvec_pg.database.encodings import can_hold
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import IMAGE, TEXT
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import ImageError, ModelError, UsageError
from imgvec_pg.images.decoding.sandbox import decode_sandboxed
from imgvec_pg.images.fetching.files import fetch_bytes
from imgvec_pg.images.reference import ImageReference
from imgvec_pg.search.query_types import Float32Array, SearchQuery, vector_text
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.model_registry import check_golden

log = logging.getLogger(__name__)

MAX_TEXT_BYTES = 2000
"""As the table imgvec.text_embedding has it."""


@dataclass(frozen=True)
class ModelOptions:
    """How to load the collection's model, should it be needed: load_embedder's own options."""

    weights: Path | None = None
    device: str = "auto"
    precision: str = "auto"


def ask_with_words(
    connection: Connection,
    collection: Collection,
    words: str,
    options: ModelOptions,
    embed: Callable[[], Float32Array] | None = None,
) -> SearchQuery:
    """Make a question of words; the model is loaded only for words that the cache does not have.

    Args:
        embed: Embeds such words, instead of the model in this process.

    Raises:
        UsageError: The words are empty or too long, or the collection's model knows no words.
        ModelError: The model cannot be loaded, or is not the one the collection was embedded with.
    """
    text = prompted(collection, words)
    if not collection.has_text:
        raise UsageError(
            f'model "{collection.model_name}" of collection "{collection.name}" has no text tower, so words '
            "cannot be searched for; ask with a picture (--image FILE) or a row (--like KEY)"
        )
    values = {"model_id": collection.model_id, "text": text}
    cached = cached_text(connection, collection.model_id, text)
    if cached is not None:
        if cached[1]:
            _write_cache(connection, load_sql("queries/touch_text.sql"), values)
        return SearchQuery("words", words, np.array(json.loads(cached[0]), dtype=np.float32))
    if embed is not None:
        return SearchQuery("words", words, embed())
    embedder = load_collection_model(connection, collection, options)
    return SearchQuery("words", words, embed_words(connection, collection, embedder, words))


def cached_text(connection: Connection, model_id: int, text: str) -> tuple[str, bool] | None:
    """Return the vector of a text as pgvector prints it, and whether it was not asked for lately; None where it is not cached.

    A text that the database's encoding cannot hold is never there, and to ask for it would be an error.
    """
    if not can_hold(connection, text):
        return None
    values = {"model_id": model_id, "text": text}
    row = connection.execute(load_sql("queries/cached_text.sql"), values).fetchone()
    return None if row is None else (str(row[0]), bool(row[1]))


def embed_words(
    connection: Connection, collection: Collection, embedder: Embedder, words: str
) -> Float32Array:
    """Embed words, in the collection's prompt, with its loaded model and keep the vector for next time.

    Returns:
        Shape (dimensions,), float32, L2 norm 1.

    Raises:
        ModelError: The model computes other vectors here than at its first use.
    """
    text = prompted(collection, words)
    check_golden(connection, collection, embedder, (TEXT,))
    embedding: Float32Array = embedder.embed_texts([text])[0]
    statement = render("queries/cache_text.sql", vector=psycopg.sql.Identifier(vector_schema(connection)))
    values = {
        "model_id": collection.model_id,
        "fingerprint": embedder.fingerprint,
        "text": text,
        "embedding": vector_text(embedding),
    }
    _write_cache(connection, statement, values)
    return embedding


def ask_with_image(
    connection: Connection, collection: Collection, file: Path, options: ModelOptions
) -> SearchQuery:
    """Make a question of a picture file.

    Raises:
        UsageError: The file is missing or not an image.
        ModelError: The model cannot be loaded, or is not the one the collection was embedded with.
    """
    if not file.is_file():
        state = "is not a file" if file.exists() else "does not exist"
        raise UsageError(f"the picture {file} {state}; expected an image file such as shoes.jpg")
    path = file.resolve()
    try:
        data = fetch_bytes(ImageReference(path=path.name), path.parent)
        image = decode_sandboxed(data)
    except ImageError as error:
        raise UsageError(f"the picture {file} cannot be used: {error}") from error
    embedder = load_collection_model(connection, collection, options)
    return SearchQuery("image", file.name, embed_picture(connection, collection, embedder, image), data)


def embed_picture(
    connection: Connection, collection: Collection, embedder: Embedder, image: Image
) -> Float32Array:
    """Embed an RGB picture with a collection's loaded model.

    Returns:
        Shape (dimensions,), float32, L2 norm 1.

    Raises:
        ModelError: The model computes other vectors here than at its first use.
    """
    check_golden(connection, collection, embedder, (IMAGE,))
    embedding: Float32Array = embedder.embed_images([image])[0]
    return embedding


def check_words(words: str) -> None:
    """Refuse words that neither the model nor the cache could take.

    Raises:
        UsageError: They are empty, hold a NUL, are not UTF-8 or have over 2000 bytes.
    """
    try:
        size = len(words.encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"the words {words!r} are not valid UTF-8; expected plain text") from error
    if not words.strip():
        raise UsageError('the words are empty; expected some, such as "red leather shoes"')
    if "\0" in words:
        raise UsageError("the words hold a NUL character; expected plain text")
    if size > MAX_TEXT_BYTES:
        raise UsageError(f"the words have {size} bytes; expected at most {MAX_TEXT_BYTES}: shorten them")


def prompted(collection: Collection, words: str) -> str:
    """Return what the collection's model is asked: the words in the collection's prompt.

    Raises:
        UsageError: The model or the cache could not take it: see check_words.
    """
    check_words(words)
    text = collection.prompt.replace("{}", words)
    size = len(text.encode())
    if size > MAX_TEXT_BYTES:
        raise UsageError(
            f'the words have {size} bytes with the prompt "{collection.prompt}"; '
            f"expected at most {MAX_TEXT_BYTES}: shorten them"
        )
    return text


def load_collection_model(connection: Connection, collection: Collection, options: ModelOptions) -> Embedder:
    """Load the model of a collection and check that it is the one its rows were embedded with.

    Raises:
        ModelError: It cannot be loaded, or has other dimensions or another fingerprint.
    """
    embedder = load_embedder(
        collection.model_name, weights=options.weights, device=options.device, precision=options.precision
    )
    if embedder.dimensions != collection.dimensions:
        raise ModelError(
            f'model "{collection.model_name}" gives {embedder.dimensions} dimensions here, collection '
            f'"{collection.name}" has {collection.dimensions}; load the model it was made with'
        )
    row = connection.execute(
        load_sql("queries/model_fingerprint.sql"), {"model_id": collection.model_id}
    ).fetchone()
    registered = row[0] if row else None
    if registered is not None and registered != embedder.fingerprint:
        raise ModelError(
            f'the weights or preprocessing of "{collection.model_name}" here (fingerprint '
            f'{embedder.fingerprint[:12]}) are not those that collection "{collection.name}" was '
            f"embedded with ({registered[:12]}); use the same weights (--weights FILE)"
        )
    return embedder


def _write_cache(
    connection: Connection, statement: psycopg.sql.SQL | psycopg.sql.Composed, values: dict[str, Any]
) -> None:
    """Write to the cache of texts; a role or a server that may not write goes on without."""
    try:
        with connection.transaction():
            connection.execute(statement, values)
    except psycopg.Error as error:
        log.info("the cache of texts was not written: %s", one_line(error))
