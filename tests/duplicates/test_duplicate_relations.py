"""`imgvec duplicates` in a real database: relations, keepers, decisions, rights, what changes around them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from dumps import dump_to_file, restore
from photostore import as_role, make_collection, make_photos, new_role
from psycopg import sql
from psycopg.conninfo import make_conninfo

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.cli.search.report_duplicates import measured_recall
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.duplicates.pairs import find_pairs
from imgvec_pg.duplicates.plan import COORDINATE_BYTES
from imgvec_pg.duplicates.vector_rows import BASE_BYTES, KEY_BYTES, read_vectors
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.integrity.rename import follow_columns, rename_collection
from imgvec_pg.store.registry import get_collection

Ask = Callable[..., str]
# Degrees: 1, 2 and 3 are a chain of which 1 and 3 are too far apart at cosine 0.95 (18.2 degrees); 4 and 5 are one picture.
ANGLES = {1: 0.0, 2: 10.0, 3: 20.0, 4: 90.0, 5: 90.0, 6: 180.0}


def put(connection: Connection, collection: Collection, key: Any, degrees: float, content: str) -> None:
    """Embed a row, or embed it anew: a vector in the plane, and the hash of what it says its picture is."""
    angle = np.radians(degrees)
    columns = sql.SQL(", ").join(map(sql.Identifier, collection.key_columns))
    connection.execute(
        sql.SQL(
            "INSERT INTO {table} ({columns}, embedding, version, content_hash, precision) VALUES ({values}, %s, 1, %s, 'fp32')"
            " ON CONFLICT ({columns}) DO UPDATE SET embedding = excluded.embedding, content_hash = excluded.content_hash,"
            " version = {table}.version + 1"
        ).format(
            table=sql.Identifier("imgvec", collection.embedding_table),
            columns=columns,
            values=sql.SQL(", ").join(sql.Placeholder() * len(collection.key_columns)),
        ),
        [
            *(key if isinstance(key, tuple) else (key,)),
            str([float(np.cos(angle)), float(np.sin(angle)), 0.0]),
            hashlib.sha256(content.encode()).digest(),
        ],
    )


@pytest.fixture
def photos(connection: Connection) -> Collection:
    """Give rows 1 to 6 whose pictures point where ANGLES says; 4 and 5 are the same bytes."""
    collection = make_photos(connection, rows=6)
    connection.execute("ALTER TABLE shop.photo ADD width int DEFAULT 10, ADD height int DEFAULT 10")
    for key, degrees in ANGLES.items():
        put(connection, collection, key, degrees, "copy" if key in (4, 5) else str(key))
    return collection


@pytest.fixture
def ask(database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run `imgvec duplicates` and return what it printed."""
    monkeypatch.setenv("IMGVEC_DSN", database)

    def answer(*arguments: str, code: int = 0, err: str = "") -> str:
        found = run(cli, ["duplicates", *arguments])
        said = capsys.readouterr()
        assert found == code, said.err
        assert err in said.err and (bool(err) or not said.err), said.err
        assert len(said.err.splitlines()) <= 1 or code == 2
        return said.out

    return answer


def pairs(connection: Connection, name: str = "photo_test") -> list[Any]:
    return connection.execute(
        sql.SQL("SELECT id, other_id, why FROM imgvec.{} ORDER BY 1, 2").format(
            sql.Identifier(f"duplicate_{name}")
        )
    ).fetchall()


def groups(connection: Connection, name: str = "photo_test") -> list[tuple[list[int], int]]:
    """Return each group: its rows, and which is kept."""
    rows = connection.execute(
        sql.SQL(
            "SELECT array_agg(id ORDER BY id), max(id) FILTER (WHERE is_keeper) FROM imgvec.{} GROUP BY group_id ORDER BY 1"
        ).format(sql.Identifier(f"duplicate_group_{name}"))
    )
    return [(list(members), keeper) for members, keeper in rows]


def decide(connection: Connection, one: int, other: int, decision: str | None) -> None:
    connection.execute(
        "SELECT imgvec.decide_duplicate('photo_test', to_jsonb(%s), to_jsonb(%s), %s)", [one, other, decision]
    )


ALL = [(1, 2, "near"), (2, 3, "near"), (4, 5, "same bytes")]


def test_pairs_and_groups_can_be_joined_and_no_picture_is_chained_to_a_group(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    said = ask("photo_test")
    assert "3 pairs at cosine similarity 0.95 or above among 6 rows; 2 groups of 4 rows" in said
    assert pairs(connection) == ALL
    # 1 and 2 are as near as 2 and 3, up to the rounding of halves: one of both pairs is the group, never all three.
    assert [members for members, _ in groups(connection)] in ([[1, 2], [4, 5]], [[2, 3], [4, 5]])
    (distance,) = connection.execute(
        "SELECT distance FROM imgvec.duplicate_photo_test d JOIN shop.photo p USING (id) WHERE p.price = 1"
    ).fetchone() or (None,)
    assert distance == pytest.approx(1 - np.cos(np.radians(10)), abs=1e-3)


def test_a_run_replaces_what_the_last_one_found(connection: Connection, photos: Collection, ask: Ask) -> None:
    ask("photo_test")
    ask("photo_test", "--threshold", "0.99999")
    assert pairs(connection) == [(4, 5, "same bytes")]
    assert "0 pairs" in ask("photo_test", "--where", "price < 2")
    assert pairs(connection) == [] and groups(connection) == []
    ask("photo_test", "--where", "price <= 2 -- no more")
    assert pairs(connection) == [(1, 2, "near")]


@pytest.mark.parametrize(
    ("rules", "keeper", "reasons"),
    [
        ((), 5, {"pixels"}),
        (("price ASC",), 4, {"price ASC"}),
        (("price",), 5, {"price"}),
        (("height", "id desc"), 5, {"id desc"}),
        (("height",), 4, {"key"}),
        (("pixels", "price ASC"), 5, {"pixels"}),
    ],
)
def test_rules_choose_the_keeper_in_their_order(
    connection: Connection,
    photos: Collection,
    ask: Ask,
    rules: tuple[str, ...],
    keeper: int,
    reasons: set[str],
) -> None:
    connection.execute("UPDATE shop.photo SET width = 20 WHERE id = 5")
    ask("photo_test", *(part for rule in rules for part in ("--keep", rule)))
    rows = connection.execute(
        "SELECT id, is_keeper, reason FROM imgvec.duplicate_group_photo_test WHERE id IN (4, 5)"
    ).fetchall()
    assert {row[0] for row in rows if row[1]} == {keeper} and {row[2] for row in rows} == reasons


def test_what_is_not_kept_goes_with_the_statement_offered_and_nothing_else(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    offered = json.loads(ask("photo_test", "--json"))["deletion"]
    kept = {
        row[0]
        for row in connection.execute("SELECT id FROM imgvec.duplicate_group_photo_test WHERE is_keeper")
    }
    assert connection.execute(offered).rowcount == 2
    left = {row[0] for row in connection.execute("SELECT id FROM shop.photo")}
    assert len(left) == 4 and kept <= left
    # Rows that went left the relations too: the foreign key took them along.
    assert groups(connection) == []
    assert all(one in left and other in left for one, other, _ in pairs(connection))


@pytest.mark.parametrize(
    ("linkage", "grouped", "left"),
    [("share", [[1, 2, 3, 4]], {1, 4}), ("complete", [[1, 2], [3, 4]], {1, 3})],
)
def test_what_is_not_near_its_keeper_is_not_offered_for_deletion(
    connection: Connection, ask: Ask, linkage: str, grouped: list[list[int]], left: set[int]
) -> None:
    collection = make_photos(connection, rows=4)
    # Near up to 10.5 degrees: all but 1 and 4.
    for key, degrees in {1: 0.0, 2: 5.0, 3: 10.0, 4: 14.0}.items():
        put(connection, collection, key, degrees, str(key))
    threshold = str(np.cos(np.radians(10.5)))
    arguments = ["photo_test", "--threshold", threshold, "--linkage", linkage, "--keep", "id ASC"]
    told = json.loads(ask(*arguments, "--json"))
    assert told["linkage"] == linkage and [rows for rows, _ in groups(connection)] == grouped
    assert told["deletion"] in ask(*arguments)
    assert connection.execute(told["deletion"]).rowcount == 2
    assert {row[0] for row in connection.execute("SELECT id FROM shop.photo")} == left


def test_another_is_kept_where_the_keeper_goes(connection: Connection, photos: Collection, ask: Ask) -> None:
    connection.execute("INSERT INTO shop.photo VALUES (7, '7.jpg', 7)")
    put(connection, photos, 7, 90.0, "copy")
    ask("photo_test", "--keep", "price ASC")
    assert ([4, 5, 7], 4) in groups(connection)
    connection.execute("DELETE FROM shop.photo WHERE id = 4")
    assert ([5, 7], 5) in groups(connection)


def test_a_picture_embedded_anew_leaves_until_the_next_run(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    ask("photo_test")
    put(connection, photos, 5, 135.0, "another")
    assert pairs(connection) == ALL[:2]
    assert all(5 not in members for members, _ in groups(connection))


@pytest.mark.parametrize("decision", ["not_the_same", "keep_both", "ignore"])
def test_a_decided_pair_does_not_come_back(
    connection: Connection, photos: Collection, ask: Ask, decision: str
) -> None:
    ask("photo_test")
    decide(connection, 5, 4, decision)
    assert pairs(connection) == ALL[:2] and all(4 not in members for members, _ in groups(connection))
    ask("photo_test")
    assert pairs(connection) == ALL[:2] and all(4 not in members for members, _ in groups(connection))
    # Another row with the picture is no question either; taken back, it is one again.
    decide(connection, 4, 5, None)
    assert pairs(connection) == ALL


def test_a_group_is_made_anew_without_a_pair_that_is_not_the_same(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    put(connection, photos, 3, 5.0, "3")
    ask("photo_test")
    assert [1, 2, 3] in [members for members, _ in groups(connection)]
    decide(connection, 1, 2, "not_the_same")
    assert all(1 not in members for members, _ in groups(connection))
    ask("photo_test")
    found = [members for members, _ in groups(connection) if 4 not in members]
    assert found in ([[1, 3]], [[2, 3]])


def test_the_same_stays_in_its_group_and_says_that_it_is_decided(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    ask("photo_test")
    decide(connection, 4, 5, "same")
    ask("photo_test")
    rows = connection.execute("SELECT id, decision FROM imgvec.duplicate_photo_test ORDER BY 1").fetchall()
    assert rows == [(1, None), (2, None), (4, "same")]
    assert [4, 5] in [members for members, _ in groups(connection)]


def test_decisions_hold_for_another_collection_and_after_the_row_was_stored_again(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    decide(connection, 1, 2, "keep_both")
    other = make_collection(connection, name="photo_new")
    for key, degrees in {1: 0.0, 2: 1.0}.items():
        put(connection, other, key, degrees, str(key))
    assert "1 pair " in ask("photo_new")
    assert pairs(connection, "photo_new") == []
    connection.execute("DELETE FROM shop.photo WHERE id = 2")
    connection.execute("INSERT INTO shop.photo VALUES (20, '2.jpg', 2)")
    put(connection, photos, 20, 10.0, "2")
    ask("photo_test")
    assert (1, 20, "near") not in pairs(connection) and (3, 20, "near") in pairs(connection)


def test_a_group_is_decided_as_a_whole(connection: Connection, photos: Collection, ask: Ask) -> None:
    ask("photo_test")
    (number,) = connection.execute(
        "SELECT group_id FROM imgvec.duplicate_group_photo_test WHERE id = 4"
    ).fetchone() or (0,)
    decided = connection.execute(
        "SELECT imgvec.decide_duplicate_group('photo_test', %s, 'keep_both')", [number]
    ).fetchone()
    assert decided == (1,) and all(4 not in members for members, _ in groups(connection))


@pytest.mark.parametrize(
    ("call", "state", "message"),
    [
        ("decide_duplicate('photo_test', '1', '99', 'same')", "P0002", "no embedding for key"),
        (
            "decide_duplicate('photo_test', '1', '2', 'maybe')",
            "22023",
            "expected same, not_the_same, keep_both or ignore",
        ),
        ("decide_duplicate('nothing', '1', '2', 'same')", "42704", "does not exist"),
        ("decide_duplicate('photo_test', '[1]', '2', 'same')", "22P02", "invalid input syntax"),
        ("decide_duplicate_group('photo_test', 99, 'same')", "P0002", "no group 99"),
        ("decide_duplicate_content(NULL, '\\x00', 'same')", "22023", "a content hash is NULL"),
    ],
)
def test_what_cannot_be_decided_says_why(
    connection: Connection, photos: Collection, ask: Ask, call: str, state: str, message: str
) -> None:
    ask("photo_test")
    with pytest.raises(psycopg.Error, match=message) as caught:
        connection.execute(f"SELECT imgvec.{call}")
    assert caught.value.sqlstate == state


def test_readers_see_pairs_and_groups_of_the_rows_that_the_source_shows_them(
    connection: Connection, ask: Ask
) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, owner text)")
    connection.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    connection.execute("CREATE POLICY own ON shop.photo USING (owner = current_setting('shop.owner', true))")
    connection.execute(
        "INSERT INTO shop.photo SELECT i, i || '.jpg', CASE WHEN i < 4 THEN 'ann' ELSE 'bob' END FROM generate_series(1, 5) i"
    )
    collection = make_collection(connection)
    for key in range(1, 6):
        put(connection, collection, key, key / 10, str(key))
    ask("photo_test")
    assert len(pairs(connection)) == 10
    grants = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON shop.photo")
    for owner, rows in (("ann", [1, 2, 3]), ("bob", [4, 5]), ("eve", [])):
        with new_role(connection, *grants) as role, as_role(connection, role):
            connection.execute("SELECT set_config('shop.owner', %s, false)", [owner])
            seen = {row for pair in pairs(connection) for row in pair[:2]}
            assert seen == set(rows)
            assert len(pairs(connection)) == len(rows) * (len(rows) - 1) // 2
            assert groups(connection) == ([(rows, rows[0])] if rows else [])
            for table in ("photo_test_duplicate_pair", "photo_test_duplicate_member"):
                keys = connection.execute(
                    sql.SQL("SELECT id FROM imgvec.{}").format(sql.Identifier(table))
                ).fetchall()
                assert {row[0] for row in keys} <= set(rows)


def test_a_role_without_rights_is_told_in_one_line(
    connection: Connection, photos: Collection, ask: Ask, database: str
) -> None:
    with new_role(connection, "imgvec_reader") as reader, new_role(connection, "imgvec_worker") as worker:
        as_worker = make_conninfo(database, options=f"-c role={worker}")
        # The relations are not there yet, and take the owner of the schema.
        ask(
            "photo_test", "--dsn", as_worker, code=1, err="the first run takes the owner of the schema imgvec"
        )
        ask("photo_test")
        connection.execute(
            sql.SQL("GRANT USAGE ON SCHEMA shop TO {0}; GRANT SELECT ON shop.photo TO {0}").format(
                sql.Identifier(worker)
            )
        )
        ask("photo_test", "--dsn", as_worker, "--threshold", "0.999")
        assert pairs(connection) == ALL[2:]
        # A run that follows, one of all rows, and one that notes pixels write the same tables.
        put(connection, photos, 6, 91.0, "6")
        ask("photo_test", "--dsn", as_worker, "--threshold", "0.999")
        ask("photo_test", "--dsn", as_worker, "--threshold", "0.999", "--full", "--pixels")
        assert pairs(connection) == [*ALL[2:], (4, 6, "near"), (5, 6, "near")]
        connection.execute("DELETE FROM shop.photo WHERE id = 6")
        as_reader = make_conninfo(database, options=f"-c role={reader}")
        ask("photo_test", "--dsn", as_reader, code=1, err="may not write the duplicates")
        with as_role(connection, reader), pytest.raises(psycopg.errors.InsufficientPrivilege):
            decide(connection, 4, 5, "same")
        with as_role(connection, worker):
            decide(connection, 4, 5, "same")
        assert pairs(connection) == ALL[2:]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--threshold", "0"), 2, "the threshold is 0; expected a cosine similarity above 0, up to 1"),
        (("--threshold", "1.5"), 2, "the threshold is 1.5"),
        (("--threshold", "nan"), 2, "the threshold is nan"),
        (
            ("--threshold", "0.1", "--max-pairs", "2"),
            2,
            "expected at most 2: raise the threshold, or --max-pairs",
        ),
        (("--where", "prise < 2"), 2, "PostgreSQL does not take the condition 'prise < 2'"),
        (("--where", "1/(price-1) > 0"), 2, "division by zero"),
        (("--where", "true) OR (true"), 2, "PostgreSQL does not take the condition"),
        (("--where", "true); DROP TABLE shop.photo; --"), 2, "PostgreSQL does not take the condition"),
        (("--where", " "), 2, "the condition is empty"),
        (("--keep", "colour"), 2, "PostgreSQL does not take the rule 'colour'"),
        (("--keep", " desc"), 2, "the rule ' desc' is empty; expected pixels, bytes, oldest or SQL"),
        (("--keep", "oldest"), 2, "has no columns for --keep oldest, which takes created_at"),
        (("--memory", "1MB"), 2, "--memory is 1.0 MB"),
        (("--memory", "much"), 2, "is no size"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    connection: Connection, photos: Collection, ask: Ask, arguments: tuple[str, ...], code: int, message: str
) -> None:
    ask("photo_test")
    ask("photo_test", *arguments, code=code, err=message)
    assert pairs(connection) == ALL


def test_a_collection_half_filled_says_so(connection: Connection, photos: Collection, ask: Ask) -> None:
    connection.execute("DELETE FROM imgvec.job")
    connection.execute("INSERT INTO shop.photo VALUES (8, '8.jpg', 8), (9, '9.jpg', 9)")
    assert "not compared: 2 queued, 0 failed" in ask("photo_test")


def test_an_empty_collection_has_no_pairs(connection: Connection, ask: Ask) -> None:
    make_photos(connection)
    assert "0 pairs" in ask("photo_test")
    assert pairs(connection) == [] and groups(connection) == []


def test_the_second_of_two_runs_says_that_one_goes_on(
    connection: Connection, photos: Collection, ask: Ask, database: str
) -> None:
    with connect(database) as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(1768777079, %s)", [photos.id])
        ask("photo_test", code=1, err="another imgvec duplicates photo_test runs already")
    ask("photo_test")


def test_composite_keys_and_partitions(connection: Connection, ask: Ask) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute(
        'CREATE TABLE shop.photo (tenant int, "the id" text, file text, PRIMARY KEY (tenant, "the id"))'
    )
    connection.execute(
        "INSERT INTO shop.photo SELECT i % 2, 'no %' || i, i || '.jpg' FROM generate_series(1, 6) i"
    )
    collection = make_collection(connection, partitions=2)
    for number, degrees in ANGLES.items():
        put(connection, collection, (number % 2, f"no %{number}"), degrees, str(number))
    ask("photo_test", "--keep", "tenant", "--where", "\"the id\" LIKE 'no \\%%'")
    found = connection.execute(
        'SELECT tenant, "the id", other_tenant, "other_the id" FROM imgvec.duplicate_photo_test'
    ).fetchall()
    assert sorted(found) == [(0, "no %2", 1, "no %1"), (0, "no %2", 1, "no %3"), (0, "no %4", 1, "no %5")]
    connection.execute(
        'SELECT imgvec.decide_duplicate(\'photo_test\', \'{"tenant": 1, "the id": "no %1"}\','
        ' \'{"tenant": 0, "the id": "no %6"}\', \'ignore\')'
    )
    assert connection.execute(json.loads(ask("photo_test", "--json"))["deletion"]).rowcount == 2


def test_rows_that_change_during_the_search_are_left_out_and_told(
    connection: Connection, photos: Collection, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imgvec_pg.duplicates import find_duplicates as module

    search = module.find_pairs_again

    def while_an_application_writes(*arguments: Any, **options: Any) -> Any:
        put(connection, photos, 5, 0.0, "another")
        connection.execute("DELETE FROM shop.photo WHERE id = 3")
        return search(*arguments, **options)

    monkeypatch.setattr(module, "find_pairs_again", while_an_application_writes)
    assert "changed meanwhile, and in no pair: 2 rows" in ask("photo_test")
    assert pairs(connection) == [(1, 2, "near")]


def test_a_fast_run_says_what_share_of_sampled_pairs_it_found(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    exact = json.loads(ask("photo_test", "--json"))
    assert (exact["recall"], exact["recall_measured_by"]) == (1.0, None)
    expected = pairs(connection)
    fast = json.loads(ask("photo_test", "--fast", "--json"))
    assert pairs(connection) == expected and fast["pairs"] == 3
    assert fast["recall"] == 1.0
    assert "--exact misses none" not in ask("photo_test", "--exact")


@pytest.mark.parametrize(
    ("checked", "recall", "said"),
    [
        (400, 0.9995, "found 99.95% of 400 pairs of sampled rows"),
        (0, None, "what share of all pairs was found is not known"),
    ],
)
def test_what_fast_may_have_missed_is_said(checked: int, recall: float | None, said: str) -> None:
    assert said in measured_recall(checked, recall)


def test_relations_follow_the_collection(connection: Connection, photos: Collection, ask: Ask) -> None:
    ask("photo_test")
    decide(connection, 4, 5, "ignore")
    renamed = rename_collection(connection, photos, "photo_two")
    assert pairs(connection, "photo_two") == ALL[:2]
    assert len(groups(connection, "photo_two")) == 1
    ask("photo_two")
    connection.execute("ALTER TABLE shop.photo RENAME id TO number")
    follow_columns(connection, renamed, {"id": "number"})
    ask("photo_two")
    connection.execute("SELECT number, other_number FROM imgvec.duplicate_photo_two")
    drop_collection(connection, get_collection(connection, "photo_two"))
    left = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'imgvec'::regnamespace AND relname LIKE '%duplicate%'"
        " AND relkind IN ('r', 'v')"
    ).fetchall()
    assert left == [("duplicate_decision",)]
    assert connection.execute("SELECT count(*) FROM imgvec.duplicate_decision").fetchone() == (1,)


def test_within_gives_every_row_within_and_refuses_what_is_no_question(
    connection: Connection, photos: Collection
) -> None:
    near = "SELECT id FROM imgvec.within_photo_test(%s::halfvec, %s::float8) ORDER BY distance, id"
    assert connection.execute(near, ["[1,0,0]", 0.07]).fetchall() == [(1,), (2,), (3,)]
    assert connection.execute(near, ["[0,2,0]", 0.0]).fetchall() == [(4,), (5,)]
    for query, distance, message in (
        (None, 0.1, "the query is NULL"),
        ("[0,0,0]", 0.1, "the query is a zero vector"),
        ("[1,0,0]", None, "the distance is NULL; expected 0 to 2"),
        ("[1,0,0]", 2.5, "the distance is 2.5; expected 0 to 2"),
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=message):
            connection.execute(near, [query, distance])
    lonely = (
        "SELECT p.id FROM shop.photo AS p JOIN imgvec.photo_test_embedding AS e USING (id)"
        " WHERE NOT EXISTS (SELECT FROM imgvec.within_photo_test(e.embedding, 0.05) AS w WHERE w.id <> p.id) ORDER BY 1"
    )
    assert connection.execute(lonely).fetchall() == [(6,)]


def test_vectors_are_read_as_they_are_stored_and_lie_in_a_file_where_memory_is_short(
    connection: Connection, photos: Collection
) -> None:
    stored = {
        row: np.array(json.loads(text))
        for row, text in connection.execute("SELECT id, embedding::text FROM imgvec.photo_test_embedding")
    }
    least = BASE_BYTES + len(ANGLES) * (COORDINATE_BYTES + KEY_BYTES)
    for memory, in_file in ((least + 3 * len(ANGLES), True), (10**9, False)):
        rows = read_vectors(connection, photos, None, memory)
        assert isinstance(rows.vectors, np.memmap) is in_file
        read = {json.loads(key)["id"]: vector for key, vector in zip(rows.keys, rows.vectors, strict=True)}
        assert read.keys() == stored.keys()
        assert all(np.allclose(read[row], stored[row], rtol=1e-3, atol=1e-7) for row in stored)
        assert len(find_pairs(rows.vectors, 0.95, bytes_of_coordinates=rows.bytes_of_coordinates).first) == 3
    with pytest.raises(UsageError, match=r"6 rows take 200\.0 MB of memory at least"):
        read_vectors(connection, photos, None, least - 1)


def test_relations_and_decisions_come_back_with_a_dump(
    connection: Connection,
    photos: Collection,
    ask: Ask,
    empty_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask("photo_test")
    decide(connection, 4, 5, "ignore")
    dump_to_file(connection.info.dsn, tmp_path / "dump")
    restore(empty_database, tmp_path / "dump")
    monkeypatch.setenv("IMGVEC_DSN", empty_database)
    with connect(empty_database) as restored:
        assert pairs(restored) == ALL[:2]
        ask("photo_test")
        assert pairs(restored) == ALL[:2] and len(groups(restored)) == 1


def test_a_key_whose_text_is_json_is_decided_as_it_is_searched(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.photo (id text PRIMARY KEY, file text)")
    connection.execute(
        "INSERT INTO shop.photo SELECT key, '1.jpg' FROM unnest(%s::text[]) AS key", [['{"a": 1}', "b"]]
    )
    collection = make_collection(connection)
    put(connection, collection, '{"a": 1}', 0, "a picture")
    put(connection, collection, "b", 90, "another")
    found = connection.execute(
        "SELECT imgvec.content_hash_of('photo_test', to_jsonb(e.id)) = e.content_hash,"
        " imgvec.embedding_of('photo_test', e.id) = e.embedding FROM imgvec.photo_test_embedding AS e"
    ).fetchall()
    assert found == [(True, True)] * 2
