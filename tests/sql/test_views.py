"""imgvec.status and imgvec.failures: whole for those who fill, and for others what they may see in the source."""

import json

import psycopg
import pytest
from photostore import X, Y, as_role, embed, fail, lease_job, make_collection, make_photos, new_role

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.reconcile import list_source, reconcile

SOURCE = ("USAGE ON SCHEMA shop", "SELECT ON shop.photo")
LEAK = """
    CREATE FUNCTION public.leak(message text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
    BEGIN RAISE WARNING 'leaked %', message; RETURN true; END $$
"""


@pytest.fixture
def photos(scratch: Connection) -> Collection:
    """Photos 1 and 2 are embedded, 3 and 4 failed, 5 is leased, 6 delayed, 7 to 9 wait."""
    collection = make_photos(scratch, rows=4)
    list_source(scratch, collection)
    scratch.execute("DELETE FROM imgvec.job")
    embed(scratch, collection, {1: X, 2: Y})
    for key in (3, 4):
        fail(scratch, collection, {"id": key})
    scratch.execute("INSERT INTO shop.photo VALUES (7, '7.jpg', 7), (8, '8.jpg', 8), (9, '9.jpg', 9)")
    lease_job(scratch, collection, [5])
    scratch.execute(
        "INSERT INTO imgvec.job (collection_id, version, keys, run_after)"
        " VALUES (%s, 1, '[{\"id\": 6}]', now() + interval '1 hour')",
        [collection.id],
    )
    scratch.execute("SET LOCAL search_path TO DEFAULT; SET LOCAL row_security TO DEFAULT")
    return collection


def restrict(connection: Connection, collection: Collection) -> None:
    """Let a role see photos below a price of 4: all but the failed 4 and those that wait."""
    connection.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    connection.execute("CREATE POLICY cheap ON shop.photo USING (price < 4)")
    reconcile(connection, collection)
    connection.execute("SET LOCAL search_path TO DEFAULT; SET LOCAL row_security TO DEFAULT")


def failed(connection: Connection) -> list[int]:
    rows = connection.execute("SELECT (key ->> 'id')::int FROM imgvec.failures ORDER BY 1")
    return [number for (number,) in rows]


def numbers(connection: Connection) -> tuple[object, ...] | None:
    return connection.execute(
        "SELECT embedded, waiting, ready, leased, delayed, failed FROM imgvec.status"
    ).fetchone()


def test_status_counts_each_kind_of_row(scratch: Connection, photos: Collection) -> None:
    scratch.execute(
        "UPDATE imgvec.job SET run_after = now() - interval '90 seconds' WHERE token IS NULL AND run_after <= now()"
    )
    scratch.execute(
        "INSERT INTO imgvec.worker (id, collection_id, host, pid, device, activity, images_per_second, seen_at) VALUES"
        " (gen_random_uuid(), %(id)s, 'a', 1, 'cpu', 'working', 2.5, now()),"
        " (gen_random_uuid(), %(id)s, 'b', 2, 'cpu', 'working', 7.0, now() - interval '5 minutes')",
        {"id": photos.id},
    )
    with new_role(scratch, "imgvec_worker") as role, as_role(scratch, role):
        assert numbers(scratch) == (2, 5, 3, 1, 1, 2)
        row = scratch.execute(
            "SELECT collection, source, model, oldest_ready_seconds, workers, images_per_second,"
            " extract(epoch FROM time_left)::int, index, is_listed FROM imgvec.status"
        ).fetchone()
    assert row == ("photo_test", "shop.photo", "test/3", 90, 1, 2.5, 2, "none", True)


@pytest.mark.usefixtures("photos")
def test_the_index_is_told(scratch: Connection) -> None:
    index = "SELECT index FROM imgvec.status"
    scratch.execute(
        "CREATE INDEX photo_test_embedding_hnsw ON imgvec.photo_test_embedding USING hnsw (embedding halfvec_cosine_ops)"
    )
    assert scratch.execute(index).fetchone() == ("ready",)
    scratch.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'imgvec.photo_test_embedding_hnsw'::regclass"
    )
    assert scratch.execute(index).fetchone() == ("INVALID",)


def test_a_reader_sees_all_of_a_source_that_hides_nothing(scratch: Connection, photos: Collection) -> None:
    make_collection(scratch, name="photo_other")
    with new_role(scratch, "imgvec_reader", *SOURCE) as role, as_role(scratch, role):
        assert failed(scratch) == [3, 4]
        assert [name for (name,) in scratch.execute("SELECT collection FROM imgvec.status ORDER BY 1")] == [
            "photo_other",
            "photo_test",
        ]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("grants", [(), ("USAGE ON SCHEMA shop", "SELECT (id, price) ON shop.photo")])
def test_a_reader_without_the_picture_column_sees_no_failure_and_no_numbers(
    scratch: Connection, grants: tuple[str, ...]
) -> None:
    with new_role(scratch, "imgvec_reader", *grants) as role, as_role(scratch, role):
        assert failed(scratch) == []
        assert numbers(scratch) == (None,) * 6


def test_failures_of_rows_that_a_policy_hides_are_hidden(scratch: Connection, photos: Collection) -> None:
    restrict(scratch, photos)
    scratch.execute(LEAK)
    notices: list[str] = []
    scratch.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    scratch.execute("UPDATE imgvec.failure SET message = 'secret of ' || (key ->> 'id')")
    with new_role(scratch, "imgvec_reader", *SOURCE) as role, as_role(scratch, role):
        assert failed(scratch) == [3]
        assert numbers(scratch) == (None,) * 6
        # A function that costs nothing is asked first, unless the view keeps it out.
        scratch.execute("SELECT FROM imgvec.failures WHERE public.leak(message)")
        assert notices == ["leaked secret of 3"]
        with pytest.raises(psycopg.errors.InsufficientPrivilege), scratch.transaction():
            scratch.execute("SELECT FROM imgvec.failure")
        scratch.execute("SET LOCAL row_security = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), scratch.transaction():
            failed(scratch)
        scratch.execute("SET LOCAL row_security = on")
    with new_role(scratch, "imgvec_worker", *SOURCE) as role, as_role(scratch, role):
        assert failed(scratch) == [3, 4]
    assert failed(scratch) == [3, 4]


@pytest.mark.usefixtures("photos")
def test_a_source_that_is_gone_or_renamed_is_told_not_an_error(scratch: Connection) -> None:
    scratch.execute("ALTER TABLE shop.photo RENAME COLUMN file TO picture")
    with new_role(scratch, "imgvec_reader", *SOURCE) as role, as_role(scratch, role):
        assert failed(scratch) == []
    scratch.execute("DROP TABLE shop.photo CASCADE; DROP TABLE imgvec.photo_test_embedding CASCADE")
    with new_role(scratch, "imgvec_reader") as role, as_role(scratch, role):
        assert failed(scratch) == []
    row = scratch.execute("SELECT source, embedded, index FROM imgvec.status").fetchone()
    assert row == ("(dropped)", None, "none")


def test_composite_keys_are_looked_up_by_their_types(scratch: Connection) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute(
        "CREATE TABLE shop.photo (tenant int, code uuid DEFAULT gen_random_uuid(), file text, PRIMARY KEY (tenant, code))"
    )
    collection = make_collection(scratch)
    scratch.execute("INSERT INTO shop.photo (tenant, file) VALUES (1, 'a.jpg'), (2, 'b.jpg')")
    for (keys,) in scratch.execute("DELETE FROM imgvec.job RETURNING keys").fetchall():
        for key in keys:
            fail(scratch, collection, key)
    scratch.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    scratch.execute("CREATE POLICY own ON shop.photo USING (tenant = 2)")
    with new_role(scratch, "imgvec_reader", *SOURCE) as role, as_role(scratch, role):
        rows = scratch.execute("SELECT key ->> 'tenant' FROM imgvec.failures").fetchall()
    assert rows == [("2",)], json.dumps(rows)
