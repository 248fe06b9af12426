"""Embedding in a test's own process and transaction, where no worker could see its rows."""

import hashlib
import itertools
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model
from django.utils import timezone

from imgvec_pg.backfill.batch.shared_decoding import prepare_picture
from imgvec_pg.django.connection_dsn import command_errors, psycopg_connection
from imgvec_pg.django.image_search import ImageSearch, all_searches, searches_of
from imgvec_pg.django.thumbnails import has_picture, read_bytes
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.store.registry import get_collection

AT_ONCE = 64


def embed_now(*models: type[Model], using: str = DEFAULT_DB_ALIAS) -> int:
    """Embed all rows with a picture, by this process and in the transaction at hand, as a TestCase has it.

    What is there already is embedded anew, what has lost its picture is forgotten, and the queue is emptied. It is for
    tests: a worker keeps order with others and goes on where a picture fails, this does neither.

    Args:
        models: Those whose searches are filled; none means all of the project.

    Returns:
        How many rows were embedded.

    Raises:
        CommandError: A collection does not exist, or its model cannot be loaded.
        ImageError: A picture cannot be read or decoded.
    """
    searches = [s for model in models for s in searches_of(model).values()] if models else all_searches()
    return sum(_embed(search, using) for search in dict.fromkeys(searches))


def _embed(search: ImageSearch, alias: str) -> int:
    with command_errors():
        collection = get_collection(psycopg_connection(alias), search.collection)
        embedder = load_embedder(collection.model_name, device="cpu")
    embeddings = search.embedding_model._default_manager.using(alias)
    embeddings.all().delete()
    rows = search.owner._base_manager.using(alias).iterator(AT_ONCE)
    done = 0
    for batch in _batches(row for row in rows if has_picture(search, row)):
        pictures = [read_bytes(search, row) for row in batch]
        vectors = embedder.embed_prepared(
            [
                prepare_picture(embedder, data, collection.rendering, collection.bands).prepared
                for data in pictures
            ]
        )
        made = [
            search.embedding_model(
                pk=row.pk,
                embedding=vector,
                version=0,
                content_hash=hashlib.sha256(data).digest(),
                precision=embedder.precision,
                embedded_at=timezone.now(),
            )
            for row, data, vector in zip(batch, pictures, vectors, strict=True)
        ]
        done += len(embeddings.bulk_create(made))
    with connections[alias].cursor() as cursor:
        cursor.execute("DELETE FROM imgvec.job WHERE collection_id = %s", [collection.id])
        cursor.execute("DELETE FROM imgvec.failure WHERE collection_id = %s", [collection.id])
    return done


def _batches(rows: Any) -> Any:  # noqa: ANN401 - iterators of models
    rows = iter(rows)
    return iter(lambda: list(itertools.islice(rows, AT_ONCE)), [])
