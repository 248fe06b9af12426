"""The workers that were asked for build an index: PostgreSQL counts them by a table's pages, few where vectors lie in TOAST."""

import re

import numpy as np
import pytest
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import plan_build, run_build
from imgvec_pg.store.spec import CollectionSpec

ROWS = 200
KINDS = {
    "few rows": (8, {}),
    "vectors in TOAST": (1100, {}),
    "bits of vectors in TOAST": (1100, {"quantization": "bit"}),
    "lists of vectors in TOAST": (1100, {"index_method": "ivfflat"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_is_built_by_the_workers_that_were_asked_for(connection: Connection, kind: str) -> None:
    dimensions, options = KINDS[kind]
    connection.execute("CREATE TABLE photo (id integer PRIMARY KEY, picture bytea)")
    connection.execute("INSERT INTO photo SELECT g, 'x' FROM generate_series(1, %s) AS g", [ROWS])
    spec = CollectionSpec("photo_test", "photo", ["picture"], "test/wide", dimensions, True, **options)  # type: ignore[arg-type]
    collection = create_collection(connection, spec)
    vectors = np.random.default_rng(3).normal(size=(ROWS, dimensions))
    table = sql.Identifier("imgvec", collection.embedding_table)
    copied = sql.SQL("COPY {} (id, embedding, version, content_hash, precision) FROM STDIN").format(table)
    with connection.cursor().copy(copied) as copy:
        for key, vector in enumerate(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), 1):
            copy.write_row((key, str(vector.tolist()), 1, "", "fp32"))
    told: list[str] = []
    connection.add_notice_handler(lambda diagnostic: told.append(diagnostic.message_primary or ""))
    connection.execute("SET client_min_messages = debug1")
    plan = plan_build(connection, collection)
    assert run_build(connection, plan.define(collection), plan, again="", workers=1)
    # What pgvector says of a build that is not its own process's alone (src/hnswbuild.c, src/ivfbuild.c).
    assert [found[1] for line in told if (found := re.match(r"using (\d+) parallel workers", line))] == [
        "1"
    ], told
