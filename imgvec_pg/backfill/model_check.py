"""Fingerprint check: the first worker records the model of a collection, every later one must have the same."""

from imgvec_pg.backfill.batch.isolation import is_out_of_memory, no_room
from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import IMAGE, KINDS, TEXT
from imgvec_pg.errors import ModelError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.model_registry import check_golden, require_same_model

STAMP_TRIES = 3


def check_model(connection: Connection, collection: Collection, embedder: Embedder) -> None:
    """Stamp the model's fingerprint and its golden vectors at first use, and refuse to mix two.

    Where the model loads what embeds words only when they are asked for, its texts are left to `check_words`: a fill needs none.

    Raises:
        ModelError: The collection was embedded with another one, or this one computes other numbers here.
        DeviceMemoryError: The device has no memory for even one image.
    """
    # One of other dimensions must not be stamped.
    require_same_model(collection, embedder, None)
    require_same_model(collection, embedder, stamp(connection, collection, embedder))
    try:
        check_golden(
            connection, collection, embedder, (IMAGE,) if words_are_late(embedder) else KINDS, store=True
        )
    except Exception as error:
        if is_out_of_memory(error):
            raise no_room(embedder, error) from error
        raise


def words_are_late(embedder: Embedder) -> bool:
    """Return whether a model has yet to load what embeds words."""
    return bool(getattr(embedder, "loads_words_late", False))


def check_words(connection: Connection, collection: Collection, embedder: Embedder) -> None:
    """Load what embeds words, stamp the golden texts at first use, and refuse a model that gives other vectors.

    Raises:
        ModelError: It does, or words cannot be embedded here.
    """
    check_golden(connection, collection, embedder, (TEXT,), store=True)


def stamp(connection: Connection, collection: Collection, embedder: Embedder) -> str:
    """Record the model's fingerprint unless there is one, and return the one on record.

    Raises:
        ModelError: The model's entry is gone.
    """
    values = {
        "model_id": collection.model_id,
        "fingerprint": embedder.fingerprint,
        "weights_sha256": getattr(embedder, "weights_sha256", None),
        "logit_scale": embedder.logit_scale,
        "logit_bias": embedder.logit_bias,
    }
    for _ in range(STAMP_TRIES):
        row = connection.execute(load_sql("queries/stamp_model.sql"), values).fetchone()
        # Of two workers that stamp at once, one sees neither its own stamp nor yet the other's.
        if row is not None:
            return str(row[0])
    raise ModelError(f'the model of collection "{collection.name}" is not registered any more')
