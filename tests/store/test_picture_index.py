"""An HNSW index over the different pictures of a collection whose rows share them; near_* and search_* join the rows."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dumps import dump_to_file, restore
from fresh_databases import Server, fresh_database
from photostore import as_role, make_collection, new_role
from psycopg.conninfo import conninfo_to_dict

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.aliases import create_alias, get_alias, point_alias
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.index.ddl import has_valid_index
from imgvec_pg.store.index.swap import leftovers, tidy
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.integrity.rename import rename_collection
from imgvec_pg.store.key_change import look_up_changes
from imgvec_pg.store.pictures.picture_table import (
    PictureCounts,
    PictureTidy,
    count_pictures,
    prepare_pictures,
)
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.setup.stale_functions import find_stale_functions

DIMENSIONS = 32
PICTURES = 600
READER = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON ALL TABLES IN SCHEMA shop")
NEAR = "SELECT id FROM imgvec.near_photo_test_row({}) ORDER BY distance LIMIT 10"
SEARCH = "SELECT id FROM imgvec.search_photo_test(imgvec.embedding_of('photo_test', {}), 10{})"


def rows(connection: Connection, statement: str, *values: Any) -> list[Any]:
    return connection.execute(statement, values or None).fetchall()  # type: ignore[arg-type]


def picture_of(key: int) -> int:
    """Every fourth row from 600 on has picture 0, three others share one of their own."""
    return key if key < PICTURES else 0 if key % 4 == 0 else key % PICTURES


@cache
def vector(picture: int) -> str:
    values = np.random.default_rng(picture).standard_normal(DIMENSIONS)
    return str([float(x) for x in np.round(values / np.linalg.norm(values), 6)])


def put(connection: Connection, keys: list[int], **values: Any) -> None:
    """Write rows of these keys and their embeddings, as a worker does."""
    connection.execute(
        "INSERT INTO shop.photo SELECT unnest(%s::bigint[]), 'x.jpg' ON CONFLICT DO NOTHING", [keys]
    )
    pictures = values.get("pictures") or [values.get("picture", picture_of(key)) for key in keys]
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
        " SELECT u.id, u.vector::halfvec, 1, u.hash, 'fp32' FROM unnest(%s::bigint[], %s::text[], %s::bytea[])"
        " AS u (id, vector, hash) ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding,"
        " content_hash = excluded.content_hash, version = photo_test_embedding.version + 1",
        [keys, [vector(p) for p in pictures], [hashlib.sha256(str(p).encode()).digest() for p in pictures]],
    )


def make(connection: Connection, *, count: int = 3000, **options: Any) -> Collection:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text)")
    collection = make_collection(connection, dimensions=DIMENSIONS, **options)
    put(connection, list(range(count)))
    return collection


@pytest.fixture(scope="module")
def indexed(server: Server, template: str) -> Iterator[str]:
    """Give the name of a database with what `copies` says, to be copied."""
    with fresh_database(server, template) as dsn:
        with connect(dsn) as connection:
            build_index(connection, make(connection))
        yield str(conninfo_to_dict(dsn)["dbname"])


@pytest.fixture
def database(request: pytest.FixtureRequest, server: Server, template: str) -> Iterator[str]:
    """Give a database of the test's own: migrated, and filled for those that ask for `copies`."""
    of = request.getfixturevalue("indexed") if "copies" in request.fixturenames else template
    with fresh_database(server, of) as dsn:
        yield dsn


@pytest.fixture
def copies(connection: Connection) -> Collection:
    """3,000 rows over 600 pictures, one of which 600 rows have; indexed."""
    return get_collection(connection, "photo_test")


def check_against_exact(connection: Connection, keys: range) -> None:
    """Compare distances of near_* and search_* with those over all rows, where rows of one distance are many."""
    for key in keys:
        query = f"imgvec.embedding_of('photo_test', {key})"
        exact, near, found = (
            [distance for (distance,) in rows(connection, statement)]
            for statement in (
                f"SELECT (embedding <=> {query}) + 0 FROM imgvec.photo_test_embedding ORDER BY 1 LIMIT 10",
                f"SELECT distance FROM imgvec.near_photo_test({query}) ORDER BY distance LIMIT 10",
                f"SELECT distance FROM imgvec.search_photo_test({query}, 10)",
            )
        )
        assert near == pytest.approx(exact)
        assert found == pytest.approx(exact)


def plan(connection: Connection, statement: str) -> str:
    return "\n".join(str(line) for (line,) in rows(connection, f"EXPLAIN {statement}"))


def test_rows_with_shared_pictures_get_an_index_over_the_different_ones(
    connection: Connection, copies: Collection
) -> None:
    assert copies.by_picture
    assert has_valid_index(connection, copies)
    counted = rows(connection, "SELECT count(*), count(DISTINCT content_hash) FROM imgvec.photo_test_picture")
    assert counted == [(PICTURES, PICTURES)]
    assert rows(connection, "SELECT imgvec.index_state('photo_test')") == [("ready",)]
    assert "photo_test_picture_hnsw" in plan(connection, NEAR.format(5))
    check_against_exact(connection, range(0, 600, 29))
    assert rows(connection, "SELECT imgvec.last_search_strategy()") == [("index",)]
    among = ", ARRAY(SELECT generate_series(0, 2999, 2)::bigint)"
    assert all(key % 2 == 0 for (key,) in rows(connection, SEARCH.format(7, among)))
    assert rows(connection, "SELECT imgvec.last_search_strategy()") == [("index",)]
    different = rows(connection, SEARCH.format(0, ", distinct_pictures => true"))
    assert different[0] == (0,)
    assert len({picture_of(key) for (key,) in different}) == 10
    assert rows(connection, "SELECT imgvec.last_search_strategy()") == [("index",)]


def test_many_rows_of_one_picture_are_no_burst(connection: Connection, copies: Collection) -> None:
    near = np.asarray(json.loads(vector(0))) + 0.03 * np.asarray(json.loads(vector(1)))
    found = connection.execute(
        "SELECT id FROM imgvec.search_photo_test(%s::halfvec, 30)", [str(near.tolist())]
    ).fetchall()
    assert {picture_of(key) for (key,) in found} == {0}
    assert rows(connection, "SELECT imgvec.last_search_strategy()") == [("index",)]


def test_recall_is_measured_by_the_index_over_pictures(
    connection: Connection, copies: Collection, capfd: Any
) -> None:
    command = [
        "recall",
        "photo_test",
        "--sample",
        "20",
        "--ef-search",
        "40",
        "--json",
        "--dsn",
        connection.info.dsn,
    ]
    assert run(cli, command) == 0
    (setting,) = json.loads(capfd.readouterr().out)["settings"]
    assert setting["strategy"] == "index"
    assert setting["recall"] > 0.99


def test_few_or_different_rows_are_indexed_themselves(connection: Connection) -> None:
    collection = make(connection, count=PICTURES)
    build_index(connection, collection)
    found = get_collection(connection, "photo_test")
    assert not found.by_picture
    assert rows(connection, "SELECT to_regclass('imgvec.photo_test_picture')") == [(None,)]
    assert has_valid_index(connection, found)


def test_one_hash_of_many_vectors_is_no_pictures(connection: Connection) -> None:
    """As something else than a worker may write it: each row would be joined to the vectors of all others."""
    collection = make(connection, count=0)
    put(connection, list(range(1200)), picture=1)
    connection.execute(
        "UPDATE imgvec.photo_test_embedding AS e SET embedding = u.v::halfvec"
        " FROM unnest(%s::text[]) WITH ORDINALITY AS u (v, n) WHERE u.n = e.id + 1",
        [[vector(key) for key in range(1200)]],
    )
    assert count_pictures(connection, collection) == PictureCounts(1200, 1200, 0)
    build_index(connection, collection)
    assert not get_collection(connection, "photo_test").by_picture
    check_against_exact(connection, range(0, 600, 201))
    # A few vectors of one hash are pictures all the same: another precision, a rendering under way.
    connection.execute(
        "UPDATE imgvec.photo_test_embedding SET embedding = (%s)::halfvec WHERE id > 5", [vector(7)]
    )
    assert count_pictures(connection, collection).most == 1200


def test_what_suits_a_collection_does_not_change_with_each_rebuild() -> None:
    assert PictureCounts(1000, 800, 2).suit_pictures(now=False)
    assert not PictureCounts(1000, 850, 2).suit_pictures(now=False)
    assert PictureCounts(1000, 850, 2).suit_pictures(now=True)
    assert not PictureCounts(1000, 950, 2).suit_pictures(now=True)
    assert PictureCounts(100_000, 99_701, 300).suit_pictures(now=False)
    assert not PictureCounts(999, 1, 999).suit_pictures(now=False)


def test_pictures_follow_writes_and_go_in_small_steps(connection: Connection, copies: Collection) -> None:
    put(connection, [9000, 9001], picture=9000)
    put(connection, [5], picture=9002)
    connection.execute("DELETE FROM shop.photo WHERE id IN (601, 1201, 1801, 2401, 1)")
    # An application's own vectors, two of them equal.
    connection.execute("INSERT INTO shop.photo SELECT i, 'x.jpg' FROM generate_series(9100, 9102) AS i")
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
        " SELECT u.id, u.vector::halfvec, 0, '', 'fp32' FROM unnest(%s::bigint[], %s::text[]) AS u (id, vector)",
        [[9100, 9101, 9102], [vector(9100), vector(9100), vector(9102)]],
    )
    check_against_exact(connection, range(9000, 9002))
    check_against_exact(connection, range(5, 6))
    check_against_exact(connection, range(9100, 9103))
    assert rows(connection, "SELECT count(*) FROM imgvec.copies_photo_test() WHERE id >= 9100") == [(0,)]
    orphans = (
        "SELECT count(*) FROM imgvec.photo_test_picture AS p WHERE NOT EXISTS"
        " (SELECT FROM imgvec.photo_test_embedding AS e WHERE e.content_hash = p.content_hash)"
    )
    assert rows(connection, orphans) == [(1,)]
    tidy = PictureTidy(copies, interval_seconds=0)
    tidy.look(connection, seconds=60)
    assert tidy.removed == 1
    assert rows(connection, orphans) == [(0,)]
    assert count_pictures(connection, copies).pictures == PICTURES + 4


def test_a_role_learns_of_no_picture_that_only_hidden_rows_have(
    connection: Connection, copies: Collection
) -> None:
    connection.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    connection.execute("CREATE POLICY own ON shop.photo USING (id % 10 = 0 OR id > 5000)")
    reconcile(connection, copies)
    put(connection, [7, 607], picture=7000)
    with new_role(connection, *READER) as role, as_role(connection, role):
        assert rows(connection, "SELECT count(*) FROM imgvec.photo_test_picture") == [(60,)]
        found = rows(connection, NEAR.format(20).replace("LIMIT 10", "LIMIT 30"))
        assert found
        assert all(key % 10 == 0 for (key,) in found)
        assert "photo_test_picture_hnsw" in plan(connection, NEAR.format(20))
        assert all(key % 10 == 0 for (key,) in rows(connection, SEARCH.format(20, "")))
        assert len(rows(connection, SEARCH.format(20, ""))) == 10
        different = rows(connection, SEARCH.format(20, ", distinct_pictures => true"))
        assert len(different) == 10


def test_an_index_changes_over_and_back_by_rebuild(
    connection: Connection, copies: Collection, capfd: Any
) -> None:
    create_alias(connection, "shown", "photo_test")
    connection.execute("CREATE VIEW shop.alike AS SELECT * FROM imgvec.near_photo_test_row(5)")
    connection.execute("DELETE FROM shop.photo WHERE id >= 1800")
    connection.execute("DELETE FROM shop.photo WHERE id >= 600 AND id < 1799")
    connection.execute("INSERT INTO shop.photo SELECT i, 'x.jpg' FROM generate_series(10000, 10999) AS i")
    put(connection, list(range(10_000, 11_000)), pictures=range(10_000, 11_000))
    dsn = connection.info.dsn
    assert run(cli, ["index", "rebuild", "photo_test", "--dsn", dsn]) == 0
    assert "the index will be over its rows again" in capfd.readouterr().err
    found = get_collection(connection, "photo_test")
    assert not found.by_picture
    assert rows(connection, "SELECT to_regclass('imgvec.photo_test_picture')") == [(None,)]
    check_against_exact(connection, range(10_000, 10_050, 7))
    assert "photo_test_embedding_hnsw" in plan(
        connection, NEAR.format(5).replace("near_photo_test_row", "near_shown_row")
    )
    put(connection, list(range(600, 3000)))
    assert run(cli, ["index", "rebuild", "photo_test", "--dsn", dsn]) == 0
    assert "the index will be over its different pictures" in capfd.readouterr().err
    found = get_collection(connection, "photo_test")
    assert found.by_picture
    assert "photo_test_picture_hnsw" in plan(
        connection, NEAR.format(5).replace("near_photo_test_row", "near_shown_row")
    )
    assert rows(connection, "SELECT to_regclass('imgvec.photo_test_embedding_hnsw')") == [(None,)]
    check_against_exact(connection, range(0, 600, 61))
    assert run(cli, ["index", "rebuild", "photo_test", "--dsn", dsn]) == 0
    assert run(cli, ["index", "show", "photo_test", "--dsn", dsn]) == 0
    assert "each picture once" in capfd.readouterr().out
    assert run(cli, ["index", "drop", "photo_test", "--yes", "--dsn", dsn]) == 0
    assert not get_collection(connection, "photo_test").by_picture
    check_against_exact(connection, range(0, 600, 201))


@pytest.mark.parametrize("partitions", [0, 3])
def test_a_collection_takes_its_pictures_along(connection: Connection, partitions: int) -> None:
    build_index(connection, make(connection, partitions=partitions))
    rename_collection(connection, get_collection(connection, "photo_test"), "renamed")
    put_back = get_collection(connection, "renamed")
    assert put_back.by_picture
    assert has_valid_index(connection, put_back)
    rename_collection(connection, put_back, "photo_test")
    put(connection, [9000], picture=9000)
    check_against_exact(connection, range(9000, 9001))
    check_against_exact(connection, range(0, 600, 101))
    drop_collection(connection, get_collection(connection, "photo_test"))
    left = rows(
        connection,
        "SELECT relname::text FROM pg_class WHERE relname LIKE '%photo_test%' AND relnamespace = 'imgvec'::regnamespace"
        " UNION ALL SELECT proname::text FROM pg_proc WHERE proname LIKE '%photo_test%'",
    )
    assert left == []


def test_a_dump_and_an_upgrade_keep_the_index(
    connection: Connection, copies: Collection, tmp_path: Path
) -> None:
    create_alias(connection, "shown", "photo_test")
    dump_to_file(connection.info.dsn, tmp_path / "dump")
    connection.execute("DROP SCHEMA imgvec CASCADE; DROP SCHEMA shop CASCADE")
    restore(connection.info.dsn, tmp_path / "dump")
    connection.execute("ANALYZE")
    found = get_collection(connection, "photo_test")
    assert found.by_picture
    assert has_valid_index(connection, found)
    assert "photo_test_picture_hnsw" in plan(
        connection, NEAR.format(5).replace("near_photo_test_row", "near_shown_row")
    )
    check_against_exact(connection, range(0, 600, 101))
    put(connection, [9000], picture=9000)
    check_against_exact(connection, range(9000, 9001))
    assert find_stale_functions(connection).names == ()


@pytest.mark.parametrize("partitions", [0, 2])
def test_a_wider_key_keeps_the_index(connection: Connection, partitions: int) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id integer PRIMARY KEY, file text)")
    collection = make_collection(connection, dimensions=DIMENSIONS, partitions=partitions)
    put(connection, list(range(3000)))
    build_index(connection, collection)
    found = get_collection(connection, "photo_test")
    assert found.by_picture
    with connection.transaction():
        for statement in look_up_changes(connection, found, ["bigint"], "public"):
            connection.execute(statement)
    found = get_collection(connection, "photo_test")
    assert has_valid_index(connection, found)
    put(connection, [9000], picture=9000)
    check_against_exact(connection, range(9000, 9001))
    check_against_exact(connection, range(0, 600, 101))


def as_an_earlier_release_made_it(connection: Connection) -> None:
    """Take away the columns of the revisions from 0007 on, and what the functions ask of them."""
    for function in ("imgvec.search_photo_test", "imgvec.search_state"):
        ((definition,),) = rows(connection, f"SELECT pg_get_functiondef('{function}'::regproc)")
        earlier = re.sub(r"max\(t\.probes\)|\bc\.probes\b", "NULL::integer", definition)
        earlier = re.sub(r"\bc\.by_picture\b", "false", earlier)
        assert earlier != definition
        connection.execute(earlier.encode())
    for column in ("by_picture", "index_method", "lists", "probes", "has_radius_index"):
        connection.execute(f"ALTER TABLE imgvec.collection DROP COLUMN {column}".encode())
    connection.execute("DROP TABLE imgvec.shard, imgvec.sharded_collection")
    connection.execute("DROP FUNCTION imgvec.within_place")


def test_an_earlier_database_is_searched_before_and_after_it_is_migrated(connection: Connection) -> None:
    make(connection)
    as_an_earlier_release_made_it(connection)
    connection.execute("UPDATE imgvec.alembic_version SET version_num = 'imgvec_0006'")
    assert not get_collection(connection, "photo_test").by_picture
    check_against_exact(connection, range(0, 600, 201))
    dsn = connection.info.dsn
    assert run(cli, ["migrate", "--dsn", dsn]) == 0
    assert run(cli, ["index", "create", "photo_test", "--dsn", dsn]) == 0
    assert get_collection(connection, "photo_test").by_picture
    check_against_exact(connection, range(0, 600, 101))


def test_the_last_row_of_a_picture_goes_while_another_arrives(
    connection: Connection, copies: Collection
) -> None:
    """Whoever comes first, a row never stands without its picture."""
    put(connection, [9000], picture=9000)
    with connect(connection.info.dsn) as other:
        with other.transaction():
            put(other, [9001], picture=9000)
            connection.execute("DELETE FROM shop.photo WHERE id = 9000")
            tidy = PictureTidy(copies, interval_seconds=0)
            tidy.look(connection, seconds=60)
            assert tidy.removed == 0
        tidy.look(connection, seconds=60)
        assert tidy.removed == 0
        check_against_exact(connection, range(9001, 9002))
        connection.execute("DELETE FROM shop.photo WHERE id = 9001")
        tidy.look(connection, seconds=60)
        tidy.look(connection, seconds=60)
        assert tidy.removed == 1


def test_every_row_the_same_picture(connection: Connection) -> None:
    collection = make(connection, count=0)
    put(connection, list(range(2000)), picture=1)
    build_index(connection, collection)
    assert get_collection(connection, "photo_test").by_picture
    assert rows(connection, "SELECT count(*) FROM imgvec.photo_test_picture") == [(1,)]
    assert len(rows(connection, SEARCH.format(5, ""))) == 10
    assert rows(connection, SEARCH.format(5, ", distinct_pictures => true")) == [(0,)]
    among = ", ARRAY(SELECT generate_series(1, 2999, 2)::bigint)"
    assert len(rows(connection, SEARCH.format(5, among))) == 10


def test_two_vectors_of_one_hash_are_two_pictures(connection: Connection, copies: Collection) -> None:
    """As while a collection is rendered anew; and no row gets the distance of another's vector."""
    connection.execute(
        "UPDATE imgvec.photo_test_embedding SET embedding = (%s)::halfvec WHERE id = 4", [vector(777)]
    )
    connection.execute("INSERT INTO shop.photo VALUES (9000, 'x.jpg')")
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
        " SELECT 9000, %s::halfvec, 1, content_hash, 'bf16' FROM imgvec.photo_test_embedding WHERE id = 7",
        [vector(778)],
    )
    check_against_exact(connection, range(7, 8))
    check_against_exact(connection, range(4, 5))
    check_against_exact(connection, range(9000, 9001))


def test_what_a_killed_change_left_is_told_and_dropped(connection: Connection, capfd: Any) -> None:
    collection = make(connection, count=PICTURES)
    build_index(connection, collection)
    prepare_pictures(connection, replace(collection, by_picture=True))
    put(connection, [9000], picture=9000)
    dsn = connection.info.dsn
    assert run(cli, ["index", "show", "photo_test", "--dsn", dsn]) == 0
    assert "left over    photo_test_picture" in capfd.readouterr().out
    assert run(cli, ["index", "create", "photo_test", "--dsn", dsn]) == 0
    assert "dropped photo_test_picture" in capfd.readouterr().out
    triggers = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'imgvec.photo_test_embedding'::regclass AND NOT tgisinternal"
    assert rows(connection, triggers) == [(0,)]
    check_against_exact(connection, range(9000, 9001))


def state(connection: Connection) -> tuple[Any, ...]:
    """Return what searches ask: whether an index serves, its method and lists, and whether imgvec calls it ready."""
    (found,) = rows(
        connection,
        "SELECT has_index, index_method, index_lists, imgvec.index_state(name) FROM imgvec.search_state('photo_test')",
    )
    return tuple(found)


def test_an_index_of_lists_is_over_the_rows_and_one_of_hnsw_over_the_pictures_again(
    connection: Connection, copies: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = connection.info.dsn
    assert copies.by_picture
    assert state(connection) == (True, "hnsw", None, "ready")
    options = ["index", "rebuild", "photo_test", "--dsn", dsn]
    assert run(cli, [*options, "--method", "ivfflat", "--lists", "6"]) == 0
    listed = get_collection(connection, "photo_test")
    assert (listed.by_picture, listed.index_method, listed.lists) == (False, "ivfflat", 6)
    assert state(connection) == (True, "ivfflat", 6, "ready")
    assert rows(connection, "SELECT to_regclass('imgvec.photo_test_picture')") == [(None,)]
    assert "photo_test_embedding_ivfflat" in plan(connection, NEAR.format(7))
    assert len(rows(connection, SEARCH.format(7, ""))) == 10
    assert rows(connection, "SELECT imgvec.last_search_strategy()") == [("index",)]
    assert run(cli, [*options, "--method", "hnsw"]) == 0
    assert get_collection(connection, "photo_test").by_picture
    assert state(connection) == (True, "hnsw", None, "ready")
    check_against_exact(connection, range(0, 600, 101))
    capsys.readouterr()


def test_an_index_that_somebody_made_over_the_rows_is_not_taken_for_a_leftover(
    connection: Connection, copies: Collection
) -> None:
    options = "USING ivfflat (embedding halfvec_cosine_ops) WITH (lists = 6)"
    connection.execute(f"CREATE INDEX mine ON imgvec.photo_test_embedding {options}".encode())
    assert leftovers(connection, copies) == []
    assert tidy(connection, copies) == []
    assert rows(connection, "SELECT to_regclass('imgvec.mine')::text") == [("imgvec.mine",)]
    assert state(connection) == (True, "hnsw", None, "ready")
    # What a killed rebuild leaves is.
    connection.execute("ALTER INDEX imgvec.mine RENAME TO photo_test_embedding_ivfflat")
    assert leftovers(connection, copies) == ["photo_test_embedding_ivfflat"]
    assert tidy(connection, copies) == []
    assert rows(connection, "SELECT to_regclass('imgvec.photo_test_embedding_ivfflat')") == [(None,)]


def test_an_alias_switches_between_an_index_over_pictures_and_one_over_rows(
    connection: Connection, copies: Collection
) -> None:
    plain = make_collection(connection, name="photo_plain", dimensions=DIMENSIONS)
    connection.execute(
        "INSERT INTO imgvec.photo_plain_embedding SELECT * FROM imgvec.photo_test_embedding WHERE id < 600"
    )
    build_index(connection, plain)
    assert not get_collection(connection, "photo_plain").by_picture
    create_alias(connection, "shown", "photo_test")
    connection.execute("ANALYZE")
    # Rows 605, 1205, 1805 and 2405 have picture 5 as well; the other collection has row 5 alone.
    asked = "imgvec.embedding_of('photo_test', 5)"
    for name, index, found in (
        ("photo_plain", "photo_plain_embedding_hnsw", 1),
        ("photo_test", "photo_test_picture_hnsw", 5),
    ):
        point_alias(connection, get_alias(connection, "shown"), get_collection(connection, name))
        assert index in plan(
            connection, f"SELECT id FROM imgvec.near_shown({asked}) ORDER BY distance LIMIT 10"
        )
        own = rows(connection, f"SELECT id FROM imgvec.search_shown({asked}, 10) WHERE distance < 1e-3")
        assert len(own) == found
        different = rows(
            connection, f"SELECT id FROM imgvec.search_shown({asked}, 10, distinct_pictures => true)"
        )
        assert len({picture_of(key) for (key,) in different}) == 10


def test_rows_emptied_and_loaded_again_find_no_trace_of_the_old_pictures(
    connection: Connection, copies: Collection
) -> None:
    connection.execute("TRUNCATE shop.photo CASCADE")
    left = "SELECT count(*) FROM imgvec.photo_test_picture"
    query = vector(5)
    near = f"SELECT id FROM imgvec.near_photo_test('{query}'::halfvec) ORDER BY distance LIMIT 10"
    search = f"SELECT id FROM imgvec.search_photo_test('{query}'::halfvec, 10)"
    assert rows(connection, near) == rows(connection, search) == []
    put(connection, list(range(700)))
    # A worker has not come by yet: pictures are there that no row has, and others that have rows again.
    assert rows(connection, left) == [(600,)]
    check_against_exact(connection, range(0, 600, 101))
    connection.execute("DELETE FROM shop.photo WHERE id >= 100")
    tidy = PictureTidy(copies, interval_seconds=0)
    tidy.look(connection, seconds=60)
    tidy.look(connection, seconds=60)
    assert rows(connection, left) == [(100,)]
    # Until then dead entries take places in a scan's list, as in any HNSW index.
    connection.execute("VACUUM imgvec.photo_test_picture, imgvec.photo_test_embedding")
    check_against_exact(connection, range(0, 100, 33))


def test_uninstall_takes_the_pictures_along(connection: Connection, copies: Collection) -> None:
    assert run(cli, ["uninstall", "--yes", "--dsn", connection.info.dsn]) == 0
    assert rows(connection, "SELECT count(*) FROM pg_namespace WHERE nspname = 'imgvec'") == [(0,)]
    assert rows(connection, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == [(0,)]
    assert rows(connection, "SELECT count(*) FROM shop.photo") == [(3000,)]
