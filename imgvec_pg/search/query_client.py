"""The vector of words or a picture for an application: from the cache, by a running worker, or by the model in here.

A web process should not need torch: where a worker runs, it is asked, as plain SQL asks it
(docs/howto/text-queries-in-sql.md), over a connection of its own, so that the application's transaction sees
nothing of it. Where none runs, the model is loaded into this process, once.
"""

import io
import logging
import threading
import time
from typing import Literal

import psycopg
from PIL.Image import Image

from imgvec_pg.database.connect import Connection, connect, one_line
from imgvec_pg.database.encodings import can_hold
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import IMAGE, TEXT
from imgvec_pg.errors import ImageError, ModelError, NoWorkerError, UsageError
from imgvec_pg.images.decoding.sandbox import decode_sandboxed
from imgvec_pg.images.fetching.files import fetch_bytes
from imgvec_pg.images.reference import ImageReference
from imgvec_pg.search.query_embedding import (
    ModelOptions,
    embed_and_keep,
    embed_picture,
    load_collection_model,
    read_cached,
    text_query,
    touch_cached,
)
from imgvec_pg.search.query_types import EmbeddedWords, Float32Array, read_vector
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.model_registry import check_golden

log = logging.getLogger(__name__)

Embedding = Literal["auto", "worker", "process"]
"""Who embeds what the cache does not have: a worker if one runs, else this process; only a worker; only this process."""

MAX_UPLOAD_BYTES = 32 << 20
"""As the table imgvec.embedding_request has it."""
POLL_SECONDS = 0.01

_models: dict[tuple[str, int], Embedder] = {}
_loading = threading.Lock()


def vector_of_words(
    connection: Connection, collection: Collection, words: str, embedding: Embedding = "auto"
) -> Float32Array:
    """Return the vector of words, shape (dimensions,), L2 norm 1; `query_of_words` without what goes with it.

    Raises:
        UsageError: The words are empty or too long, or the collection's model knows no words.
        NoWorkerError: Only a worker may embed, and none answered.
        ModelError: The model cannot be loaded here, or is not the one the collection was embedded with.
    """
    return query_of_words(connection, collection, words, embedding).vector


def query_of_words(
    connection: Connection, collection: Collection, words: str, embedding: Embedding = "auto"
) -> EmbeddedWords:
    """Embed words; `truncated`, which is logged as a warning too, tells of words too long for the model.

    Raises:
        UsageError, NoWorkerError, ModelError: As `vector_of_words`.
    """
    found = _embed(connection, collection, words, embedding)
    if found.truncated is not None:
        log.warning("%s", found.truncated)
    return found


def _embed(connection: Connection, collection: Collection, words: str, embedding: Embedding) -> EmbeddedWords:
    text = text_query(collection, words)
    cached = read_cached(connection, collection, text)
    if cached is not None and not cached.is_touch_due:
        return cached.found
    # What is written to the cache in the caller's transaction would keep all others waiting who ask for the same words.
    with beside(connection) as own:
        if cached is not None:
            touch_cached(own, collection, text)
            return cached.found
        by_worker = _by_worker(own, collection, embedding, words=text)
        return by_worker or embed_and_keep(own, collection, model_here(own, collection), words)


def vector_of_image(
    connection: Connection, collection: Collection, image: bytes | Image, embedding: Embedding = "auto"
) -> Float32Array:
    """Return the vector of a picture, encoded as JPEG, PNG and so on, or decoded; shape (dimensions,), L2 norm 1.

    Raises:
        UsageError: The bytes are no picture, or over 32 MiB.
        NoWorkerError, ModelError: As for words.
    """
    if isinstance(image, Image):
        image = _as_png(image.convert("RGB"))
    try:
        encoded = fetch_bytes(ImageReference(content=image), None, MAX_UPLOAD_BYTES)
        decoded = decode_sandboxed(encoded, rendering=collection.rendering, bands=collection.bands)
        if collection.bands:
            # A request to a worker names the model and no collection: it gets what the collection shows of the picture.
            image = fetch_bytes(ImageReference(content=_as_png(decoded)), None, MAX_UPLOAD_BYTES)
    except ImageError as error:
        raise UsageError(f"the picture cannot be used: {error}") from error
    with beside(connection) as own:
        by_worker = _by_worker(own, collection, embedding, image=image)
    if by_worker is not None:
        return by_worker.vector
    return embed_picture(connection, collection, model_here(connection, collection), encoded)


def _as_png(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def model_here(connection: Connection, collection: Collection) -> Embedder:
    """Return the collection's model, loaded into this process once.

    Raises:
        ModelError: It cannot be loaded, or is not the one the collection was embedded with.
    """
    # With the model's number: another database may know another model by this name.
    key = (collection.model_name, collection.model_id)
    with _loading:
        if key not in _models:
            _models[key] = load_collection_model(connection, collection, ModelOptions())
        return _models[key]


def load_ahead(connection: Connection, collection: Collection) -> None:
    """Have the model ready before somebody asks: load it into this process and compute with it, unless a running worker has it.

    Raises:
        ModelError: It cannot be loaded, or computes other vectors than the collection was embedded with.
    """
    if _has_worker(connection, collection):
        return
    check_golden(
        connection,
        collection,
        model_here(connection, collection),
        (TEXT, IMAGE) if collection.has_text else (IMAGE,),
    )


def _has_worker(connection: Connection, collection: Collection) -> bool:
    values = {"model_id": collection.model_id}
    row = connection.execute(load_sql("queries/has_worker.sql"), values).fetchone()
    return row is not None and bool(row[0])


def beside(connection: Connection) -> Connection:
    """Open a connection of one's own to the same database, with the same rights."""
    return connect(
        connection.info.dsn, password=connection.info.password or None, application_name="imgvec ask"
    )


def _by_worker(
    own: Connection,
    collection: Collection,
    embedding: Embedding,
    *,
    words: str | None = None,
    image: bytes | None = None,
) -> EmbeddedWords | None:
    """Have a worker embed; None where none answers and this process may do it.

    Args:
        own: In autocommit mode: a request must be committed to be seen.

    Raises:
        NoWorkerError: None answers, and this process may not.
        ModelError: A worker could not embed it.
    """
    if embedding == "process":
        return None
    # What the database cannot hold, no worker can read.
    is_told = words is None or can_hold(own, words)
    values = {"model_id": collection.model_id}
    if is_told and _has_worker(own, collection):
        try:
            found = _ask(own, {**values, "words": words, "image": image})
        except (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InsufficientPrivilege) as error:
            # A replica, or a role that only reads: no request can be enqueued.
            log.info("no worker can be asked: %s", one_line(error))
        else:
            if found is not None:
                return found
            log.warning("a worker for %s runs, but did not answer in time", collection.name)
    if embedding == "worker":
        raise NoWorkerError(
            f"no worker for {collection.model_name} answers, and this process may not load the model itself; "
            f"start one: imgvec worker {collection.name}"
        )
    return None


def _ask(own: Connection, values: dict[str, object]) -> EmbeddedWords | None:
    row = own.execute(load_sql("queries/enqueue_request.sql"), values).fetchone()
    if row is None or row[0] is None:
        return None
    deadline = time.monotonic() + row[1] / 1000
    while time.monotonic() < deadline:
        answer = own.execute(load_sql("queries/request_answer.sql"), {"id": row[0]}).fetchone()
        if answer is not None:
            if answer[1] is not None:
                raise ModelError(f"the worker could not embed this: {answer[1]}")
            return EmbeddedWords(read_vector(answer[0]), answer[2])
        time.sleep(POLL_SECONDS)
    return None
