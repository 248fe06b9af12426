"""Checks of what VACUUM will cost: it repairs an HNSW index around each dead row, by as many searches as building takes."""

from collections.abc import Iterator

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.ddl import index_states

LEAST_ROWS = 10_000
"""Below, either takes seconds."""
COSTLY_SHARE = 0.05
"""Dead rows from which VACUUM takes more processor time than building the index anew and a VACUUM after that: 1.3 times at 5 %,
1.7 at 20 % (6,000 rows of 64 dimensions; pgvector src/hnswvacuum.c connects anew what had a dead neighbour)."""


def check_dead_rows(connection: Connection, collection: Collection) -> Iterator[Finding]:
    """Say where building the HNSW index anew costs less than the VACUUM that is due."""
    states = index_states(connection, collection)
    if not any(state.method == "hnsw" and state.is_valid for state in states):
        return
    row = connection.execute(
        load_sql("queries/dead_rows.sql"), {"table": f"imgvec.{collection.indexed_table}"}
    ).fetchone()
    dead, living = row or (0, 0)
    if living < LEAST_ROWS or dead < COSTLY_SHARE * living:
        return
    yield Finding(
        "warning",
        collection.name,
        f"{dead:,} rows of imgvec.{collection.indexed_table} are dead beside {living:,}: VACUUM will repair the HNSW index at "
        "more than the cost of building it anew",
        f"imgvec index rebuild {collection.name}, then: VACUUM imgvec.{collection.indexed_table}",
    )
