"""The radius index: within_* give the same rows with it as without, whatever is written meanwhile and whoever writes."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pytest
from dumps import dump_to_file, restore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photostore import as_role, embed, make_collection, make_photos, new_role
from psycopg import sql

from imgvec_pg.cli.commands.collection.switch_target import follow_radius_index
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.radius_bound import radius_bound
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.aliases import create_alias, get_alias
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.radius_index import create_radius_index, drop_radius_index, radius_index_state
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.integrity.rename import follow_columns, rename_collection
from imgvec_pg.store.integrity.verify import verify_collection
from imgvec_pg.store.key_change import follow_key
from imgvec_pg.store.radius.axes import contracted, principal_axes
from imgvec_pg.store.radius.fill import count_bad_coordinates, fill_coordinates
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.switch import switch_alias

Halves = npt.NDArray[np.float16]

DIMENSIONS = 40
"""More than there are axes."""


def draw(count: int, seed: int) -> Halves:
    """Give vectors of norm 1, many of them near others at all distances; shape (count, DIMENSIONS), float16."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((5, DIMENSIONS))
    apart = 10.0 ** generator.uniform(-3, 0.5, (count, 1))
    vectors = centres[generator.integers(0, 5, count)] + apart * generator.standard_normal(
        (count, DIMENSIONS)
    )
    halves: Halves = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    return halves


def as_text(vector: Halves) -> str:
    return str(vector.astype(float).tolist())


def photos(connection: Connection, rows: int = 60, seed: int = 1) -> Collection:
    """Make a collection of rows 1, 2, …, all embedded."""
    collection = make_photos(connection, rows=rows, dimensions=DIMENSIONS)
    embed(
        connection, collection, {key: v.tolist() for key, v in enumerate(draw(rows, seed).astype(float), 1)}
    )
    return collection


def by_comparing(
    connection: Connection, query: str, distance: float, name: str = "photo_test"
) -> list[tuple[int, float]]:
    """Give the rows that a comparison of all vectors gives."""
    statement = sql.SQL(
        "SELECT id, embedding <=> %(query)s::halfvec FROM imgvec.{} "
        "WHERE embedding <=> %(query)s::halfvec <= %(distance)s ORDER BY 1"
    ).format(sql.Identifier(f"{name}_embedding"))
    return connection.execute(statement, {"query": query, "distance": distance}).fetchall()


def by_function(
    connection: Connection, query: str, distance: float, name: str = "photo_test"
) -> list[tuple[int, float]]:
    statement = sql.SQL("SELECT id, distance FROM imgvec.{}(%s::halfvec, %s::float8) ORDER BY 1").format(
        sql.Identifier(f"within_{name}")
    )
    return connection.execute(statement, [query, distance]).fetchall()


def plan(connection: Connection, query: str) -> str:
    rows = connection.execute("EXPLAIN SELECT * FROM imgvec.within_photo_test(%s::halfvec, 0.1)", [query])
    return "\n".join(row[0] for row in rows)


def check_same(connection: Connection, queries: Halves) -> None:
    """Ask with and without, at distances that are those of rows, just below them, and at both ends."""
    for vector in queries:
        query = as_text(vector)
        distances = [distance for _, distance in by_comparing(connection, query, 2.0)]
        for distance in [0.0, 2.0, *distances, *(float(np.nextafter(d, -1)) for d in distances if d > 0)]:
            assert by_function(connection, query, distance) == by_comparing(connection, query, distance)


def test_the_same_rows_at_each_border(connection: Connection) -> None:
    collection = photos(connection)
    create_radius_index(connection, collection)
    assert "photo_test_coordinates" in plan(connection, as_text(draw(1, 1)[0]))
    check_same(connection, np.vstack([draw(60, 1)[:6], draw(4, 2)]))


def test_rows_away_from_the_query_are_not_compared(connection: Connection) -> None:
    collection = photos(connection)
    create_radius_index(connection, collection)
    statement = "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM imgvec.within_photo_test(%s::halfvec, 0.01)"
    found = connection.execute(statement, [as_text(draw(60, 1)[3])]).fetchone()
    assert found is not None
    looked_up = next(
        node for node in nodes(found[0][0]["Plan"]) if node.get("Relation Name") == "photo_test_embedding"
    )
    assert looked_up["Actual Loops"] < 15


def nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node.get("Plans", []) for below in nodes(child))]


CHANGE = st.one_of(
    st.tuples(st.just("insert"), st.integers(1, 30), st.integers(0, 200)),
    st.tuples(st.just("update"), st.integers(1, 30), st.integers(0, 200)),
    st.tuples(st.sampled_from(["delete", "delete_source"]), st.integers(1, 30), st.just(0)),
    st.tuples(st.just("move"), st.integers(1, 30), st.integers(31, 60)),
    st.tuples(st.sampled_from(["truncate", "create", "fill", "roll_back", "drop"]), st.just(0), st.just(0)),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(CHANGE, max_size=25), seed=st.integers(0, 10))
def test_the_same_rows_after_any_history(
    connection: Connection, history: list[tuple[str, int, int]], seed: int
) -> None:
    vectors = draw(201, seed)
    with connection.transaction(force_rollback=True):
        collection = make_photos(connection, rows=30, dimensions=DIMENSIONS)
        embed(connection, collection, {key: vectors[key].astype(float).tolist() for key in range(1, 16)})
        create_radius_index(connection, collection)
        for what, key, other in history:
            change(connection, what, key, other, as_text(vectors[other % 201]))
        if not get_collection(connection, "photo_test").has_radius_index and rows_there(connection):
            create_radius_index(connection, get_collection(connection, "photo_test"))
        # Rows' own vectors too: where coordinates are those of an older one, they are missed.
        own = connection.execute(
            "SELECT embedding::text FROM imgvec.photo_test_embedding ORDER BY id LIMIT 12"
        )
        for query in [*map(as_text, draw(3, seed)), *(row[0] for row in own)]:
            for distance in (0.0, 0.003, 0.1, 0.7):
                assert by_function(connection, query, distance) == by_comparing(connection, query, distance)


def rows_there(connection: Connection) -> bool:
    return connection.execute("SELECT FROM imgvec.photo_test_embedding LIMIT 1").rowcount > 0


UPSERT = (
    "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision) "
    "SELECT s.id, %s::halfvec, 1, '', 'fp32' FROM shop.photo AS s WHERE s.id IN (%s, %s) "
    "ON CONFLICT (id) DO UPDATE SET embedding = EXCLUDED.embedding"
)


def change(connection: Connection, what: str, key: int, other: int, vector: str) -> None:
    collection = get_collection(connection, "photo_test")
    if what == "insert":
        connection.execute(UPSERT, [vector, key, key % 30 + 1])
    elif what == "update":
        connection.execute(
            "UPDATE imgvec.photo_test_embedding SET embedding = %s WHERE id <= %s", [vector, key]
        )
    elif what == "delete":
        connection.execute("DELETE FROM imgvec.photo_test_embedding WHERE id = %s", [key])
    elif what == "delete_source":
        connection.execute("DELETE FROM shop.photo WHERE id = %s", [key])
    elif what == "move":
        connection.execute(
            "UPDATE shop.photo SET id = %s WHERE id = %s AND NOT EXISTS (SELECT FROM shop.photo WHERE id = %s)",
            [other, key, other],
        )
    elif what == "truncate":
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE imgvec.photo_test_embedding")
    elif what == "create" and not collection.has_radius_index and rows_there(connection):
        create_radius_index(connection, collection)
    elif what == "fill" and collection.has_radius_index:
        assert count_bad_coordinates(connection, collection) == 0
        fill_coordinates(connection, collection)
    elif what == "roll_back":
        with connection.transaction(force_rollback=True):
            connection.execute("DELETE FROM imgvec.photo_test_embedding")
    elif what == "drop" and radius_index_state(connection, collection).exists:
        drop_radius_index(connection, collection)


@pytest.mark.parametrize("dimensions", [1, 7, 32, 512, 4000])
def test_no_pair_within_a_distance_lies_further_apart_than_the_bound(
    connection: Connection, dimensions: int
) -> None:
    generator = np.random.default_rng(dimensions)
    base = generator.standard_normal((12, dimensions))
    near = base + generator.standard_normal((12, dimensions)) * 10.0 ** generator.uniform(-4, 0, (12, 1))
    vectors = np.vstack([base, near, -base[:2]])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    axes = contracted(principal_axes(vectors))
    products = ", ".join(f"(a.axes[{n}] <#> v.v) / l2_norm(v.v)" for n in range(1, len(axes) + 1))
    pairs = connection.execute(
        f"""WITH v AS MATERIALIZED (SELECT v::halfvec, n FROM unnest(%s::text[]) WITH ORDINALITY AS v(v, n)),
            a AS MATERIALIZED (SELECT %s::text[]::halfvec[] AS axes),
            placed AS MATERIALIZED (SELECT v.v, v.n, ARRAY[{products}]::halfvec AS place FROM v, a)
            SELECT x.v <=> y.v, x.place <-> y.place FROM placed AS x JOIN placed AS y ON x.n < y.n""",
        [[as_text(v) for v in vectors], [as_text(a) for a in axes]],
    ).fetchall()
    bound = radius_bound(dimensions)
    assert len(pairs) == 26 * 25 // 2
    assert all(apart <= bound.reach(max(distance, 0.0)) for distance, apart in pairs)
    # And it says something: of rows at a small distance it is not much more than the distance itself.
    assert bound.reach(0.05) < (2 * 0.05) ** 0.5 * 1.05


def test_axes_that_lengthen_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lengthen a vector by 1\.9"):
        contracted(2 * np.eye(40, 32))


def test_writers_go_on_while_it_is_filled(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = photos(connection, rows=90)
    vectors = draw(90, 5)
    pages = []

    def write(done: int) -> None:
        """Change rows that were stored and rows that were not, in a session of its own, between two pages."""
        pages.append(done)
        with connect(database) as other:
            for key in (len(pages), 90 - len(pages)):
                other.execute(UPSERT, [as_text(vectors[key - 1]), key, key])
            other.execute("DELETE FROM shop.photo WHERE id = %s", [40 + len(pages)])

    monkeypatch.setattr("imgvec_pg.store.radius.fill.PAGE_ROWS", 10)
    create_radius_index(connection, collection, write)
    assert len(pages) >= 8
    check_same(connection, np.vstack([draw(90, 1)[:3], vectors[:3]]))


def test_a_writer_that_has_not_committed_is_waited_for_and_never_cancelled(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = photos(connection, rows=9)
    vectors = draw(9, 5)
    monkeypatch.setattr("imgvec_pg.store.radius.fill.YIELD_MS", 20)
    prepared = threading.Event()

    def fill(*arguments: object) -> int:
        """Begin to fill once a writer has stored row 7; it goes on to row 2 only then."""
        prepared.set()
        assert written.wait(60)
        return fill_coordinates(*arguments)  # type: ignore[arg-type]

    written = threading.Event()

    def write() -> None:
        with connect(database) as other:
            assert prepared.wait(60)
            with other.transaction():
                other.execute(UPSERT, [as_text(vectors[6]), 7, 7])
                written.set()
                other.execute("SELECT pg_sleep(0.3)")
                other.execute(UPSERT, [as_text(vectors[1]), 2, 2])

    writer = threading.Thread(target=write)
    writer.start()
    monkeypatch.setattr("imgvec_pg.store.index.radius_index.fill_coordinates", fill)
    create_radius_index(connection, collection)
    writer.join(60)
    assert not writer.is_alive()
    check_same(connection, np.vstack([draw(9, 1)[:2], vectors[[1, 6]]]))


def test_what_a_writer_commits_while_a_page_waits_for_it_stays(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = photos(connection, rows=9)
    vectors = draw(9, 5)
    monkeypatch.setattr("imgvec_pg.store.radius.fill.YIELD_MS", 600_000)
    writer, stored = connect(database), threading.Event()

    def commit() -> None:
        """Commit once the page, which read the vector of before, waits for the row."""
        assert stored.wait(60)
        with connect(database) as watcher:
            waits = "SELECT FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
            while not watcher.execute(waits, [writer.info.backend_pid]).rowcount:
                time.sleep(0.02)
        writer.execute("COMMIT")

    def fill(*arguments: object) -> int:
        writer.execute("BEGIN")
        writer.execute(UPSERT, [as_text(vectors[6]), 7, 7])
        stored.set()
        return fill_coordinates(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("imgvec_pg.store.index.radius_index.fill_coordinates", fill)
    with writer:
        committing = threading.Thread(target=commit)
        committing.start()
        create_radius_index(connection, collection)
        committing.join(60)
    check_same(connection, np.vstack([draw(9, 1)[:2], vectors[[6]]]))


def test_one_that_was_stopped_changes_nothing_and_is_gone_on_with(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = photos(connection, rows=40)
    monkeypatch.setattr("imgvec_pg.store.radius.fill.PAGE_ROWS", 10)

    def stop(done: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_radius_index(connection, collection, stop)
    state = radius_index_state(connection, collection)
    assert state.exists
    assert not state.in_use
    assert "coordinates" not in plan(connection, as_text(draw(1, 1)[0]))
    connection.execute(UPSERT, [as_text(draw(1, 9)[0]), 3, 35])
    axes = connection.execute("SELECT * FROM imgvec.photo_test_axis ORDER BY 1").fetchall()
    create_radius_index(connection, collection)
    assert [row[:2] for row in connection.execute("SELECT * FROM imgvec.photo_test_axis ORDER BY 1")] == [
        row[:2] for row in axes
    ]
    check_same(connection, draw(40, 1)[:4])


def test_a_transaction_with_an_older_snapshot_is_refused_not_given_fewer_rows(
    connection: Connection, database: str
) -> None:
    collection = photos(connection)
    query = as_text(draw(60, 1)[0])
    with connect(database) as old:
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        # A session that has the function planned already goes on by its older body, which compares all rows.
        old.execute("SELECT count(*) FROM shop.photo")
        before = by_function(connection, query, 0.7)
        create_radius_index(connection, collection)
        with pytest.raises(psycopg.errors.SerializationFailure, match="radius index was completed after"):
            by_function(old, query, 0.7)
        old.execute("ROLLBACK")
        assert by_function(old, query, 0.7) == before != []


def test_rows_written_where_no_trigger_fires_are_found_by_verify_and_mended(connection: Connection) -> None:
    collection = create_radius_index(connection, photos(connection))
    vectors = draw(60, 8)
    connection.execute("SET session_replication_role = replica")
    connection.execute("INSERT INTO shop.photo SELECT i, i || '.jpg', i FROM generate_series(61, 63) AS i")
    for key in (3, 61, 62):
        connection.execute(UPSERT, [as_text(vectors[key - 3]), key, key])
    connection.execute("RESET session_replication_role")
    found = verify_collection(connection, collection).differences["bad_coordinates"]
    assert (found.rows, sorted(key["id"] for key in found.examples)) == (3, [3, 61, 62])  # type: ignore[index]
    reconcile(connection, collection)
    assert "bad_coordinates" not in verify_collection(connection, collection).differences
    check_same(connection, vectors[:2])


def test_readers_get_the_rows_they_see_and_coordinates_of_no_others(connection: Connection) -> None:
    collection = create_radius_index(connection, photos(connection))
    query = as_text(draw(60, 1)[0])
    grants = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON shop.photo")
    with new_role(connection, *grants) as role:
        with as_role(connection, role):
            assert by_function(connection, query, 2.0) == by_comparing(connection, query, 2.0)
        connection.execute(
            "ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY; CREATE POLICY cheap ON shop.photo USING (price < 4)"
        )
        with (
            as_role(connection, role),
            pytest.raises(psycopg.Error, match="reconcile"),
        ):
            connection.execute("SELECT count(*) FROM imgvec.photo_test_coordinates")
        reconcile(connection, collection)
        with as_role(connection, role):
            assert [key for key, _ in by_function(connection, query, 2.0)] == [1, 2, 3]
            assert connection.execute("SELECT count(*) FROM imgvec.photo_test_coordinates").fetchone() == (3,)
    drop_radius_index(connection, collection)
    with pytest.raises(CollectionError, match="shows each role other rows"):
        create_radius_index(connection, get_collection(connection, "photo_test"))


def test_it_follows_a_new_name_an_alias_and_a_renamed_key(connection: Connection) -> None:
    collection = create_radius_index(connection, photos(connection))
    query, vector = as_text(draw(60, 1)[0]), as_text(draw(1, 6)[0])
    create_alias(connection, "shown", "photo_test")
    renamed = rename_collection(connection, collection, "photo_new")
    connection.execute("INSERT INTO shop.photo VALUES (61, 'a.jpg', 1)")
    connection.execute(UPSERT.replace("photo_test", "photo_new"), [vector, 61, 5])
    for name in ("photo_new", "shown"):
        assert by_function(connection, vector, 0.0, name) == by_comparing(
            connection, vector, 0.0, "photo_new"
        )
        assert by_function(connection, query, 2.0, name) == by_comparing(connection, query, 2.0, "photo_new")
    assert connection.execute("SELECT to_regclass('imgvec.photo_test_coordinates')").fetchone() == (None,)
    connection.execute("ALTER TABLE shop.photo RENAME COLUMN id TO number")
    followed = follow_columns(connection, renamed, {"id": "number"})
    connection.execute("UPDATE imgvec.photo_new_embedding SET embedding = %s WHERE number = 7", [vector])
    found = connection.execute(
        "SELECT number FROM imgvec.within_photo_new(%s::halfvec, 0.0) ORDER BY 1", [vector]
    ).fetchall()
    assert found == [(5,), (7,), (61,)]
    drop_radius_index(connection, followed)
    assert connection.execute("SELECT to_regclass('imgvec.photo_new_axis')").fetchone() == (None,)


def test_a_key_of_several_columns_and_one_named_as_ours(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA shop")
    columns = 'coordinates text, "distance %" uuid, file text, PRIMARY KEY (coordinates, "distance %")'
    connection.execute(f"CREATE TABLE shop.photo ({columns})")
    connection.execute(
        "INSERT INTO shop.photo SELECT i, gen_random_uuid(), i FROM generate_series(1, 20) AS i"
    )
    collection = make_collection(connection, dimensions=DIMENSIONS)
    rows = connection.execute('SELECT coordinates, "distance %" FROM shop.photo ORDER BY 1').fetchall()
    vectors = draw(20, 1)
    embed(
        connection, collection, {row: v.tolist() for row, v in zip(rows, vectors.astype(float), strict=True)}
    )
    create_radius_index(connection, collection)
    found = connection.execute(
        "SELECT coordinates FROM imgvec.within_photo_test(%s::halfvec, 0)", [as_text(vectors[4])]
    ).fetchall()
    assert (rows[4][0],) in found
    assert verify_collection(connection, get_collection(connection, "photo_test")).differences.keys() <= {
        "missing"
    }


@pytest.mark.parametrize("partitions", [0, 2])
def test_it_is_kept_over_partitions_goes_with_a_wider_key_and_is_made_again(
    connection: Connection, partitions: int
) -> None:
    connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.photo (id integer PRIMARY KEY, file text)")
    connection.execute("INSERT INTO shop.photo SELECT i, i || '.jpg' FROM generate_series(1, 60) AS i")
    collection = make_collection(connection, dimensions=DIMENSIONS, partitions=partitions)
    embed(connection, collection, dict(enumerate(draw(60, 1).astype(float).tolist(), 1)))
    collection = create_radius_index(connection, collection)
    connection.execute(UPSERT, [as_text(draw(1, 6)[0]), 3, 50])
    connection.execute("DELETE FROM shop.photo WHERE id = 4")
    check_same(connection, np.vstack([draw(60, 1)[:2], draw(1, 6)]))
    connection.execute("ALTER TABLE shop.photo ALTER id TYPE bigint")
    collection = follow_key(connection, get_collection(connection, "photo_test"))
    assert not collection.has_radius_index
    assert not radius_index_state(connection, collection).exists
    check_same(connection, draw(1, 6))
    create_radius_index(connection, collection)
    connection.execute("INSERT INTO shop.photo VALUES (3000000000, 'x')")
    connection.execute(UPSERT, [as_text(draw(1, 6)[0]), 3000000000, 5])
    check_same(connection, draw(1, 6))


def test_what_an_alias_is_switched_to_gets_one_too(connection: Connection) -> None:
    present = create_radius_index(connection, photos(connection, rows=20))
    target = make_collection(connection, name="photo_next", dimensions=DIMENSIONS)
    embed(connection, target, dict(enumerate(draw(20, 4).astype(float).tolist(), 1)))
    create_alias(connection, "shown", "photo_test")
    target = follow_radius_index(connection, present, target)
    switch_alias(connection, get_alias(connection, "shown"), present, target)
    query = as_text(draw(20, 4)[2])
    assert by_function(connection, query, 0.5, "shown") == by_comparing(connection, query, 0.5, "photo_next")
    rows = connection.execute(
        "EXPLAIN SELECT * FROM imgvec.within_shown(%s::halfvec, 0.1)", [query]
    ).fetchall()
    assert any("photo_next_coordinates" in row[0] for row in rows)


def test_a_dump_has_it_and_what_is_restored_keeps_it(
    connection: Connection, database: str, another_database: str, tmp_path: Path
) -> None:
    create_radius_index(connection, photos(connection))
    dump_to_file(database, tmp_path / "dump")
    restore(another_database, tmp_path / "dump")
    with connect(another_database) as restored:
        restored.execute(UPSERT, [as_text(draw(1, 6)[0]), 3, 5])
        assert "photo_test_coordinates" in plan(restored, as_text(draw(1, 1)[0]))
        check_same(restored, np.vstack([draw(60, 1)[:2], draw(1, 6)]))
        assert verify_collection(restored, get_collection(restored, "photo_test")).differences == {}
