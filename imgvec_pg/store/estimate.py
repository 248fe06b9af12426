"""Estimate a first fill: rows, bytes, hours."""

from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.index_methods import hnsw, ivfflat
from imgvec_pg.store.collection_plan import plan_collection
from imgvec_pg.store.spec import CollectionSpec
from imgvec_pg.store.transactions import read_as_owner

COUNT_EXACTLY_BELOW = 1_000_000
ROW_OVERHEAD_BYTES = 24 + 4 + 8 + 8 + 33 + 8 + 5 + 8
"""Heap tuple header and line pointer, vector header, version, hash, time, precision, key; measured 1,150 bytes a row
for 512 dimensions including the primary key's index."""
PRIMARY_KEY_BYTES = 24


@dataclass(frozen=True)
class Estimate:
    """Sizes in bytes; hours are None until a worker has measured the model's rate on this database."""

    source: str
    rows: int
    is_estimated: bool
    table_bytes: int
    index_bytes: int
    images_per_second: float | None
    hours: float | None


def estimate_collection(connection: Connection, spec: CollectionSpec) -> Estimate:
    """Check a spec as `create_collection` would and estimate its cost; changes nothing.

    Raises:
        CollectionError, UsageError: It cannot be made as asked.
    """
    plan = plan_collection(connection, spec)
    source, planned = plan.source, plan.collection
    parts = planned.parts(vector_schema(connection))
    read_as_owner(connection, planned)
    estimated = source.estimated_rows >= COUNT_EXACTLY_BELOW
    rows = int(source.estimated_rows)
    if not estimated:
        row = connection.execute(
            sql.SQL("SELECT count(*) FROM {source} AS s WHERE {s_has_image}").format(**parts)
        ).fetchone()
        rows = int(row[0]) if row else 0
    rate = connection.execute(
        "SELECT images_per_second FROM imgvec.model WHERE name = %s",
        [planned.model_name],
    ).fetchone()
    per_second = float(rate[0]) if rate and rate[0] else None
    vector_bytes = 2 * planned.dimensions
    return Estimate(
        source=planned.shown_source,
        rows=rows,
        is_estimated=estimated,
        table_bytes=rows * (vector_bytes + ROW_OVERHEAD_BYTES + PRIMARY_KEY_BYTES),
        index_bytes=hnsw.index_bytes(rows, planned.dimensions, planned.m, planned.quantization)
        if planned.index_method == "hnsw"
        else ivfflat.index_bytes(rows, planned.dimensions, planned.lists or ivfflat.default_lists(rows)),
        images_per_second=per_second,
        hours=None if not per_second else rows / per_second / 3600,
    )
