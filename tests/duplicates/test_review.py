"""Review of near-duplicates in `imgvec browse`: what differs, decisions by two people at once, the statement offered."""

import re
from threading import Thread
from typing import Any

import numpy as np
import pytest
from colorshop import picture
from flask.testing import FlaskClient
from photostore import as_role, make_collection, new_role
from test_following_runs import search

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.duplicates import review
from imgvec_pg.errors import DatabaseError
from imgvec_pg.pages.application import pages_app
from imgvec_pg.store.collection import Collection

TOKEN = "a-token-that-nobody-guesses"
EVIL = "<img src=x onerror=alert(1)>"
PLACES = {1: 0, 2: 1, 3: 2, 11: 30, 12: 31, 21: 60, 22: 61, 31: 120}
"""Degrees of each row: three groups, and one row alone."""


@pytest.fixture
def photos(connection: Connection) -> Collection:
    connection.execute("CREATE SCHEMA shop")
    connection.execute(
        "CREATE TABLE shop.photo (id bigint PRIMARY KEY, name text, price numeric, picture bytea)"
    )
    for key in PLACES:
        connection.execute(
            "INSERT INTO shop.photo VALUES (%s, %s, 5, %s)",
            [key, EVIL if key == 1 else f"photo {key}", b"no picture" if key == 22 else picture("red")],
        )
    collection = make_collection(connection, image=["picture"], root=None)
    for key, degrees in PLACES.items():
        angle = float(np.radians(degrees))
        connection.execute(
            "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
            " VALUES (%s, %s, 1, sha256(%s::text::bytea), 'fp32')",
            [key, str([float(np.cos(angle)), float(np.sin(angle)), 0.0]), key],
        )
    return collection


@pytest.fixture
def found(connection: Connection, photos: Collection) -> Collection:
    search(connection, photos, threshold=0.99)
    return photos


@pytest.fixture
def client(connection: Connection, found: Collection) -> FlaskClient:
    return visitor(connection.info.dsn)


def visitor(dsn: str) -> FlaskClient:
    client = pages_app(dsn, TOKEN, "photo_test").test_client()
    client.get(f"/?token={TOKEN}")
    return client


def form_of(page: str) -> dict[str, str]:
    """Return what the page's own form for decisions sends."""
    return dict(
        re.findall(r'<input type="hidden" name="(group|seen)" value="(\w+)">', page.split("<footer>")[1])
    )


def members(connection: Connection, *beside: str) -> list[tuple[int, Any]]:
    """Return each row in a group with its number, and what else is asked for beside."""
    columns = ", ".join(("group_id", *beside))
    rows = connection.execute(f"SELECT id, {columns} FROM imgvec.photo_test_duplicate_member ORDER BY id")
    return [(key, found if beside else found[0]) for key, *found in rows]


def decisions(connection: Connection) -> list[str]:
    rows = connection.execute("SELECT decision FROM imgvec.duplicate_decision ORDER BY decided_at, 1")
    return [row[0] for row in rows]


def test_a_group_is_shown_by_what_differs_in_it(client: FlaskClient) -> None:
    page = client.get("/review/")
    assert page.status_code == 200
    assert "3\n    groups of near-duplicates to decide" in page.text
    assert page.text.count('<a class="picture"') == 3 and "keeper, by" in page.text
    # The name and the distance differ, price and size do not.
    assert (
        "<dt>name</dt>" in page.text
        and "<dt>distance</dt>" in page.text
        and "<dt>price</dt>" not in page.text
    )
    assert "price 5" in page.text and "pixels" in page.text.split("The same in all shown")[1]
    assert EVIL not in page.text and "&lt;img src=x" in page.text
    broken = client.get("/review/?after=2").text
    assert "<dt>picture</dt>" in broken and "file bytes" in broken
    assert client.get("/review/?group=99").text.count("is gone, or was decided") == 1
    assert client.get("/review/?group=x&after=-1").status_code == 200


def test_a_rows_page_leads_to_its_group(client: FlaskClient) -> None:
    leads = re.findall(r'href="/review/\?group=(\d+)"', client.get("/row/2").text)
    assert len(leads) == 1 and "photo 2" in client.get(f"/review/?group={leads[0]}").text
    assert "/review/?group=" not in client.get("/row/31").text


def test_one_decision_a_group_until_none_is_left(connection: Connection, client: FlaskClient) -> None:
    for decision, left in (("same", 2), ("keep_both", 1), ("not_the_same", 0)):
        answer = client.post("/review/", data={**form_of(client.get("/review/").text), "decision": decision})
        assert answer.status_code == 303
        page = client.get(answer.headers["Location"]).text
        assert f"{left}\n    group" in page if left else "No group is left to decide" in page
    assert decisions(connection) == ["same"] * 3 + ["keep_both", "not_the_same"]
    # The last one taken back is a question again.
    taken = dict(re.findall(r'name="(group|seen)" value="(\w+)"', page))
    assert client.post("/review/", data={**taken, "decision": ""}).status_code == 303
    assert decisions(connection) == ["same"] * 3 + ["keep_both"]
    assert "1\n    group of" in client.get("/review/").text


def test_what_was_decided_meanwhile_is_shown_and_stays(connection: Connection, client: FlaskClient) -> None:
    seen = form_of(client.get("/review/").text)
    other = form_of(visitor(connection.info.dsn).get("/review/").text)
    assert client.post("/review/", data={**seen, "decision": "keep_both"}).status_code == 303
    refused = client.post("/review/", data={**other, "decision": "not_the_same"})
    assert refused.status_code == 409
    assert f"{connection.info.user} decided keep both about group 1" in refused.text
    assert decisions(connection) == ["keep_both"] * 3
    # In psql too, and of one pair.
    seen = form_of(client.get("/review/").text)
    connection.execute("SELECT imgvec.decide_duplicate('photo_test', '11', '12', 'ignore')")
    assert client.post("/review/", data={**seen, "decision": "same"}).status_code == 409
    assert decisions(connection) == ["keep_both"] * 3 + ["ignore"]


def test_of_two_at_one_moment_the_second_is_told(connection: Connection, found: Collection) -> None:
    state = review.group_state(connection, found, 1)
    assert state is not None
    told: list[str] = []

    def decide(decision: str) -> None:
        with connect(connection.info.dsn) as own:
            try:
                review.decide_group(own, found, 1, decision, state.digest)
            except review.DecidedMeanwhileError as error:
                told.append(str(error))

    both = [Thread(target=decide, args=[decision]) for decision in ("same", "ignore")]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(told) == 1 and "nothing was overwritten" in told[0]
    assert len(set(decisions(connection))) == 1


def test_a_group_that_a_run_made_anew_is_not_decided_by_its_number(
    connection: Connection, found: Collection, client: FlaskClient
) -> None:
    numbers = dict(members(connection))
    seen = form_of(client.get(f"/review/?group={numbers[11]}").text)
    connection.execute("INSERT INTO shop.photo VALUES (13, 'photo 13', 5, %s)", [picture("red")])
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
        " SELECT 13, embedding, 1, sha256('13'), 'fp32' FROM imgvec.photo_test_embedding WHERE id = 11"
    )
    search(connection, found, threshold=0.99, full=True)
    assert (13, numbers[11]) in members(connection)
    refused = client.post("/review/", data={**seen, "decision": "same"})
    assert refused.status_code == 409 and "has changed since you saw it" in refused.text
    assert decisions(connection) == []


def test_a_group_keeps_its_number_when_others_go_and_is_not_written_again(
    connection: Connection, found: Collection, client: FlaskClient
) -> None:
    before = members(connection, "ctid")
    seen = form_of(client.get(f"/review/?group={dict(before)[11][0]}").text)
    connection.execute("DELETE FROM shop.photo WHERE id < 10")
    for full in (False, True):
        search(connection, found, threshold=0.99, full=full)
        assert members(connection, "ctid") == [each for each in before if each[0] >= 10]
    assert client.post("/review/", data={**seen, "decision": "same"}).status_code == 303
    assert decisions(connection) == ["same"]


def test_bad_decisions_are_refused_in_one_line(connection: Connection, client: FlaskClient) -> None:
    seen = form_of(client.get("/review/").text)
    for data, message in (
        ({**seen, "decision": "maybe"}, "the decision is &#39;maybe&#39;; expected same, keep_both"),
        ({"decision": "same"}, "no group is named"),
    ):
        refused = client.post("/review/", data=data)
        assert refused.status_code == 400 and message in refused.text
    assert client.post("/review/", data={**seen, "seen": "0" * 64, "decision": "same"}).status_code == 409
    assert decisions(connection) == []
    assert (
        pages_app(connection.info.dsn, TOKEN, "photo_test").test_client().post("/review/").status_code == 403
    )


def test_the_statement_deletes_what_was_decided_to_be_the_same_and_nothing_else(
    connection: Connection, found: Collection
) -> None:
    statement = review.deletion_of_decided(found).encode()
    assert connection.execute(statement).rowcount == 0
    connection.execute("SELECT imgvec.decide_duplicate_group('photo_test', 1, 'same')")
    connection.execute("SELECT imgvec.decide_duplicate_group('photo_test', 2, 'keep_both')")
    assert connection.execute(statement).rowcount == 2
    left = [row[0] for row in connection.execute("SELECT id FROM shop.photo ORDER BY id")]
    assert left == [1, 11, 12, 21, 22, 31]


def test_a_collection_without_a_run_says_which_command(connection: Connection, photos: Collection) -> None:
    page = visitor(connection.info.dsn).get("/review/")
    assert "run: imgvec duplicates photo_test" in page.text


def test_a_reader_looks_and_may_not_decide(connection: Connection, found: Collection) -> None:
    state = review.group_state(connection, found, 1)
    assert state is not None
    grants = ("imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON shop.photo")
    with new_role(connection, *grants) as role, as_role(connection, role):
        assert review.next_question(connection, found)[1] == 3
        assert len(review.read_members(connection, found, 1, ["name"])) == 3
        with pytest.raises(DatabaseError, match="imgvec_worker decides about duplicates"):
            review.decide_group(connection, found, 1, "same", state.digest)
    assert decisions(connection) == []


def test_keys_of_several_columns_with_odd_names(connection: Connection) -> None:
    connection.execute(
        'CREATE SCHEMA shop; CREATE TABLE shop.photo ("a % b" int, "Id" text, picture bytea, PRIMARY KEY ("a % b", "Id"))'
    )
    connection.execute("INSERT INTO shop.photo SELECT 1, i::text, NULL FROM generate_series(1, 3) AS i")
    collection = make_collection(connection, image=["picture"], root=None)
    connection.execute(
        'INSERT INTO imgvec.photo_test_embedding ("a % b", "Id", embedding, version, content_hash, precision)'
        " SELECT 1, i::text, '[1,0,0]', 1, sha256(i::text::bytea), 'fp32' FROM generate_series(1, 3) AS i"
    )
    search(connection, collection, threshold=0.99)
    assert review.next_question(connection, collection) == (1, 1)
    members = review.read_members(connection, collection, 1, ["Id"])
    assert [member.key for member in members] == [{"a % b": 1, "Id": str(number)} for number in (1, 2, 3)]
    assert "%22a+%25+b%22" in visitor(connection.info.dsn).get("/review/").text.replace("%20", "+")
    state = review.group_state(connection, collection, 1)
    assert state is not None
    assert review.decide_group(connection, collection, 1, "same", state.digest).decision == "same"
    assert connection.execute(review.deletion_of_decided(collection).encode()).rowcount == 2
