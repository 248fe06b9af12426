"""Ten of ten rows, always: for a role that row-level security shows one percent of the rows, and for filters of one percent."""

from collections.abc import Iterator

from pgvector import HalfVector
from pgvector.psycopg import register_vector

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec
from searching.shop import K, Shop
from searching.target import Target

SETUP = """
CREATE TABLE hidden (LIKE item INCLUDING ALL);
INSERT INTO hidden SELECT * FROM item;
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
-- Every hundredth row, or the categories that a session names.
CREATE POLICY visible ON hidden USING (
    CASE WHEN current_setting('shop.categories', true) <> ''
         THEN category_id = ANY (current_setting('shop.categories')::integer[]) ELSE id % 100 = 7 END);
DO $$ BEGIN
    IF to_regrole('imgvec_bench_reader') IS NULL THEN CREATE ROLE imgvec_bench_reader; END IF;
END $$;
GRANT imgvec_reader TO imgvec_bench_reader;
GRANT SELECT ON hidden TO imgvec_bench_reader
"""
AMONG = "SELECT count(*) FROM imgvec.search_item(%s, 10, ARRAY(SELECT id FROM item WHERE id %% 100 = %s))"


def measure(connection: Connection, shop: Shop) -> Iterator[Target]:
    """Count the rows of every query, as a reader whose policy shows every hundredth row, then the farthest categories."""
    register_vector(connection)
    if connection.execute("SELECT to_regclass('hidden')").fetchone() == (None,):
        connection.execute(SETUP)  # type: ignore[arg-type]
        create_collection(
            connection,
            CollectionSpec("hidden", "hidden", ["photo"], "generated", shop.stored.shape[1], False, root="/"),
        )
        connection.execute("INSERT INTO imgvec.hidden_embedding SELECT * FROM imgvec.item_embedding")
        build_index(connection, get_collection(connection, "hidden"))
        connection.execute("ANALYZE hidden; ANALYZE imgvec.hidden_embedding")
    for name, categories in (("every hundredth row", False), ("one percent, the farthest", True)):
        least = K
        connection.execute("SET ROLE imgvec_bench_reader")
        for query in shop.queries[:50]:
            chosen = shop.filter("opposed", 0.01, query).categories if categories else []
            value = "{" + ",".join(map(str, chosen or [])) + "}" if categories else ""
            connection.execute("SELECT set_config('shop.categories', %s, false)", [value])
            row = connection.execute(
                "SELECT count(*) FROM imgvec.search_hidden(%s, 10)", [HalfVector(query)]
            ).fetchone()
            least = min(least, row[0] if row else 0)
        connection.execute("RESET ROLE")
        yield Target("hidden", f"row-level security shows {name}: least rows of 10", least, K, False)
    counts = [
        connection.execute(AMONG, [HalfVector(query), number]).fetchone()
        for number, query in enumerate(shop.queries[:100])
    ]
    yield Target(
        "hidden", "100 filters of 1 %: least rows of 10", min(row[0] for row in counts if row), K, False
    )
