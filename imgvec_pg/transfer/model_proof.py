"""Whether vectors of elsewhere are a collection's model's: by what an export says of itself, or by embedding some rows again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.embedding.embedder import Embedder, Float32Array
from imgvec_pg.embedding.golden import GOLDEN_COSINE, lowest_cosine
from imgvec_pg.errors import ImageError, ModelError
from imgvec_pg.images.decoding.sandbox import decode_for
from imgvec_pg.search.images import read_pictures
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.model_registry import compare_golden, find_models
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.transfer.export_description import ExportDescription
from imgvec_pg.transfer.vector_batch import VectorBatch, VectorReader
from imgvec_pg.transfer.vector_checks import check_vectors

TRUST = "--trust-model"
SAMPLE_ROWS = 50
LEAST_MEDIAN = 0.98
"""Half precision gives 0.999 and more (embedding/golden.py); another decoder of the same file may take a little more."""
LEAST_COSINE = 0.95
MOST_DISAGREEING = 0.1
"""Share of rows below LEAST_COSINE: more is a mixture of two models."""


@dataclass(frozen=True)
class ModelProof:
    """Cosines between a file's vectors and what the model makes of the same rows' pictures.

    Attributes:
        cosines: Of the rows whose picture could be had.
        unreadable: Rows without one, and the reason of the first.
    """

    cosines: tuple[float, ...]
    unreadable: int = 0
    reason: str = ""

    @property
    def median(self) -> float:
        """Median of the cosines, 0 without any."""
        return float(np.median(self.cosines)) if self.cosines else 0.0


def check_description(connection: Connection, collection: Collection, description: ExportDescription) -> None:
    """Refuse an export by another model, other weights, or of pictures rendered by other rules.

    Raises:
        ModelError: It is one.
    """
    here = next(
        model for model in find_models(connection, collection.model_name) if model.id == collection.model_id
    )
    trust = f"{TRUST} imports it all the same"
    if description.model != collection.model_name:
        raise ModelError(
            f"the export is of {description.model}, collection {collection.name} of {collection.model_name}: its "
            "vectors mean something "
            f"else there. Import it into a collection of {description.model}; {trust}"
        )
    if description.rendering != collection.rendering:
        raise ModelError(
            f"the export's pictures were rendered by version {description.rendering}, those of {collection.name} are by "
            f"{collection.rendering}: some have other pixels. See imgvec retry --rendering; {trust}"
        )
    if description.fingerprint and here.fingerprint and description.fingerprint != here.fingerprint:
        raise ModelError(
            f"the export is by other weights or preprocessing of {description.model} (fingerprint "
            f"{description.fingerprint[:12]}) than "
            f"collection {collection.name} ({here.fingerprint[:12]}); {trust}"
        )
    golden = _golden_arrays(description)
    if (
        golden
        and compare_golden(connection, collection.model_id, golden, "imported", store=False).lowest
        < GOLDEN_COSINE
    ):
        raise ModelError(
            f"the export's model makes other vectors of the fixed pictures and texts than collection {collection.name}'s; {trust}"
        )


def keep_description(connection: Connection, collection: Collection, description: ExportDescription) -> None:
    """Record the model that made an export where no worker has yet: one with other weights then refuses to mix its own in."""
    with connection.transaction():
        if description.fingerprint:
            connection.execute(
                load_sql("queries/stamp_model.sql"),
                {
                    "model_id": collection.model_id,
                    "fingerprint": description.fingerprint,
                    "weights_sha256": None,
                    "logit_scale": None,
                    "logit_bias": None,
                },
            )
        compare_golden(connection, collection.model_id, _golden_arrays(description), "imported", store=True)


def _golden_arrays(description: ExportDescription) -> dict[str, Float32Array]:
    return {
        kind: np.asarray(vectors, dtype=np.float32) for kind, vectors in description.golden.items() if vectors
    }


def sample_rows(reader: VectorReader, rows: int = SAMPLE_ROWS) -> list[VectorBatch]:
    """Read rows that lie evenly over the whole of a file: a mixture of two models often changes from one to the other once."""
    wanted = np.unique(np.linspace(0, reader.rows - 1, min(rows, reader.rows)).astype(np.intp))
    return list(_at_places(reader, wanted))


def _at_places(reader: VectorReader, wanted: npt.NDArray[np.intp]) -> Iterator[VectorBatch]:
    start = 0
    for batch in reader.batches():
        here = wanted[(wanted >= start) & (wanted < start + len(batch))] - start
        if len(here):
            yield batch.take(here)
        start += len(batch)
        if start > wanted[-1]:
            return


def prove_model(
    connection: Connection,
    collection: Collection,
    embedder: Embedder,
    rows: Sequence[tuple[Key, Float32Array]],
    root: Path | None = None,
) -> ModelProof:
    """Embed rows of the source by a model and compare with vectors that are said to be its.

    Args:
        rows: Keys of rows, each with its vector of any norm.
        root: Where this machine keeps the pictures, instead of the collection's own.
    """
    cosines: list[float] = []
    reasons: list[str] = []
    pictures = read_pictures(connection, collection, [key for key, _ in rows], root)
    for (_, vector), picture in zip(rows, pictures, strict=True):
        try:
            if isinstance(picture, ImageError):
                raise picture
            made = embedder.embed_images([decode_for(embedder, picture, collection.rendering)])
        except ImageError as error:
            reasons.append(f"{error.code}: {error}")
            continue
        unit = check_vectors(np.asarray(vector, dtype=np.float32)[None])
        cosines.append(lowest_cosine(made, unit.halves.astype(np.float32)) if unit.is_good.all() else -1.0)
    return ModelProof(tuple(cosines), len(reasons), reasons[0] if reasons else "")


def require_proof(collection: Collection, proof: ModelProof, report: Callable[[str], None]) -> None:
    """Refuse vectors that the model does not make.

    Raises:
        ModelError: It does not, or no picture could be had.
    """
    count = len(proof.cosines)
    if not count:
        why = f" ({proof.reason})" if proof.reason else ": none of the sample's keys is a row here"
        raise ModelError(
            f"nothing tells whether the vectors are by {collection.model_name}: no picture could be had{why}. Give "
            f"--root, or {TRUST} if "
            "you know it"
        )
    disagreeing = sum(cosine < LEAST_COSINE for cosine in proof.cosines)
    told = f"median cosine {proof.median:.3f} of {count} rows embedded again"
    if proof.median < LEAST_MEDIAN:
        raise ModelError(
            f"the vectors are not by {collection.model_name} as it is here ({told}, expected {LEAST_MEDIAN} or more); "
            "another model, "
            f"or other preprocessing, made them. {TRUST} imports them all the same"
        )
    if disagreeing > MOST_DISAGREEING * count:
        raise ModelError(
            f"a part of the vectors is not by {collection.model_name} ({told}, {disagreeing} of them below "
            f"{LEAST_COSINE}): a mixture of "
            f"two models, or keys of other rows. {TRUST} imports them all the same"
        )
    report(
        f"by {collection.model_name}: {told}"
        + (f", {disagreeing} below {LEAST_COSINE}" if disagreeing else "")
    )
