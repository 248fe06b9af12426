"""Answers of imgvec browse over a key of two columns: scrolling, order within a cut, the SQL behind, what goes wrong."""

import html
import io
import json
import math
import re
import struct
import zlib
from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest
from colorshop import picture
from flask.testing import FlaskClient
from imgvec_test_embedder import DIMENSIONS, NAME
from photostore import make_collection, new_role

from imgvec_pg.database.connect import connect
from imgvec_pg.pages.application import pages_app
from imgvec_pg.pages.browse.growing_answers import PAGE_ROWS, GrowingAnswer
from imgvec_pg.search.nearest import Neighbour

TOKEN = "a-token-that-nobody-guesses"
EVIL = "<img src=x onerror=alert(1)>"
ROWS = 130
COPIES = {5: 4, 6: 4, 7: 4}
"""Rows that have another row's picture."""


def vector(number: int) -> str:
    angle = math.radians(number)
    return str([math.cos(angle), math.sin(angle), *[0.0] * (DIMENSIONS - 2)])


def hash_of(number: int) -> bytes:
    return b"%032d" % COPIES.get(number, number)


@pytest.fixture(scope="module")
def items(module_database: str) -> str:
    """Make 130 rows a degree apart, row 5, 6 and 7 copies of row 4; every third without a day; row 9's file is gone."""
    with connect(module_database) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            'CREATE TABLE shop.item (tenant int, "the ID" text, name text, price numeric(8,2), made date, passing int,'
            ' picture bytea, PRIMARY KEY (tenant, "the ID"))'
        )
        for number in range(ROWS):
            connection.execute(
                "INSERT INTO shop.item VALUES"
                " (1, %s, %s, %s, CASE WHEN %s THEN NULL ELSE date '2026-01-01' + %s::int END, 1, %s)",
                [
                    f"k{number}",
                    EVIL if number == 3 else f"item {number}",
                    number % 10,
                    number % 3 == 2,
                    (number * 37) % ROWS,
                    b"no picture" if number == 9 else picture("red"),
                ],
            )
        connection.execute("ALTER TABLE shop.item ENABLE ROW LEVEL SECURITY")
        connection.execute("ANALYZE shop.item")
        for name in ("item_test", "item_other"):
            collection = make_collection(
                connection, "shop.item", name, image=["picture"], root=None, model=NAME, dimensions=DIMENSIONS
            )
            for number in range(ROWS):
                connection.execute(
                    f"INSERT INTO imgvec.{collection.embedding_table}"
                    ' (tenant, "the ID", embedding, version, content_hash, precision)'
                    " VALUES (1, %s, %s, 1, %s, 'fp32')",
                    [f"k{number}", vector(number if name == "item_test" else -number), hash_of(number)],
                )
    return module_database


@pytest.fixture(scope="module")
def pages(items: str) -> FlaskClient:
    return visitor(items)


def visitor(dsn: str) -> FlaskClient:
    client = pages_app(dsn, TOKEN, "item_test").test_client()
    assert client.get(f"/?token={TOKEN}").status_code == 303
    return client


def key(number: int) -> str:
    return json.dumps({"tenant": 1, "the ID": f"k{number}"})


def shown(page: str) -> list[int]:
    """Return the numbers of a page's rows in order."""
    keys = re.findall(r'<li class="card[^>]*data-key="([^"]+)"', page)
    return [int(json.loads(html.unescape(found))["the ID"][1:]) for found in keys]


def statement(page: str) -> str:
    return html.unescape(re.findall(r"<pre [^>]*>(.*?)</pre>", page, re.DOTALL)[0])


def scroll(client: FlaskClient, query: dict[str, str], between: object = None) -> list[int]:
    """Ask, then go on to the end as the page's script does."""
    page = client.get("/", query_string=query).text
    found = shown(page)
    while "data-more" in page:
        seen = re.findall(r'data-shown="(\d+)"', page)[0]
        page = client.get("/", query_string={**query, "seen": seen}, headers={"X-Imgvec-Part": "cards"}).text
        found += shown(page)
    return found


@pytest.mark.parametrize(
    "query", [{"like": key(0)}, {}, {"order": "-price"}, {"like": key(0), "order": "price", "cut": "2"}]
)
def test_scrolling_to_the_end_neither_repeats_nor_skips(pages: FlaskClient, query: dict[str, str]) -> None:
    found = scroll(pages, query)
    expected = set(range(ROWS)) - set(COPIES) - ({0} if "like" in query else set())
    assert len(found) == len(set(found)) and set(found) == expected


def test_copies_come_as_one_or_each_by_itself(pages: FlaskClient) -> None:
    folded = pages.get("/", query_string={"like": key(4)}).text
    assert "× 4" not in folded and "× 3" in folded  # the row that is asked with is not counted
    every = scroll(pages, {"like": key(0), "all_rows": "1"})
    assert sorted(every) == list(range(1, ROWS))


def test_what_an_index_finds_late_comes_behind_and_nothing_moves() -> None:
    """An approximate answer for more rows may begin otherwise than that for fewer."""

    def ask(rows: int) -> list[Neighbour]:
        first = [3, 1] if rows < 200 else [3, 2, 1]
        rest = range(10, 10 + rows - len(first))
        return [Neighbour({"id": number}, 0.1, {}) for number in [*first, *rest]]

    answer = GrowingAnswer()
    answer.grow(ask, PAGE_ROWS)
    before = [row.key["id"] for row in answer.rows]
    answer.grow(ask, 300)
    after = [row.key["id"] for row in answer.rows]
    assert after[: len(before)] == before and 2 not in before and 2 in after
    assert len(after) == len(set(after)) >= 300


def test_an_answer_that_is_kept_no_more_is_given_once_more(items: str) -> None:
    """imgvec browse was started again: the page has 48 rows, and gets them with the next ones, to pass over those it has."""
    page = (
        visitor(items)
        .get("/", query_string={"like": key(0), "seen": "48"}, headers={"X-Imgvec-Part": "cards"})
        .text
    )
    assert len(shown(page)) == 96


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"min:price": "8"},
        {"order": "-made"},
        {"like": key(20)},
        {"like": key(20), "all_rows": "1"},
        {"like": key(20), "max:price": "3", "has:name": "item"},
        {"like": key(20), "order": "-made"},
        {"like": key(20), "order": "price", "cut": "0.01", "min:made": "2026-01-05"},
        {"like": key(20), "minus": "red"},
        {"q": "red"},
        {"q": "red", "minus": "blue", "max:price": "2"},
    ],
)
def test_the_sql_behind_gives_in_psql_what_the_page_shows(
    pages: FlaskClient, items: str, query: dict[str, str]
) -> None:
    answer = pages.get("/", query_string=query)
    assert answer.status_code == 200, re.findall(r"role=.alert.>(.*?)<", answer.text)
    with connect(items) as connection:
        rows = connection.execute(statement(answer.text)).fetchall()  # type: ignore[call-overload]
    found = [int(row[1][1:]) for row in rows]
    page = shown(answer.text)
    if query.get("like") or query.get("q"):
        assert set(found[: len(page)]) == set(page)
        if "order" in query:
            assert found[: len(page)] == page
    else:
        # Without a question the statement has rows, and the page their pictures.
        pictures = list(dict.fromkeys(COPIES.get(number, number) for number in found))
        assert pictures == page[: len(pictures)] and len(pictures) >= 20


def test_an_uploaded_picture_asks_and_stands_in_the_address(pages: FlaskClient, items: str) -> None:
    sent = pages.post("/?max:price=3", data={"image": (io.BytesIO(picture("blue")), EVIL)})
    assert sent.status_code == 303 and "picture=" in sent.location and "max%3Aprice=3" in sent.location
    page = pages.get(sent.location)
    assert page.status_code == 200 and len(shown(page.text)) == 48 and EVIL not in page.text
    name = re.findall(r"picture=(\w+)", sent.location)[0]
    assert pages.get(f"/asked/{name}").mimetype == "image/jpeg"
    with connect(items) as connection:
        rows = connection.execute(statement(page.text)).fetchall()  # type: ignore[call-overload]
    assert {int(row[1][1:]) for row in rows} == set(shown(page.text))
    gone = visitor(items).get(f"/?picture={name}")
    assert gone.status_code == 400 and "give it once more" in gone.text


def bomb() -> bytes:
    """Return a PNG of 60,000 x 60,000 pixels in few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"<svg onload=alert(1)>", 400, "cannot be used"),
        (b"", 400, "no picture was given"),
        (bomb(), 400, "cannot be used"),
    ],
)
def test_an_upload_that_is_no_picture_is_told_and_the_page_lives_on(
    pages: FlaskClient, content: bytes, status: int, said: str
) -> None:
    for headers in ({}, {"X-Imgvec-Part": "upload"}):
        refused = pages.post("/", data={"image": (io.BytesIO(content), "x.png")}, headers=headers)
        assert refused.status_code == status and said in html.unescape(refused.text)
    assert pages.get("/").status_code == 200


def test_an_upload_beyond_all_measure_is_not_read(pages: FlaskClient) -> None:
    refused = pages.post(
        "/",
        data=b"x",
        content_type="multipart/form-data; boundary=x",
        headers={"X-Imgvec-Part": "upload"},
        environ_overrides={"CONTENT_LENGTH": str(40 << 20)},
    )
    assert refused.status_code == 413 and "at most 32 MiB" in refused.text


def test_near_enough_then_by_a_column(pages: FlaskClient) -> None:
    page = pages.get("/", query_string={"like": key(0), "order": "-price", "cut": "0.0125"}).text
    # 9 degrees are 0.0123, 10 are 0.0152.
    assert shown(page) == [9, 8, 4, 3, 2, 1]
    assert "6 near enough" in page and 'value="0.0125"' in page
    moved = pages.get(
        "/",
        query_string={"like": key(0), "order": "-price", "cut": "0.001"},
        headers={"X-Imgvec-Part": "cut"},
    ).text
    assert shown(moved) == [2, 1] and "<html" not in moved
    by_day = shown(pages.get("/", query_string={"like": key(0), "order": "made", "cut": "0.0125"}).text)
    assert by_day == [*sorted((1, 3, 4, 9), key=lambda number: (number * 37) % ROWS), *[2, 8]]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"order": "gone"}, 'no column "gone" to order by; expected one of price, made'),
        ({"order": "-name"}, "no column"),
        ({"cut": "wide", "like": key(0), "order": "price"}, "expected a cosine distance, 0 to 2"),
        ({"beside": "nothing", "like": key(0)}, "is no other collection of shop.item"),
        ({"like": "7"}, "does not fit"),
        ({"like": key(999)}, "has no row"),
        ({"picture": "../../etc/passwd"}, "give it once more"),
    ],
)
def test_a_state_that_cannot_be_is_told(pages: FlaskClient, query: dict[str, str], said: str) -> None:
    answer = pages.get("/", query_string=query)
    assert answer.status_code in (400, 404) and said in html.unescape(answer.text)


def test_two_models_answer_side_by_side(pages: FlaskClient) -> None:
    page = pages.get("/", query_string={"like": key(20), "beside": "item_other", "max:price": "5"}).text
    first, second = page.split('<section aria-label="item_other">')
    assert len(shown(first)) == len(shown(second)) == 24 and shown(first) == shown(second)
    assert page.count('class="card both"') == 48 and "24 of the first 24 are in both" in page
    assert "search_item_other" in html.unescape(page)


def test_a_row_has_its_columns_its_duplicates_and_its_like(pages: FlaskClient) -> None:
    page = pages.get(f"/row/{quote(key(4))}")
    assert page.status_code == 200 and "× 4 rows have this picture" in page.text
    assert "<dt>made</dt>" in page.text and "<dd>k4</dd>" in page.text
    duplicates, alike = page.text.split("Near-duplicates")[1].split("Like this")
    assert '"k5' in html.unescape(duplicates) and alike.count("<li>") == 12
    assert EVIL not in page.text and html.escape(EVIL) in page.text
    part = pages.get(f"/row/{quote(key(4))}", headers={"X-Imgvec-Part": "row"})
    assert "<html" not in part.text and part.text.startswith("<article")
    assert pages.get(f"/row/{quote(key(999))}").status_code == 404


def test_a_picture_that_is_none_has_no_page_but_its_row(pages: FlaskClient) -> None:
    assert pages.get(f"/picture/{quote(key(9))}").status_code == 404
    assert pages.get(f"/picture/{quote(key(8))}").mimetype == "image/jpeg"
    assert 9 in shown(pages.get("/", query_string={"like": key(8)}).text)


def test_a_column_that_is_dropped_while_somebody_looks_is_told(items: str, pages: FlaskClient) -> None:
    assert pages.get("/?max:passing=3&order=passing").status_code == 200
    with connect(items) as connection:
        connection.execute("ALTER TABLE shop.item DROP COLUMN passing")
        try:
            assert pages.get("/?max:passing=3").status_code == 400
            assert 'no column "passing" to order by' in html.unescape(pages.get("/?order=passing").text)
            assert pages.get("/").status_code == 200
        finally:
            connection.execute("ALTER TABLE shop.item ADD COLUMN passing int DEFAULT 1")


@pytest.fixture
def reader(items: str) -> Iterator[str]:
    """Give a connection string of a role that may read, and by a policy sees every second row."""
    with (
        connect(items) as connection,
        new_role(connection, "imgvec_reader", "USAGE ON SCHEMA shop", "SELECT ON shop.item") as role,
    ):
        connection.execute(
            "CREATE POLICY even ON shop.item TO imgvec_reader USING (right(\"the ID\", 1) IN ('0', '2', '4', '6', '8'))"
        )
        connection.execute(psycopg.sql.SQL("ALTER ROLE {} LOGIN").format(psycopg.sql.Identifier(role)))
        yield psycopg.conninfo.make_conninfo(items, user=role)
        connection.execute("DROP POLICY even ON shop.item")


def test_a_reader_sees_its_rows_alone_and_writes_nothing(reader: str) -> None:
    client = visitor(reader)
    for query in ({"like": key(20)}, {}, {"order": "price"}, {"like": key(20), "order": "price", "cut": "2"}):
        found = scroll(client, query)
        assert found and all(number % 2 == 0 for number in found)
    assert client.get(f"/picture/{quote(key(21))}").status_code == 404
    assert client.get(f"/row/{quote(key(21))}").status_code == 404
    assert client.get("/", query_string={"like": key(21)}).status_code == 404


def test_a_request_has_one_session_read_only_with_a_time_limit(reader: str, items: str) -> None:
    app = pages_app(reader, TOKEN, "item_test")
    seen = []

    @app.get("/session")
    def session() -> str:
        from flask import current_app

        context = current_app.extensions["imgvec_context"]
        assert context.session() is context.session()
        seen.append(context.session())
        return "|".join(
            context.session().execute(f"SHOW {name}").fetchone()[0]
            for name in ("default_transaction_read_only", "statement_timeout")
        )

    client = app.test_client()
    client.get(f"/?token={TOKEN}")
    assert client.get("/session").text == "on|30s"
    # Between requests it is kept, and belongs to nobody; one that the server ended meanwhile is replaced.
    assert client.get("/session").text == "on|30s" and seen[1] is seen[0]
    with connect(items) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", [seen[0].info.backend_pid])
    assert client.get("/session").text == "on|30s" and seen[2] is not seen[0] and seen[0].closed


def test_a_server_that_went_away_is_told_and_is_asked_again(items: str) -> None:
    app = pages_app(items, TOKEN, "item_test")
    client = app.test_client()
    client.get(f"/?token={TOKEN}")
    context = app.extensions["imgvec_context"]
    object.__setattr__(context, "dsn", psycopg.conninfo.make_conninfo(items, host="/nowhere"))
    away = client.get("/")
    assert (
        away.status_code == 503 and "cannot connect to PostgreSQL" in away.text and "Try again" in away.text
    )
    assert client.get("/", headers={"X-Imgvec-Part": "results"}).status_code == 503
    assert client.get(f"/picture/{quote(key(8))}").status_code == 503
    object.__setattr__(context, "dsn", items)
    assert client.get("/").status_code == 200


def test_pages_have_a_policy_without_inline_script(pages: FlaskClient) -> None:
    page = pages.get("/", query_string={"like": key(4)})
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy and "unsafe" not in policy and "http" not in policy
    own = page.text.replace(html.escape(EVIL), "")
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", own)
    assert not re.search(r'(?:src|href)="https?:', page.text)


def test_nothing_is_fetched_from_elsewhere_and_scripts_are_small() -> None:
    import imgvec_pg.pages

    root = imgvec_pg.pages.__path__[0]
    from pathlib import Path

    scripts = [file for file in Path(root).rglob("*.js") if "map" not in file.parts]
    assert len(scripts) >= 6
    assert sum(len(zlib.compress(file.read_bytes(), 9)) for file in scripts) < 60_000
    for file in [*scripts, *Path(root).rglob("*.css")]:
        assert not re.search(
            r"""(?:import|from|url\(|fetch\()\s*["'(]?https?:""", file.read_text(encoding="utf-8")
        )
