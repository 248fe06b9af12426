"""Embed words or a picture file as a query: by the collection's model, or from the cache of texts."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from imgvec_pg.database.connect import Connection, one_line, vector_schema
from imgvec_pg.database.encodings import can_hold
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.embedding.embedder import Embedder, describe_truncation
from imgvec_pg.embedding.golden import IMAGE, TEXT
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import ImageError, UsageError
from imgvec_pg.images.decoding.sandbox import decode_for, decode_sandboxed
from imgvec_pg.images.fetching.archives.archive_paths import split_path
from imgvec_pg.images.fetching.files import fetch_bytes
from imgvec_pg.images.reference import ImageReference
from imgvec_pg.search.query_types import EmbeddedWords, Float32Array, SearchQuery, read_vector, vector_text
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.model_registry import check_golden, read_fingerprint, require_same_model

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
    connection: Connection, collection: Collection, words: str, options: ModelOptions
) -> SearchQuery:
    """Make a query of words; the model is loaded only for words that the cache does not have.

    Raises:
        UsageError: The words are empty or too long, or the collection's model knows no words.
        ModelError: The model cannot be loaded, or is not the one the collection was embedded with.
    """
    text = text_query(collection, words)
    cached = read_cached(connection, collection, text)
    if cached is None:
        embedder = load_collection_model(connection, collection, options)
        found = embed_and_keep(connection, collection, embedder, words)
    else:
        found = cached.found
        if cached.is_touch_due:
            touch_cached(connection, collection, text)
    return SearchQuery("words", words, found.vector, truncated=found.truncated)


def text_query(collection: Collection, words: str) -> str:
    """Return what the collection's model embeds of words: imgvec.text_query in Python.

    Raises:
        UsageError: The words are empty or too long, or the collection's model knows no words.
    """
    text = prompted(collection, words)
    if not collection.has_text:
        raise UsageError(
            f'model "{collection.model_name}" of collection "{collection.name}" has no text tower, so words '
            "cannot be searched for; ask with a picture (--image FILE) or a row (--like KEY)"
        )
    return text


@dataclass(frozen=True)
class CachedText:
    """A text's vector in the cache, and whether it is a day since its use was noted."""

    found: EmbeddedWords
    is_touch_due: bool


def read_cached(connection: Connection, collection: Collection, text: str) -> CachedText | None:
    """Return what the cache of texts has of a prompted text; None for a text that it does not have.

    A text that the database's encoding cannot hold is never there, and to look for it would be an error.
    """
    if not can_hold(connection, text):
        return None
    values = {"model_id": collection.model_id, "text": text}
    row = connection.execute(load_sql("queries/cached_text.sql"), values).fetchone()
    return None if row is None else CachedText(EmbeddedWords(read_vector(row[0]), row[2]), row[1])


def touch_cached(connection: Connection, collection: Collection, text: str) -> None:
    """Note that a cached text was used, so that it is not forgotten; not in an application's transaction, whose lock lasts."""
    values = {"model_id": collection.model_id, "text": text}
    _write_cache(connection, load_sql("queries/touch_text.sql"), values)


def embed_words(
    connection: Connection, collection: Collection, embedder: Embedder, words: str
) -> Float32Array:
    """Embed words, in the collection's prompt, with its loaded model and keep the vector for next time.

    Returns:
        Shape (dimensions,), float32, L2 norm 1.

    Raises:
        ModelError: The model computes other vectors here than at its first use.
    """
    return embed_and_keep(connection, collection, embedder, words).vector


def embed_and_keep(
    connection: Connection, collection: Collection, embedder: Embedder, words: str
) -> EmbeddedWords:
    """Do what `embed_words` does, and tell whether the model read all of the words."""
    text = prompted(collection, words)
    check_golden(connection, collection, embedder, (TEXT,))
    note = describe_truncation(embedder, text)
    embedding: Float32Array = embedder.embed_texts([text])[0]
    statement = render("queries/cache_text.sql", vector=psycopg.sql.Identifier(vector_schema(connection)))
    values = {
        "model_id": collection.model_id,
        "fingerprint": embedder.fingerprint,
        "text": text,
        "embedding": vector_text(embedding),
        "note": note,
    }
    _write_cache(connection, statement, values)
    return EmbeddedWords(embedding, note)


def ask_with_image(
    connection: Connection, collection: Collection, file: Path, options: ModelOptions
) -> SearchQuery:
    """Make a query of a picture file.

    Raises:
        UsageError: The file is missing or not an image.
        ModelError: The model cannot be loaded, or is not the one the collection was embedded with.
    """
    data = read_picture(file)
    try:
        decode_sandboxed(data, rendering=collection.rendering, bands=collection.bands)
    except ImageError as error:
        raise UsageError(f"the picture {file} cannot be used: {error}") from error
    embedder = load_collection_model(connection, collection, options, images=1)
    return SearchQuery("image", file.name, embed_picture(connection, collection, embedder, data), data)


def read_picture(file: Path) -> bytes:
    """Return the encoded bytes of a picture file, or of a picture in an archive.

    Raises:
        UsageError: The file is missing or cannot be read.
    """
    path, member = file.resolve(), ""
    try:
        if (inside := split_path(str(file.absolute()))) is not None:
            path, member = Path(inside.archive).resolve(), f"/{inside.member}"
        if not path.is_file():
            state = "is not a file" if path.exists() else "does not exist"
            raise UsageError(f"the picture {file} {state}; expected an image file such as shoes.jpg")
        return fetch_bytes(ImageReference(path=f"{path.name}{member}"), path.parent)
    except (ImageError, OSError) as error:
        raise UsageError(f"the picture {file} cannot be used: {error}") from error


def embed_picture(
    connection: Connection, collection: Collection, embedder: Embedder, picture: bytes
) -> Float32Array:
    """Embed an encoded picture with a collection's loaded model, rendered as the collection's are.

    Returns:
        Shape (dimensions,), float32, L2 norm 1.

    Raises:
        ImageError: It does not decode.
        ModelError: The model computes other vectors here than at its first use.
    """
    check_golden(connection, collection, embedder, (IMAGE,))
    image = decode_for(embedder, picture, collection.rendering, collection.bands)
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
    """Return what the collection's model embeds: the words in the collection's prompt.

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


def load_collection_model(
    connection: Connection, collection: Collection, options: ModelOptions, images: int | None = None
) -> Embedder:
    """Load the model of a collection and check that it is the one its rows were embedded with.

    Args:
        images: How many it is to embed; None for words, or where that is not known.

    Raises:
        MissingExtraError: It takes the extra `models`, which is not installed.
        ModelError: It cannot be loaded, or has other dimensions or another fingerprint.
    """
    embedder = load_embedder(
        collection.model_name,
        weights=options.weights,
        device=options.device,
        precision=options.precision,
        images=images,
    )
    require_same_model(collection, embedder, read_fingerprint(connection, collection))
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
