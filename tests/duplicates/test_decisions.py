"""Decisions about duplicates: what they outlive, and that a decided pair is no question again."""

import numpy as np
import psycopg
import pytest
from photostore import embed, make_collection
from test_following_runs import make_table, put, search

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.aliases import create_alias, get_alias
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.switch import switch_alias


@pytest.fixture
def photos(connection: Connection) -> Collection:
    """Give rows 1 to 4, of one place, each a picture of its own, and no queue."""
    collection = make_table(connection)
    connection.execute("INSERT INTO shop.photo SELECT i, i || '.jpg', i FROM generate_series(1, 4) AS i")
    for key in range(1, 5):
        put(connection, key, 1, key / 100)
    connection.execute("DELETE FROM imgvec.job")
    return collection


def questions(connection: Connection, name: str = "photo_test") -> list[tuple[int, int]]:
    return [
        (row[0], row[1])
        for row in connection.execute(
            f"SELECT id, other_id FROM imgvec.duplicate_{name} ORDER BY 1, 2".encode()
        )
    ]


def decide(connection: Connection, name: str, one: int, other: int, decision: str) -> None:
    connection.execute(
        "SELECT imgvec.decide_duplicate(%s, to_jsonb(%s), to_jsonb(%s), %s)", [name, one, other, decision]
    )


@pytest.mark.parametrize("again", ["3", '"3"', '{"id": 3}', '{"id": "3"}'])
def test_a_row_and_itself_are_not_decided_about(
    connection: Connection, photos: Collection, again: str
) -> None:
    statement = "SELECT imgvec.decide_duplicate('photo_test', to_jsonb(3), %s::jsonb, 'same')"
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match="both keys are those of one row, 3; expected two rows"
    ):
        connection.execute(statement, [again])
    assert connection.execute("SELECT count(*) FROM imgvec.duplicate_decision").fetchone() == (0,)


def test_two_rows_of_one_picture_are_decided_about(connection: Connection, photos: Collection) -> None:
    connection.execute(
        "UPDATE imgvec.photo_test_embedding SET content_hash = "
        "(SELECT content_hash FROM imgvec.photo_test_embedding WHERE id = 1) WHERE id = 2"
    )
    decide(connection, "photo_test", 1, 2, "keep_both")
    assert connection.execute("SELECT count(*) FROM imgvec.duplicate_decision").fetchone() == (1,)


@pytest.mark.parametrize("decision", ["not_the_same", "keep_both", "ignore"])
def test_a_decided_pair_is_no_question_however_it_is_found_again(
    connection: Connection, photos: Collection, decision: str
) -> None:
    search(connection, photos)
    assert (1, 2) in questions(connection)
    decide(connection, "photo_test", 2, 1, decision)
    left = [pair for pair in [(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)] if pair != (1, 2)]
    assert questions(connection) == left
    # By runs that follow and a full one; new members; the picture under another key, and back under its own.
    search(connection, photos)
    search(connection, photos, full=True)
    assert questions(connection) == left
    connection.execute("INSERT INTO shop.photo VALUES (5, '5.jpg', 5)")
    put(connection, 5, 1, 1 / 100)
    search(connection, photos)
    asked = questions(connection)
    assert (1, 2) not in asked and (2, 5) not in asked and (1, 5) in asked and (3, 5) in asked
    connection.execute("UPDATE shop.photo SET id = 20 WHERE id = 2")
    search(connection, photos)
    assert not {(1, 20), (5, 20)} & set(questions(connection))
    # Another picture there is a question; the old one again is none.
    put(connection, 20, 1, 0.07, version=2)
    search(connection, photos)
    assert {(1, 20), (5, 20)} <= set(questions(connection))
    put(connection, 20, 1, 2 / 100, version=3)
    search(connection, photos)
    assert not {(1, 20), (5, 20)} & set(questions(connection))


def test_decisions_hold_after_a_switch_to_another_model(connection: Connection, photos: Collection) -> None:
    create_alias(connection, "shown", "photo_test")
    search(connection, photos)
    decide(connection, "shown", 1, 2, "keep_both")
    decide(connection, "shown", 1, 3, "same")
    target = make_collection(connection, name="photo_new", model="test/another", dimensions=3)
    connection.execute("DELETE FROM imgvec.job")
    angles = {key: (float(np.cos(key / 50)), float(np.sin(key / 50)), 0.0) for key in range(1, 5)}
    embed(connection, target, angles)
    # As a worker notes it: the bytes are the same, whatever the model.
    connection.execute(
        "UPDATE imgvec.photo_new_embedding AS n SET content_hash = o.content_hash FROM imgvec.photo_test_embedding AS o"
        " WHERE o.id = n.id"
    )
    switch_alias(connection, get_alias(connection, "shown"), photos, target)
    search(connection, target)
    assert questions(connection, "photo_new") == [(1, 3), (1, 4), (2, 3), (2, 4), (3, 4)]
    decided = connection.execute(
        "SELECT decision FROM imgvec.duplicate_photo_new WHERE id = 1 AND other_id = 3"
    ).fetchone()
    assert decided == ("same",)
    groups = connection.execute(
        "SELECT array_agg(id ORDER BY id) FROM imgvec.duplicate_group_photo_new GROUP BY group_id"
    ).fetchall()
    assert groups and all(not {1, 2} <= set(members) for (members,) in groups)
    decide(connection, "shown", 3, 4, "ignore")
    assert (3, 4) not in questions(connection, "photo_new")


def test_a_group_of_copies_is_decided_by_each_two_pictures_once(
    connection: Connection, photos: Collection
) -> None:
    connection.execute(
        "UPDATE imgvec.photo_test_embedding AS e SET content_hash = sha256('copies'), embedding = o.embedding"
        " FROM imgvec.photo_test_embedding AS o WHERE o.id = 1 AND e.id < 4"
    )
    search(connection, photos)
    connection.execute(
        "CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'twice'; END$$;"
        "CREATE TRIGGER once BEFORE UPDATE ON imgvec.duplicate_decision FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse()"
    )
    # Of three copies and another picture.
    statement = "SELECT imgvec.decide_duplicate_group('photo_test', 1, 'keep_both')"
    assert connection.execute(statement).fetchone() == (6,)
    assert connection.execute("SELECT count(*) FROM imgvec.duplicate_decision").fetchone() == (2,)


def test_a_picture_that_nobody_knows_is_neither_the_same_bytes_nor_decided(
    connection: Connection, photos: Collection
) -> None:
    connection.execute("UPDATE imgvec.photo_test_embedding SET content_hash = '' WHERE id IN (1, 2)")
    search(connection, photos)
    assert connection.execute(
        "SELECT why FROM imgvec.duplicate_photo_test WHERE id = 1 AND other_id = 2"
    ).fetchone() == ("near",)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="a row's picture is not known") as caught:
        decide(connection, "photo_test", 1, 2, "same")
    assert "\n" not in str(caught.value.diag.message_primary)


def test_a_decision_on_a_pair_that_is_gone_is_one_clear_line(
    connection: Connection, photos: Collection
) -> None:
    search(connection, photos)
    connection.execute("DELETE FROM shop.photo WHERE id = 2")
    with pytest.raises(psycopg.errors.NoDataFound) as caught:
        decide(connection, "photo_test", 1, 2, "same")
    assert caught.value.diag.message_primary == 'collection "photo_test" has no embedding for key {"id": 2}'
    with pytest.raises(
        psycopg.errors.NoDataFound, match='collection "photo_test" has no group 77 of duplicates'
    ):
        connection.execute("SELECT imgvec.decide_duplicate_group('photo_test', 77, 'same')")
