"""Who may do what: nobody by default, readers search, workers fill, triggers run for everybody."""

import shutil
import uuid
from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
from memory_disk import make_server_directory
from photostore import (
    X,
    Y,
    as_role,
    embed,
    embedded,
    enqueued,
    fail,
    lease_job,
    make_collection,
    make_photos,
    new_role,
)
from psycopg.conninfo import make_conninfo

from imgvec_pg.database.connect import Connection, connect, vector_schema
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.embeddings import EmbeddingStore
from imgvec_pg.store.integrity.reconcile import list_source, reconcile
from imgvec_pg.store.model_registry import GoldenComparison, compare_golden
from imgvec_pg.store.queue.jobs import (
    DelayedKey,
    claim_jobs,
    delay_keys,
    explode_jobs,
    extend_leases,
    queue_depth,
    release_jobs,
    retry_failures,
)

SEARCHES = (
    "imgvec.near_photo_test('[1,0,0]')",
    "imgvec.near_photo_test_row(1)",
    "imgvec.search_photo_test('[1,0,0]')",
    "imgvec.embedding_of('photo_test', 1)",
    "imgvec.embedding_of('photo_test', '1')",
    "(SELECT embedding FROM imgvec.find_embedding('photo_test', '1'))",
)


@pytest.fixture
def photos(scratch: Connection) -> Collection:
    collection = make_photos(scratch, rows=3)
    embed(scratch, collection, {1: X, 2: Y})
    return collection


@pytest.fixture
def secrets(scratch: Connection) -> Collection:
    """Photos of which a role sees those at a price below 2, its price being its id."""
    collection = make_photos(scratch, rows=3)
    embed(scratch, collection, {1: X, 2: Y})
    scratch.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    scratch.execute("CREATE POLICY cheap ON shop.photo USING (price < 2)")
    reconcile(scratch, collection)
    scratch.execute("SET LOCAL row_security TO DEFAULT; SET LOCAL search_path TO DEFAULT")
    return collection


def refused(scratch: Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), scratch.transaction():
        scratch.execute(statement)  # type: ignore[arg-type]


@pytest.mark.usefixtures("photos")
def test_public_may_execute_no_function_of_the_schema(scratch: Connection) -> None:
    found = scratch.execute(
        "SELECT proname FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a"
        " WHERE pronamespace = 'imgvec'::regnamespace AND a.grantee = 0"
    )
    assert found.fetchall() == []
    with new_role(scratch, "USAGE ON SCHEMA imgvec") as role, as_role(scratch, role):
        for search in SEARCHES:
            refused(scratch, f"SELECT * FROM {search}")


@pytest.mark.usefixtures("photos")
def test_a_reader_searches_without_any_right_on_the_source(scratch: Connection) -> None:
    with new_role(scratch, "imgvec_reader") as role, as_role(scratch, role):
        for search in SEARCHES:
            assert scratch.execute(f"SELECT * FROM {search}").rowcount in (1, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "view",
    [
        "CREATE VIEW shop.shown WITH (security_invoker) AS SELECT * FROM shop.photo",
        "CREATE VIEW shop.shown AS SELECT * FROM shop.photo WHERE price < 2 OR current_user = 'nobody'",
        "CREATE VIEW shop.beneath WITH (security_invoker) AS SELECT * FROM shop.photo;"
        " CREATE VIEW shop.shown WITH (security_invoker) AS SELECT * FROM shop.beneath",
    ],
    ids=["over a policy", "naming the role", "over a view over a policy"],
)
def test_what_a_view_hides_from_a_role_no_search_over_it_shows(scratch: Connection, view: str) -> None:
    make_photos(scratch, rows=3, name="below")
    scratch.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    scratch.execute("CREATE POLICY cheap ON shop.photo USING (price < 2)")
    scratch.execute(view)  # type: ignore[arg-type]
    collection = make_collection(scratch, "shop.shown", key=["id"], foreign_key=False)
    embed(scratch, collection, {1: X, 2: Y})
    fail(scratch, collection, {"id": 3})
    scratch.execute("SET LOCAL row_security TO DEFAULT; SET LOCAL search_path TO DEFAULT")
    rights = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON ALL TABLES IN SCHEMA shop")
    with new_role(scratch, *rights) as role, as_role(scratch, role):
        for search in ("near_photo_test", "search_photo_test", "page_photo_test"):
            found = scratch.execute(f"SELECT id FROM imgvec.{search}('[0,1,0]')").fetchall()  # type: ignore[arg-type]
            assert found == [(1,)], search
        assert scratch.execute("SELECT * FROM imgvec.near_photo_test_row(2)").fetchall() == []
        assert scratch.execute("SELECT * FROM imgvec.failures").fetchall() == []
        visible = scratch.execute("SELECT imgvec.rows_visible(%s)", [collection.id]).fetchone()
        assert visible == ("some",)
        with pytest.raises(psycopg.errors.NoDataFound), scratch.transaction():
            scratch.execute("SELECT imgvec.embedding_of('photo_test', 2)")


def test_a_view_that_shows_all_the_same_rows_has_no_policy(scratch: Connection) -> None:
    make_photos(scratch, rows=3, name="below")
    scratch.execute("CREATE VIEW shop.shown AS SELECT * FROM shop.photo WHERE price < 2")
    make_collection(scratch, "shop.shown", key=["id"], foreign_key=False)
    found = scratch.execute("SELECT polname FROM pg_policy WHERE polname = 'follow_source'").fetchall()
    assert found == []


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM imgvec.photo_test_embedding",
        "UPDATE imgvec.photo_test_embedding SET version = 9",
        "INSERT INTO imgvec.job (collection_id, version, keys) VALUES (1, 0, '[1]')",
        "SELECT * FROM imgvec.job",
        "UPDATE imgvec.collection SET name = 'mine'",
        "INSERT INTO imgvec.alias VALUES ('mine', 1)",
        "DELETE FROM imgvec.text_embedding",
        "CREATE TABLE imgvec.mine ()",
        "SELECT nextval('imgvec.version_seq')",
    ],
)
def test_a_reader_writes_nothing(scratch: Connection, statement: str) -> None:
    with new_role(scratch, "imgvec_reader") as role, as_role(scratch, role):
        refused(scratch, statement)


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("role_name", ["imgvec_reader", "imgvec_worker"])
@pytest.mark.parametrize("event", ["insert", "update", "delete", "truncate"])
def test_trigger_functions_cannot_be_put_on_other_tables(
    scratch: Connection, role_name: str, event: str
) -> None:
    with new_role(scratch, role_name, "CREATE ON SCHEMA public") as role, as_role(scratch, role):
        scratch.execute("CREATE TABLE public.mine (id bigint, file text)")
        refused(
            scratch,
            f"CREATE TRIGGER forge AFTER {event} ON public.mine EXECUTE FUNCTION imgvec.photo_test_on_{event}()",
        )


def test_only_triggers_and_the_queue_of_requests_run_as_their_owner_and_with_a_fixed_search_path(
    scratch: Connection, photos: Collection
) -> None:
    found = scratch.execute(
        "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'imgvec'::regnamespace AND prosecdef"
    ).fetchall()
    # The latter take numbers, texts and bytes only, none of whose casts can be others'.
    assert {name for name, _ in found} == {
        *(f"photo_test_on_{event}" for event in ("insert", "update", "delete", "truncate")),
        "enqueue_request",
        "requests_waiting",
    }
    assert all("search_path=pg_catalog, pg_temp" in settings for _, settings in found)


@pytest.mark.usefixtures("secrets")
def test_a_restricted_role_sees_the_distances_of_its_own_rows_alone(scratch: Connection) -> None:
    grants = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON shop.photo")
    with new_role(scratch, *grants) as role, as_role(scratch, role):
        for statement in (
            "SELECT id FROM imgvec.near_photo_test('[0,1,0]')",
            "SELECT id FROM imgvec.search_photo_test('[0,1,0]')",
            "SELECT id FROM imgvec.photo_test_embedding",
        ):
            assert scratch.execute(statement).fetchall() == [(1,)]  # type: ignore[arg-type]
        assert scratch.execute("SELECT * FROM imgvec.near_photo_test_row(2)").fetchall() == []
        assert scratch.execute("SELECT * FROM imgvec.near_photo_test_row(1)").fetchall() == []
        with pytest.raises(psycopg.errors.NoDataFound), scratch.transaction():
            scratch.execute("SELECT imgvec.embedding_of('photo_test', 2)")
    assert scratch.execute("SELECT FROM imgvec.near_photo_test('[0,1,0]')").rowcount == 2


@pytest.mark.usefixtures("secrets")
def test_a_reader_without_a_right_on_a_source_with_row_security_reads_nothing(scratch: Connection) -> None:
    with new_role(scratch, "imgvec_reader") as role, as_role(scratch, role):
        refused(scratch, "SELECT * FROM imgvec.near_photo_test('[0,1,0]')")


@pytest.fixture
def worker(scratch: Connection, photos: Collection) -> Iterator[str]:
    with new_role(scratch, "imgvec_worker", "USAGE ON SCHEMA shop", "SELECT ON shop.photo") as role:
        yield role


def test_a_worker_claims_reads_writes_and_keeps_its_leases(
    scratch: Connection, photos: Collection, worker: str
) -> None:
    scratch.execute("UPDATE shop.photo SET file = 'new.jpg'")
    token = uuid.uuid4()
    with as_role(scratch, worker):
        (job,) = claim_jobs(scratch, photos.id, token, 10, lease_seconds=60).jobs
        store = EmbeddingStore(scratch, photos, vector_schema(scratch))
        assert len(store.read_images(job.keys)) == 3
        extend_leases(scratch, photos.id, [token], 60)
        singles = explode_jobs(scratch, token, [job.id])
        release_jobs(scratch, photos.id, [token])
        assert queue_depth(scratch, photos.id).waiting == len(singles) == 3
        delay_keys(scratch, photos.id, [DelayedKey({"id": 1}, 1, 1, 0.0)])
        leased = lease_job(scratch, photos, [3], version=10**6)
        assert leased.write((3, X)).embedded == 1
        leased = lease_job(scratch, photos, [2], version=10**6)
        assert leased.write_failure(2).failed == 1
        assert retry_failures(scratch, photos.id) == 1
    assert embedded(scratch, photos) == [1, 3]


def test_a_worker_lists_the_source_and_says_that_it_lives(
    scratch: Connection, photos: Collection, worker: str
) -> None:
    fail(scratch, photos, {"id": 7})
    seen = {"id": uuid.uuid4(), "collection_id": photos.id, "host": "h", "pid": 1, "device": "cpu"}
    stamp = {
        "model_id": photos.model_id,
        "fingerprint": "f",
        "weights_sha256": None,
        "logit_scale": 1.0,
        "logit_bias": None,
    }
    golden = {"image": np.eye(3, dtype=np.float32)}
    with as_role(scratch, worker):
        assert list_source(scratch, photos) == 1
        scratch.execute(
            load_sql("queries/worker_seen.sql"),
            {**seen, "activity": "working", "images_done": 1, "images_per_second": 1.0},
        )
        scratch.execute(load_sql("queries/stamp_model.sql"), stamp)
        scratch.execute("UPDATE imgvec.model SET images_per_second = 1")
        assert compare_golden(scratch, photos.model_id, golden, "fp32", store=True) == GoldenComparison(
            1.0, None
        )
        scratch.execute("DELETE FROM imgvec.worker")
        for statement in (
            "DELETE FROM imgvec.collection",
            "UPDATE imgvec.collection SET root = '/'",
            "UPDATE imgvec.model SET name = 'x'",
            "UPDATE imgvec.golden_vector SET precision = 'x'",
            "UPDATE imgvec.alias SET collection_id = 1",
            "DELETE FROM shop.photo",
        ):
            refused(scratch, statement)
    assert enqueued(scratch) == [3]


@pytest.fixture(scope="module")
def bare_dsn() -> Iterator[str]:
    """Give a database without imgvec's roles in the cluster, as an owner who may not create roles."""
    directory = make_server_directory("imgvec-bare-")
    try:
        with LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True) as bare:
            with connect(bare.dsn()) as connection:
                connection.execute("CREATE ROLE owner LOGIN")
                connection.execute("CREATE DATABASE owned OWNER owner")
            with connect(bare.dsn("owned")) as connection:
                connection.execute("CREATE EXTENSION vector")
            yield make_conninfo(bare.dsn("owned"), user="owner")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def test_an_owner_who_may_not_create_roles_has_all_but_the_roles(bare_dsn: str) -> None:
    with connect(bare_dsn) as connection:
        upgrade(connection)
        assert connection.execute("SELECT to_regrole('imgvec_reader')").fetchone() == (None,)
        collection = make_photos(connection, rows=2)
        connection.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
        other = make_collection(connection, name="photo_rls")
        assert reconcile(connection, collection).enqueued == 2
        assert lease_job(connection, other, [1]).write((1, X)).embedded == 1
        found = connection.execute("SELECT id FROM imgvec.search_photo_rls('[1,0,0]')").fetchall()
        assert found == [(1,)]
