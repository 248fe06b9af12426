"""Models on record: what the first worker stamped, and the golden vectors that later ones must reproduce."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from psycopg.rows import class_row

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sqlfiles import load_sql
from imgvec_pg.embedding.golden import GoldenVectors, lowest_cosine


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
    """How near a model here is to the golden vectors on record.

    Attributes:
        images: Least cosine of the pictures.
        texts: The same of the texts; None where there are none here or on record.
    """

    images: float
    texts: float | None

    @property
    def lowest(self) -> float:
        """Least cosine of all."""
        return self.images if self.texts is None else min(self.images, self.texts)


def find_models(connection: Connection, name: str | None = None) -> list[RecordedModel]:
    """Return the models on record, or the one of this name."""
    with connection.cursor(row_factory=class_row(RecordedModel)) as cursor:
        return cursor.execute(load_sql("queries/models.sql"), {"name": name}).fetchall()


def compare_golden(
    connection: Connection, model_id: int, golden: GoldenVectors, precision: str, *, store: bool
) -> GoldenComparison | None:
    """Compare golden vectors with those on record.

    Args:
        store: First store those that are not on record. Of two workers that do, one's stay, and both compare with them.

    Returns:
        None where there is none on record to compare with.
    """
    kinds = {"image": golden.images, "text": golden.texts}
    if store:
        for kind, vectors in kinds.items():
            for position, vector in enumerate(vectors if vectors is not None else ()):
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
    on_record: dict[str, list[list[float]]] = {"image": [], "text": []}
    for kind, embedding, _ in connection.execute(
        load_sql("queries/golden_vectors.sql"), {"model_id": model_id}
    ):
        on_record[kind].append(embedding)
    if not on_record["image"]:
        return None
    cosines = {
        kind: lowest_cosine(vectors, np.asarray(on_record[kind], dtype=np.float32))
        for kind, vectors in kinds.items()
        if vectors is not None and on_record[kind]
    }
    return GoldenComparison(cosines["image"], cosines.get("text"))
