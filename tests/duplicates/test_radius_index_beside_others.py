"""The radius index beside what others do: owners, roles, policies, names, shapes and sessions that changed meanwhile."""

from dataclasses import replace

import psycopg
import pytest
from photostore import as_role, embed, make_collection, new_role
from test_radius_index import DIMENSIONS, as_text, by_comparing, by_function, draw, photos

from imgvec_pg.cli.commands.collection.switch_target import follow_radius_index
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.aliases import create_alias
from imgvec_pg.store.index.radius_index import create_radius_index, drop_radius_index
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.integrity.rename import follow_columns
from imgvec_pg.store.integrity.verify import verify_collection
from imgvec_pg.store.pictures.picture_table import adopt_shape, prepare_pictures
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.setup.grants import grant_rights


@pytest.mark.parametrize("name", ["norm", "axes"])
def test_a_key_may_have_any_name(connection: Connection, name: str) -> None:
    connection.execute(f"CREATE SCHEMA shop; CREATE TABLE shop.photo ({name} bigint PRIMARY KEY, file text)")
    connection.execute("INSERT INTO shop.photo SELECT i, i FROM generate_series(1, 20) AS i")
    collection = make_collection(connection, dimensions=DIMENSIONS)
    embed(connection, collection, dict(enumerate(draw(20, 1).astype(float).tolist(), 1)))
    collection = create_radius_index(connection, collection)
    connection.execute(f"UPDATE imgvec.photo_test_embedding SET version = 2 WHERE {name} = 3")
    assert "bad_coordinates" not in verify_collection(connection, collection).differences


def test_keys_are_read_by_their_own_order(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgvec_pg.store.radius.fill.PAGE_ROWS", 4)
    connection.execute(
        "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE SCHEMA shop;"
        ' CREATE TABLE shop.photo (id ext.citext, "n %" int, file text, PRIMARY KEY (id, "n %"))'
    )
    keys = [(chr((97, 65)[i % 2] + i), i) for i in range(26)]
    for key in keys:
        connection.execute("INSERT INTO shop.photo VALUES (%s, %s, 'x')", key)
    collection = make_collection(connection, dimensions=DIMENSIONS)
    embed(connection, collection, dict(zip(keys, draw(26, 1).astype(float).tolist(), strict=True)))
    looked_at: list[int] = []
    create_radius_index(connection, collection, looked_at.append)
    assert looked_at[-1] == 26


@pytest.mark.parametrize(("old", "new"), [("id", "coordinates"), ("coordinates", "id")])
def test_a_key_may_take_the_name_of_the_coordinates(connection: Connection, old: str, new: str) -> None:
    connection.execute(f"CREATE SCHEMA shop; CREATE TABLE shop.photo ({old} bigint PRIMARY KEY, file text)")
    connection.execute("INSERT INTO shop.photo SELECT i, i FROM generate_series(1, 20) AS i")
    collection = make_collection(connection, dimensions=DIMENSIONS)
    embed(connection, collection, dict(enumerate(draw(20, 1).astype(float).tolist(), 1)))
    collection = create_radius_index(connection, collection)
    connection.execute(f"ALTER TABLE shop.photo RENAME COLUMN {old} TO {new}")
    follow_columns(connection, collection, {old: new})
    connection.execute(
        f"UPDATE imgvec.photo_test_embedding SET embedding = %s WHERE {new} = 3", [as_text(draw(1, 9)[0])]
    )
    found = connection.execute(
        f"SELECT {new} FROM imgvec.within_photo_test(%s::halfvec, 2) ORDER BY 1", [as_text(draw(1, 9)[0])]
    )
    assert found.fetchall() == [(i,) for i in range(1, 21)]


def test_it_is_the_owner_s_of_the_embeddings_and_read_by_who_reads_them(connection: Connection) -> None:
    collection = photos(connection)
    query = as_text(draw(1, 1)[0])
    rights = (
        "ALL ON SCHEMA imgvec",
        "SELECT ON ALL TABLES IN SCHEMA imgvec",
        "EXECUTE ON ALL FUNCTIONS IN SCHEMA imgvec",
    )
    shop = ("USAGE ON SCHEMA shop", "SELECT ON shop.photo")
    with new_role(connection, *rights, *shop) as owner, new_role(connection, *rights, *shop) as reader:
        connection.execute(f"ALTER TABLE imgvec.photo_test_embedding OWNER TO {owner}")
        create_radius_index(connection, collection)
        for role in (owner, reader):
            with as_role(connection, role):
                assert len(by_function(connection, query, 2.0)) == 60
        owners = connection.execute(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname IN ('photo_test_coordinates', 'photo_test_axis')"
            " UNION SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'photo_test_on_coordinates'"
        ).fetchall()
        assert owners == [(owner,)]
        drop_radius_index(connection, get_collection(connection, "photo_test"))
        connection.execute("ALTER TABLE imgvec.photo_test_embedding OWNER TO CURRENT_USER")


def test_rows_hidden_while_it_is_filled_are_hidden_and_the_others_found(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgvec_pg.store.radius.fill.PAGE_ROWS", 20)
    collection = photos(connection)

    def hide(done: int) -> None:
        if done == 20:
            with connect(database) as other:
                other.execute(
                    "ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY; CREATE POLICY cheap ON shop.photo USING (price < 4)"
                )
                reconcile(other, get_collection(other, "photo_test"))

    create_radius_index(connection, collection, hide)
    with (
        new_role(connection, "imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON shop.photo") as role,
        as_role(connection, role),
    ):
        assert [key for key, _ in by_function(connection, as_text(draw(1, 1)[0]), 2.0)] == [1, 2, 3]


def test_workers_that_came_later_than_it_mend_it(connection: Connection) -> None:
    collection = create_radius_index(connection, photos(connection))
    # As where the role came later, whose policy is made with it.
    connection.execute("DROP POLICY worker_writes ON imgvec.photo_test_coordinates")
    grant_rights(connection)
    connection.execute("DELETE FROM imgvec.photo_test_coordinates WHERE id < 5")
    with as_role(connection, "imgvec_worker"):
        connection.execute(
            "INSERT INTO imgvec.photo_test_coordinates SELECT 1, array_fill(0, ARRAY[32])::halfvec"
        )
    assert collection.has_radius_index


def test_a_small_delete_after_a_large_one_reads_few_coordinates(connection: Connection) -> None:
    collection = photos(connection, rows=0)
    connection.execute("INSERT INTO shop.photo SELECT i, 'x', 1 FROM generate_series(1, 4000) AS i")
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
        " SELECT i, %s::halfvec, 1, '', 'fp32' FROM generate_series(1, 4000) AS i",
        [as_text(draw(1, 1)[0])],
    )
    create_radius_index(connection, collection)
    read = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'photo_test_coordinates'"
    with connection.transaction():
        connection.execute("DELETE FROM imgvec.photo_test_embedding WHERE id < 2000")
        before = connection.execute(read).fetchone()
        connection.execute("DELETE FROM imgvec.photo_test_embedding WHERE id = 3000")
        assert connection.execute(read).fetchone() == before


def test_a_writer_with_an_older_snapshot_is_told_to_begin_again(
    connection: Connection, database: str
) -> None:
    collection = photos(connection)
    with connect(database) as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM shop.photo")
        create_radius_index(connection, collection)
        with pytest.raises(psycopg.errors.SerializationFailure):
            other.execute("UPDATE imgvec.photo_test_embedding SET version = 2 WHERE id = 3")


def test_a_shape_that_changed_while_it_is_filled_stays_an_alias_s_too(
    connection: Connection, database: str
) -> None:
    collection = photos(connection)
    create_alias(connection, "shown", "photo_test")

    def change(done: int) -> None:
        with connect(database) as other:
            wanted = replace(get_collection(other, "photo_test"), by_picture=True)
            prepare_pictures(other, wanted)
            with other.transaction():
                adopt_shape(other, wanted, "public")

    create_radius_index(connection, collection, change)
    [(body,)] = connection.execute("SELECT pg_get_functiondef('imgvec.search_shown'::regproc)").fetchall()
    assert "photo_test_picture" in body


def test_it_may_come_and_go_while_an_index_is_built(connection: Connection) -> None:
    before = photos(connection)
    with_it = create_radius_index(connection, before)
    query = as_text(draw(1, 1)[0])
    with connection.transaction():
        adopt_shape(connection, before, "public")
    plan = connection.execute(
        "EXPLAIN SELECT * FROM imgvec.within_photo_test(%s::halfvec, 0.1)", [query]
    ).fetchall()
    assert any("photo_test_coordinates" in row[0] for row in plan)
    drop_radius_index(connection, with_it)
    with connection.transaction():
        adopt_shape(connection, with_it, "public")
    assert by_function(connection, query, 2.0) == by_comparing(connection, query, 2.0)


def test_one_that_is_dropped_while_it_is_filled_is_told_in_one_line(
    connection: Connection, database: str
) -> None:
    collection = photos(connection)

    def drop(done: int) -> None:
        with connect(database) as other:
            drop_radius_index(other, get_collection(other, "photo_test"))

    with pytest.raises(CollectionError, match="meanwhile"):
        create_radius_index(connection, collection, drop)


def test_an_alias_may_be_switched_to_an_empty_collection(connection: Connection) -> None:
    present = create_radius_index(connection, photos(connection, rows=20))
    target = make_collection(connection, name="photo_next", dimensions=DIMENSIONS)
    assert not follow_radius_index(connection, present, target).has_radius_index
