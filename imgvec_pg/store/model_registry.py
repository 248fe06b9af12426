"""Registry of models: fingerprints, and the golden vectors that each later load must reproduce."""

import json
import weakref
from collections.abc import Collection as Kinds
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from psycopg import sql
from psycopg.rows import class_row

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import (
    GOLDEN_COSINE,
    IMAGE,
    KINDS,
    TEXT,
    GoldenVectors,
    compute_golden,
    least_picture_cosine,
    lowest_cosine,
    recordable,
)
from imgvec_pg.errors import ModelError
from imgvec_pg.store.collection import Collection


@dataclass(frozen=True)
class RecordedModel:
    """A row of imgvec.model, with the names of its collections. Field names are the query's columns."""

    id: int
    name: str
    dimensions: int
    has_text: bool
    fingerprint: str | None
    weights_sha256: str | None
    logit_scale: float | None
    logit_bias: float | None
    images_per_second: float | None
    golden_count: int
    collections: Sequence[str]


@dataclass(frozen=True)
class GoldenComparison:
    """Cosines between the golden vectors on record and those computed here.

    Attributes:
        images: Least cosine of the pictures; None where there are none here or on record.
        texts: The same of the texts.
    """

    images: float | None
    texts: float | None

    @property
    def lowest(self) -> float:
        """Least cosine of all, 1 where there is nothing to compare."""
        return min(cosine for cosine in (self.images, self.texts, 1.0) if cosine is not None)

    def shortfall(self, embedder: Embedder) -> str:
        """Say which cosine was met and which was expected of an embedder; "" where all are as they should be."""
        expected = ((self.images, least_picture_cosine(embedder)), (self.texts, GOLDEN_COSINE))
        short = [(met, least) for met, least in expected if met is not None and met < least]
        if not short:
            return ""
        met, least = min(short)
        return f"cosine {met:.4f} in {embedder.precision}, at least {least:.4g} expected"


def find_models(connection: Connection, name: str | None = None) -> list[RecordedModel]:
    """Return the models on record, or the one of this name."""
    with connection.cursor(row_factory=class_row(RecordedModel)) as cursor:
        return cursor.execute(load_sql("queries/models.sql"), {"name": name}).fetchall()


def require_same_model(collection: Collection, embedder: Embedder, fingerprint: str | None) -> None:
    """Refuse to mix two models in one collection.

    Args:
        fingerprint: The one on record; None where no worker has stamped it yet.

    Raises:
        ModelError: The model here has other dimensions or another fingerprint.
    """
    if embedder.dimensions != collection.dimensions:
        raise ModelError(
            f'model "{collection.model_name}" gives {embedder.dimensions} dimensions here, collection '
            f'"{collection.name}" has {collection.dimensions}; load the model it was made with, or make a new collection'
        )
    if fingerprint is not None and fingerprint != embedder.fingerprint:
        raise ModelError(
            f'the weights or preprocessing of "{collection.model_name}" here (fingerprint {embedder.fingerprint[:12]}) are not '
            f'those that collection "{collection.name}" was embedded with ({fingerprint[:12]}); use the same weights '
            "(--weights FILE), or make a new collection"
        )


def read_fingerprint(connection: Connection, collection: Collection) -> str | None:
    """Return the fingerprint of a collection's model on record; None where no worker has stamped it yet."""
    row = connection.execute(
        load_sql("queries/model_fingerprint.sql"), {"model_id": collection.model_id}
    ).fetchone()
    return None if row is None else row[0]


def compare_golden(
    connection: Connection, model_id: int, golden: GoldenVectors, precision: str, *, store: bool
) -> GoldenComparison:
    """Compare golden vectors with those on record.

    Args:
        store: First store those that are not on record. Of two workers that do, one's stay, and both compare with them.
    """
    if store:
        _store_golden(connection, model_id, golden, precision)
    on_record: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    statement = render("queries/golden_vectors.sql", vector=sql.Identifier(vector_schema(connection)))
    for kind, embedding in connection.execute(statement, {"model_id": model_id}):
        on_record[kind].append(json.loads(embedding))
    cosines = {
        kind: lowest_cosine(vectors, np.asarray(on_record[kind], dtype=np.float32))
        for kind, vectors in golden.items()
        if on_record[kind]
    }
    return GoldenComparison(cosines.get(IMAGE), cosines.get(TEXT))


def _store_golden(connection: Connection, model_id: int, golden: GoldenVectors, precision: str) -> None:
    for kind, vectors in golden.items():
        for position, vector in enumerate(vectors):
            connection.execute(
                load_sql("queries/store_golden.sql"),
                {
                    "model_id": model_id,
                    "kind": kind,
                    "position": position,
                    "embedding": vector.tolist(),
                    "precision": precision,
                },
            )


_computed: "weakref.WeakKeyDictionary[Embedder, dict[str, GoldenVectors]]" = weakref.WeakKeyDictionary()
"""By model and kind: neither a worker that lost its connection nor the next query embeds the golden pictures again."""


def check_golden(
    connection: Connection,
    collection: Collection,
    embedder: Embedder,
    kinds: Kinds[str] = KINDS,
    *,
    store: bool = False,
) -> None:
    """Refuse a model that has the right weights and yet computes other vectors than at its first use.

    Args:
        kinds: What is going to be embedded: a query by words needs no pictures.
        store: First store the vectors that are not on record, for a worker; where none are, a query compares nothing.

    Raises:
        ModelError: It does, or its vectors have not the norm 1.
    """
    known = _computed.setdefault(embedder, {})
    for kind in kinds:
        if kind not in known:
            known[kind] = compute_golden(embedder, (kind,))
    golden = {key: vectors for kind in kinds for key, vectors in known[kind].items()}
    if store:
        _store_golden(connection, collection.model_id, *recordable(embedder, golden))
    found = compare_golden(connection, collection.model_id, golden, embedder.precision, store=False)
    if shortfall := found.shortfall(embedder):
        runtime = "--runtime torch, " if getattr(embedder, "runtime", "") else ""
        raise ModelError(
            f'model "{embedder.name}" computes other vectors here than at its first use ({shortfall}), so it is not used: '
            f"try {runtime}--precision fp32, --device cpu or the versions of torch and open_clip used then; "
            f"see imgvec model verify {embedder.name}"
        )
