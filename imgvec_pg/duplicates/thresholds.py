"""What a threshold means for a collection: from a sample how near the nearest others are, and what people decided so far."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.duplicates.pairs import check_threshold
from imgvec_pg.duplicates.relations import duplicate_parts
from imgvec_pg.duplicates.sketch import directed_rows
from imgvec_pg.duplicates.vector_rows import VectorRows, read_vectors
from imgvec_pg.embedding.catalog import CATALOGUE
from imgvec_pg.errors import UsageError
from imgvec_pg.search.code_of_others import refuse_code_of_others
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.search_functions import RELATIONS

SAMPLE_ROWS = 1000
BLOCK_ROWS = 8192
BANDS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5, 2.0)
"""Edges of the histogram of nearest distances."""
AROUND = (0.2, 0.6, 1.0, 1.6, 2.4)
"""The five thresholds, as multiples of the distance of the one that is asked about."""
EXAMPLES = 4
"""Pairs shown at each threshold."""
MEASURED = {
    "timm/tf_efficientnet_lite0.in1k": (
        0.8,
        "at 0.8 no group of altered photographs had strangers (precision 1.00, recall 0.89); 0.7 finds 0.96 of such pairs",
    ),
    "demo": (
        0.975,
        "at 0.975 groups of altered drawings are best (precision 0.86, recall 0.88 of pairs in them)",
    ),
}
"""Cosine similarity, and what it rests on: benchmarks/results/duplicate_groups.txt, groups by links."""
Z_95 = 1.959964
"""Of the normal distribution: 95 % lie within so many standard deviations."""


@dataclass(frozen=True)
class Precision:
    """Of pairs at a threshold or above that people decided: how many are the same, and Wilson's 95 % interval of that share."""

    same: int
    decided: int
    low: float
    high: float


@dataclass(frozen=True)
class NearPair:
    """A row of the sample and its nearest other."""

    key: Key
    other: Key
    distance: float


@dataclass(frozen=True)
class Level:
    """One threshold.

    Attributes:
        with_neighbour: Share of the sampled rows that have another at the threshold or above.
        pairs: Of the whole collection, estimated from the sample.
        precision: None where nobody decided about such pairs.
        examples: Pairs between this threshold and the next higher one, the furthest first: what it adds.
    """

    threshold: float
    with_neighbour: float
    pairs: float
    precision: Precision | None
    examples: list[NearPair]


@dataclass(frozen=True)
class Explanation:
    """What thresholds mean for a collection.

    Attributes:
        sample: Rows whose nearest other was looked for, among all.
        histogram: Lower edge, upper edge, and sampled rows whose nearest other lies between.
    """

    rows: int
    sample: int
    histogram: list[tuple[float, float, int]]
    levels: list[Level]


def default_threshold(model_name: str) -> tuple[float, str]:
    """Return the threshold to begin at with a model, and what it rests on: no threshold is measured for a person's own pictures.

    Two models are measured by pictures altered in 20 ways. immich 2 asks about pictures of CLIP models at distance 0.01,
    imagededup 0.3 about such of MobileNetV3 at similarity 0.9; for DINOv2 no program that finds duplicates publishes one.
    """
    if model_name in MEASURED:
        return MEASURED[model_name]
    known = CATALOGUE.get(model_name)
    if known is not None and not known.has_text:
        return 0.9, (
            "0.9 is where imagededup begins with a network of images alone; not measured for this model"
        )
    return (
        0.95,
        "0.95 is wide for models of the CLIP kind (immich begins at 0.99); not measured for this model",
    )


def explain_thresholds(
    connection: Connection,
    collection: Collection,
    threshold: float,
    where: str | None,
    memory_bytes: int,
    read: Callable[[int], None] = lambda rows: None,
) -> Explanation:
    """Compare a sample of rows with all, and tell what five thresholds around one would find. Writes nothing.

    Raises:
        UsageError: The threshold or the condition is no such, or there are fewer than two rows.
        DatabaseError: The role may not read the rows.
    """
    check_threshold(threshold)
    if where is not None:
        refuse_code_of_others(connection, collection, where)
    rows = read_vectors(connection, collection, where, memory_bytes, read)
    directed = directed_rows(rows.vectors)
    if len(directed) < 2:
        raise UsageError(
            f"{len(directed)} rows are embedded and match; expected two or more: imgvec backfill {collection.name}"
        )
    thresholds = [max(1 - multiple * max(1 - threshold, 0.005), -1.0) for multiple in AROUND]
    sample = np.sort(
        np.random.default_rng(0).choice(directed, min(SAMPLE_ROWS, len(directed)), replace=False)
    )
    nearest, similarity, counts = _nearest(rows.vectors, directed, sample, thresholds)
    decided = _decided(connection, collection)
    distances = np.maximum(1 - similarity, 0.0)
    filled, _ = np.histogram(distances, BANDS)
    levels = [
        Level(
            level,
            float(np.mean(similarity >= level)),
            float(count) / len(sample) * len(directed) / 2,
            _precision(decided, level),
            _examples(rows, sample, nearest, similarity, level, above),
        )
        for level, above, count in zip(thresholds, [2.0, *thresholds], counts.tolist(), strict=False)
    ]
    bands = [(low, high, int(count)) for low, high, count in zip(BANDS, BANDS[1:], filled, strict=False)]
    return Explanation(len(directed), len(sample), bands, levels)


def _nearest(
    vectors: npt.NDArray[np.float16],
    rows: npt.NDArray[np.intp],
    sample: npt.NDArray[np.intp],
    thresholds: Sequence[float],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the nearest other row of each sampled one, its similarity, and how many are at each threshold or above; float32."""
    best = np.full(len(sample), -2.0)
    place = np.full(len(sample), -1, dtype=np.intp)
    counts = np.zeros(len(thresholds), dtype=np.int64)
    left = _units(vectors[sample])
    for start in range(0, len(rows), BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        products = left @ _units(vectors[block]).T
        products[sample[:, None] == block[None, :]] = -2
        counts += [int(np.count_nonzero(products >= threshold)) for threshold in thresholds]
        found = products.argmax(axis=1)
        values = products[np.arange(len(sample)), found]
        nearer = values > best
        best[nearer], place[nearer] = values[nearer], block[found[nearer]]
    return place, best, counts


def _units(vectors: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
    wide = vectors.astype(np.float32)
    wide /= np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    return wide


def _examples(
    rows: VectorRows,
    sample: npt.NDArray[np.intp],
    nearest: npt.NDArray[np.intp],
    similarity: npt.NDArray[np.float64],
    threshold: float,
    above: float,
) -> list[NearPair]:
    between = np.flatnonzero((similarity >= threshold) & (similarity < above))
    chosen = between[np.argsort(similarity[between], kind="stable")]
    found, seen = [], set()
    for row in chosen.tolist():
        pair = frozenset((int(sample[row]), int(nearest[row])))
        if pair in seen:
            continue
        seen.add(pair)
        key, other = (json.loads(rows.keys[number]) for number in (sample[row], nearest[row]))
        found.append(NearPair(key, other, max(1 - float(similarity[row]), 0.0)))
        if len(found) == EXAMPLES:
            break
    return found


def _decided(connection: Connection, collection: Collection) -> list[tuple[float, bool]]:
    """Return the similarity of each pair that somebody decided to be the same or not, and which."""
    tables = [RELATIONS["duplicate_pair_table"].format(collection.name)]
    view = RELATIONS["duplicate_view"].format(collection.name)
    state = connection.execute(
        load_sql("queries/duplicate_state.sql"), {"view": view, "tables": tables, "run_table": None}
    ).fetchone()
    if state is None or not state[0] or not state[1]:
        return []
    parts = duplicate_parts(collection, vector_schema(connection))
    found = connection.execute(render("collection/decided_pairs.sql", **parts))
    return [(1 - float(distance), bool(same)) for distance, same in found]


def _precision(decided: Sequence[tuple[float, bool]], threshold: float) -> Precision | None:
    """Return the share of pairs that are the same, with Wilson's interval (1927), which holds for few of them too."""
    told = [same for similarity, same in decided if similarity >= threshold]
    if not told:
        return None
    count, share = len(told), sum(told) / len(told)
    centre = (share + Z_95**2 / (2 * count)) / (1 + Z_95**2 / count)
    spread = Z_95 / (1 + Z_95**2 / count) * math.sqrt(share * (1 - share) / count + Z_95**2 / (4 * count**2))
    return Precision(sum(told), count, max(centre - spread, 0.0), min(centre + spread, 1.0))
