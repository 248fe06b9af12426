"""Row-level security that is switched on after a collection was made: readers are refused, not shown what it hides."""

import psycopg
import pytest
from photostore import X, Y, as_role, embed, lease_job, make_collection, new_role, take_enqueued

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.store.embeddings import EmbeddingStore
from imgvec_pg.store.integrity.reconcile import list_source, reconcile
from imgvec_pg.store.integrity.verify import verify_collection
from imgvec_pg.store.setup.grants import grant_rights

SOURCES = {
    "table": ("", "ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY"),
    "partitioned table": (" PARTITION BY HASH (id)", "ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY"),
    "view of a table": ("", "ALTER TABLE shop.base ENABLE ROW LEVEL SECURITY"),
    "view that names the role": (
        "",
        "CREATE OR REPLACE VIEW shop.photo AS SELECT * FROM shop.base WHERE file = current_user",
    ),
}
SEARCHES = (
    "SELECT id FROM imgvec.near_photo_test('[1,0,0]')",
    "SELECT id FROM imgvec.near_photo_test_row(1)",
    "SELECT id FROM imgvec.search_photo_test('[1,0,0]', 5)",
    "SELECT id FROM imgvec.photo_test_embedding",
    "SELECT count(*) FROM imgvec.photo_test_embedding",
    "SELECT id FROM imgvec.page_photo_test('[1,0,0]', 5)",
    "SELECT id FROM imgvec.recommend_photo_test('{1}')",
)


@pytest.mark.parametrize("source", SOURCES)
def test_readers_are_refused_until_reconcile(scratch: Connection, source: str) -> None:
    clause, switched_on = SOURCES[source]
    is_view = source.startswith("view")
    table = "base" if is_view else "photo"
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute(f"CREATE TABLE shop.{table} (id bigint PRIMARY KEY, file text){clause}")  # type: ignore[arg-type]
    if clause:
        scratch.execute(
            "CREATE TABLE shop.photo_1 PARTITION OF shop.photo FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
        )
    if is_view:
        scratch.execute("CREATE VIEW shop.photo WITH (security_invoker) AS SELECT * FROM shop.base")
    scratch.execute(f"INSERT INTO shop.{table} VALUES (1, 'a.jpg'), (2, 'b.jpg')")  # type: ignore[arg-type]
    collection = make_collection(scratch, **({"key": ["id"], "foreign_key": False} if is_view else {}))
    embed(scratch, collection, {1: X, 2: Y})
    grants = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON ALL TABLES IN SCHEMA shop")
    with new_role(scratch, *grants) as reader:
        with as_role(scratch, reader):
            for search in SEARCHES:
                assert scratch.execute(search).fetchall() != []  # type: ignore[arg-type]
            assert scratch.execute("SELECT embedded FROM imgvec.status").fetchone() == (2,)
        scratch.execute(switched_on)  # type: ignore[arg-type]
        with as_role(scratch, reader):
            for search in SEARCHES:
                with (
                    pytest.raises(psycopg.errors.InsufficientPrivilege, match="hides rows now"),
                    scratch.transaction(),
                ):
                    scratch.execute(search)  # type: ignore[arg-type]
        reconcile(scratch, collection)
        scratch.execute("SET LOCAL search_path TO DEFAULT; SET LOCAL row_security TO DEFAULT")
        with as_role(scratch, reader):
            for search in SEARCHES[:-1]:  # The last names a row that is hidden now: an error of its own.
                assert scratch.execute(search).fetchall() in ([], [(0,)])  # type: ignore[arg-type]


def test_a_worker_without_bypassrls_works_while_nothing_is_hidden(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text)")
    collection = make_collection(scratch, foreign_key=False)
    scratch.execute("INSERT INTO shop.photo VALUES (1, 'a.jpg')")
    take_enqueued(scratch)
    with new_role(scratch, "imgvec_worker", "USAGE ON SCHEMA shop", "SELECT ON shop.photo") as worker:
        with as_role(scratch, worker):
            assert list_source(scratch, collection) == 1
            store = EmbeddingStore(scratch, collection, vector_schema(scratch))
            assert [image.path for image in store.read_images([{"id": 1}])] == ["a.jpg"]
            assert lease_job(scratch, collection, [1]).write((1, X)).embedded == 1
            assert verify_collection(scratch, collection).embedded == 1
        scratch.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
        with (
            as_role(scratch, worker),
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            scratch.transaction(),
        ):
            store.read_images([{"id": 1}])


def test_migrate_gives_the_collections_of_before_their_policy(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text)")
    collection = make_collection(scratch)
    table = f"imgvec.{collection.embedding_table}"
    for name in ("while_source_is_open", "worker_writes"):
        scratch.execute(f"DROP POLICY {name} ON {table}")  # type: ignore[arg-type]
    scratch.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")  # type: ignore[arg-type]
    grant_rights(scratch)
    names = scratch.execute(
        "SELECT policyname FROM pg_policies WHERE schemaname = 'imgvec' ORDER BY 1"
    ).fetchall()
    assert names == [("while_source_is_open",), ("worker_writes",)]
