"""How far apart random pairs are, so that a threshold means the same with each model."""

from collections.abc import Sequence
from dataclasses import dataclass

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.search.transaction import read_only_transaction
from imgvec_pg.store.collection import Collection

PERCENTILES = (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, *range(1, 101))
SAMPLES = (2, 5000)
"""5,000 rows are 12 million pairs, which PostgreSQL sorts in some seconds."""
FEWEST_TEXTS = 20


@dataclass(frozen=True)
class Calibration:
    """Distances (0 to 2) that a share of random pairs does not exceed; `pairs_of` is "rows" or "words"."""

    pairs_of: str
    pair_count: int
    percentiles: Sequence[float]
    distances: Sequence[float]


def calibrate(connection: Connection, collection: Collection, sample: int = 2000) -> list[Calibration]:
    """Measure and store the distances of random pairs of rows and, with 20 cached texts or more, of texts and rows.

    Args:
        sample: Rows drawn, 2 to 5,000; all pairs of them are measured.

    Raises:
        UsageError: The sample is out of range.
        CollectionError: Fewer than two rows are embedded.
    """
    low, high = SAMPLES
    if not low <= sample <= high:
        raise UsageError(f"the sample is {sample} rows; expected {low} to {high}")
    parts = bindable(collection.parts(vector_schema(connection)))
    values = {
        "sample": sample,
        "percentiles": list(map(float, PERCENTILES)),
        "fractions": [percentile / 100 for percentile in PERCENTILES],
        "fewest": FEWEST_TEXTS,
    }
    with connection.transaction():
        measured = connection.execute(render("collection/calibrate_rows.sql", **parts), values).fetchone()
        if measured is None:
            raise CollectionError(
                f'fewer than two rows of collection "{collection.name}" are embedded; '
                f"run: imgvec backfill {collection.name}"
            )
        connection.execute(render("collection/calibrate_words.sql", **parts), values)
    found = connection.execute(load_sql("queries/calibration.sql"), {"collection_id": collection.id})
    return [Calibration(*row) for row in found]


def distance_at(connection: Connection, collection: Collection, percentile: float, pairs_of: str) -> float:
    """Return the distance that this share in per cent of random pairs does not exceed.

    Raises:
        DatabaseError: It is not 0 to 100, or the collection is not calibrated for such pairs.
    """
    values = {"collection": collection.name, "percentile": percentile, "pairs_of": pairs_of}
    with read_only_transaction(connection, collection) as cursor:
        row = cursor.execute(load_sql("queries/distance_at.sql"), values).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM
    return float(row[0])
