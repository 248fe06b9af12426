"""Filters of imgvec browse: offered by the columns' types and statistics, kept in the address, refused where they do not fit."""

import html
import re

import pytest
from colorshop import COLORS, picture, request
from flask.testing import FlaskClient
from imgvec_test_embedder import ColorGrid

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import connect
from imgvec_pg.errors import UsageError
from imgvec_pg.pages.application import pages_app
from imgvec_pg.search.filters import condition, find_filters
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.registry import get_collection

TOKEN = "a-token-that-nobody-guesses"
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def goods(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make 40 rows: five of each colour, with prices 0.5 to 20, each in stock where its number is even."""
    root = tmp_path_factory.mktemp("goods")
    with connect(module_database) as connection:
        connection.execute("CREATE TYPE size AS ENUM ('small', 'it''s \\ 50% {large}')")
        connection.execute(
            'CREATE TABLE goods (id int PRIMARY KEY, name text, file text, shade varchar(40), "per ""kg%" numeric,'
            " in_stock boolean, sold timestamptz, size size, parts jsonb)"
        )
        for number in range(40):
            color = list(COLORS)[number % 8]
            # A picture of its own for each row, as copies come as one.
            (root / f"{number}.png").write_bytes(picture(color, size=(16 + number, 24)))
            connection.execute(
                "INSERT INTO goods VALUES (%s, %s, %s, %s, %s, %s, date '2026-01-01' + %s::int + time '12:00',"
                " (enum_range(NULL::size))[1 + %s %% 2], '{}')",
                [
                    number,
                    f"{number} 100% {color}",
                    f"{number}.png",
                    EVIL if color == "yellow" else color,
                    (number + 1) / 2,
                    number % 2 == 0,
                    number,
                    number,
                ],
            )
        connection.execute("ANALYZE goods")
        list_source(
            connection,
            create_collection(connection, request("goods", "goods", image=["file"], root=str(root))),
        )
        Worker(module_database, "goods", ColorGrid(), PipelineOptions()).run()
    return module_database


@pytest.fixture(scope="module")
def pages(goods: str) -> FlaskClient:
    client = pages_app(goods, TOKEN, "goods").test_client()
    assert client.get(f"/?token={TOKEN}").status_code == 303
    return client


def shown(page: str) -> list[str]:
    """Return the names of a page's rows."""
    return [
        html.unescape(name)
        for name in re.findall(r'<li class="card.*?<img src="[^"]*" alt="([^"]+)"', page, re.DOTALL)
    ]


def test_columns_are_offered_by_their_types_and_statistics(goods: str) -> None:
    with connect(goods) as connection:
        found = {item.name: item for item in find_filters(connection, get_collection(connection, "goods"))}
    kinds = {name: item.kind for name, item in found.items()}
    assert kinds == {
        "name": "text",
        "shade": "category",
        'per "kg%': "number",
        "in_stock": "boolean",
        "sold": "date",
        "size": "category",
    }
    price = found['per "kg%']
    assert (float(price.low), float(price.high)) == (0.5, 20)
    assert found["sold"].low == "2026-01-01"
    assert dict(found["shade"].values)["red"] == 5
    assert [value for value, _ in found["size"].values] == ["small", "it's \\ 50% {large}"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({'max:per "kg%': "2"}, range(4)),
        ({'min:per "kg%': "19.5", "is:in_stock": "true"}, [38]),
        ({"is:in_stock": "false", 'max:per "kg%': "2"}, [1, 3]),
        ({"min:sold": "2026-02-08"}, [38, 39]),
        ({"max:sold": "2026-01-01"}, [0]),
        ({"has:name": "0%  ".strip(), 'max:per "kg%': "1"}, [0, 1]),
        ({"has:name": "_"}, []),
        ({"is:size": "it's \\ 50% {large}", 'max:per "kg%': "2"}, [1, 3]),
        ({"is:shade": ["red", EVIL], 'max:per "kg%': "4"}, None),
    ],
)
@pytest.mark.parametrize("asked", [{}, {"q": "red"}, {"like": "5"}])
def test_filters_leave_the_rows_that_meet_them(
    pages: FlaskClient, goods: str, chosen: dict[str, str], expected: list[int] | None, asked: dict[str, str]
) -> None:
    found = pages.get("/", query_string={**asked, **chosen})
    assert found.status_code == 200, found.text
    numbers = {int(name.split()[0]) for name in shown(found.text)}
    if expected is None:
        with connect(goods) as connection:
            expected = [
                row[0]
                for row in connection.execute(
                    "SELECT id FROM goods WHERE shade = ANY (%s) AND id < 8", [["red", EVIL]]
                )
            ]
    assert numbers == {number for number in expected if str(number) != asked.get("like")}
    assert EVIL not in found.text


def test_the_address_is_the_state(pages: FlaskClient) -> None:
    """A form's empty fields leave it; a link to more of the same and to another order keeps its filters."""
    sent = {"q": "red", "min:sold": "", "is:in_stock": "true"}
    found = pages.get("/", query_string=sent)
    assert (found.status_code, found.headers["Location"]) == (303, "/?q=red&is%3Ain_stock=true")
    page = html.unescape(pages.get("/?is:in_stock=true&q=red").text)
    assert "/?like=0&is%3Ain_stock=true" in page
    assert len(set(shown(page))) == 20 and "Show more" not in page
    assert 'value="true" checked' in pages.get("/?is:in_stock=true").text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"max:gone": "1"}, 'no column "gone" to filter by; expected one of name, '),
        ({'max:per "kg%': "cheap"}, '"cheap"; expected a number'),
        ({'max:per "kg%': "NaN"}, "expected a number"),
        ({'max:per "kg%': "1e999999"}, "expected a number"),
        ({"min:sold": "yesterday"}, "expected a day such as 2026-01-31"),
        ({"max:sold": "9999-12-31"}, "expected a day such as 2026-01-31"),
        ({"is:in_stock": "1) OR (true"}, 'is no filter of "in_stock"'),
        ({"is:size": "huge"}, "PostgreSQL does not take the condition"),
        ({"min:name": "a"}, 'is no filter of "name"'),
        ({"has:name": "a\0b"}, "NUL character"),
    ],
)
def test_a_filter_that_does_not_fit_is_refused_on_the_page(
    pages: FlaskClient, query: dict[str, str], said: str
) -> None:
    found = pages.get("/", query_string=query)
    assert found.status_code == 400
    assert said in html.unescape(found.text) and shown(found.text) == []


def test_a_column_that_is_dropped_meanwhile_is_told(pages: FlaskClient, goods: str) -> None:
    with connect(goods) as connection:
        connection.execute("ALTER TABLE goods ADD COLUMN passing int")
        assert pages.get("/?max:passing=3").status_code == 200
        connection.execute("ALTER TABLE goods DROP COLUMN passing")
        found = pages.get("/?max:passing=3")
        assert found.status_code == 400 and 'no column "passing"' in html.unescape(found.text)
        assert pages.get("/").status_code == 200


def test_values_are_literals(goods: str) -> None:
    with connect(goods) as connection:
        filters = find_filters(connection, get_collection(connection, "goods"))
        made = condition(connection, filters, [("is:shade", "x') OR true --"), ("q", "red"), ("is:size", "")])
        assert made == """"shade" IN ('x'') OR true --')"""
        assert condition(connection, filters, [("q", "red")]) is None
        with pytest.raises(UsageError, match="no column"):
            condition(connection, filters, [("is:id", "1")])
