"""Saved questions of browse: their rows worked out by hand, their SQL, filters, rights, and what goes with words."""

import html

import numpy as np
import pytest
from flask.testing import FlaskClient
from imgvec_test_embedder import DIMENSIONS
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier
from test_browse_answers import ROWS, items, key, pages, reader, scroll, shown, statement, visitor

from imgvec_pg.database.connect import connect

__all__ = ["items", "pages", "reader"]


def angles(numbers: list[int]) -> np.ndarray:
    """Return the vectors of rows as they are stored, shape (n, 2): the other dimensions are 0."""
    radians = np.radians(numbers)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float16).astype(np.float64)


def from_mean(numbers: list[int]) -> list[int]:
    """Return rows by their distance to the mean of all, the furthest first."""
    rows = angles(numbers)
    middle = rows.mean(axis=0)
    distance = 1 - rows @ middle / np.linalg.norm(rows, axis=1) / np.linalg.norm(middle)
    return [numbers[place] for place in np.argsort(-distance, kind="stable")]


def most_different(numbers: list[int], count: int) -> list[int]:
    """Begin with the most typical; then each time the one whose nearest chosen one is the furthest."""
    rows = angles(numbers)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    chosen = [numbers.index(from_mean(numbers)[-1])]
    while len(chosen) < count:
        nearest = (1 - rows @ rows[chosen].T).min(axis=1)
        nearest[chosen] = -1
        chosen.append(int(np.argmax(nearest)))
    return [numbers[place] for place in chosen]


def test_outliers_are_the_furthest_from_the_mean_down_to_the_last(pages: FlaskClient) -> None:
    found = scroll(pages, {"saved": "outliers"})
    assert sorted(found) == list(range(ROWS)) and found[:6] == from_mean(list(range(ROWS)))[:6]
    # Within a filter the mean is the filter's.
    cheap = [number for number in range(ROWS) if number % 10 <= 1]
    assert scroll(pages, {"saved": "outliers", "max:price": "1"})[:4] == from_mean(cheap)[:4]


def test_the_most_different_begin_with_the_ends(pages: FlaskClient) -> None:
    found = shown(pages.get("/?saved=different").text)
    assert len(found) == len(set(found)) == 48 and found[:3] == most_different(list(range(ROWS)), 3)
    cheap = [number for number in range(ROWS) if number % 10 <= 1]
    filtered = shown(pages.get("/?saved=different&max:price=1").text)
    assert sorted(filtered) == cheap and filtered[:3] == most_different(cheap, 3)
    # With a question the nearest comes first: the row that is asked with.
    near = shown(pages.get("/", query_string={"saved": "different", "like": key(40)}).text)
    assert near[0] == 40 and len(near) == 48


def test_blank_ones_are_nearest_to_one_colour(pages: FlaskClient) -> None:
    """White is (1, 1, ...) of the test's model and black its opposite: the nearest row is that at 45 degrees."""
    found = shown(pages.get("/?saved=blank").text)
    assert found[0] == 45 and set(found[:5]) == {43, 44, 45, 46, 47}
    assert DIMENSIONS > 2


@pytest.mark.parametrize(
    "query",
    [
        {"saved": "outliers"},
        {"saved": "outliers", "has:name": "item", "min:price": "2"},
        {"saved": "different"},
        {"saved": "different", "has:name": "'%s"},
        {"saved": "different", "max:price": "3"},
        {"saved": "different", "q": "red", "min:price": "1"},
        {"saved": "blank"},
        {"saved": "blank", "max:price": "4"},
    ],
)
def test_their_sql_gives_in_psql_what_the_page_shows_in_its_order(
    pages: FlaskClient, items: str, query: dict[str, str]
) -> None:
    answer = pages.get("/", query_string=query)
    assert answer.status_code == 200, answer.text
    with connect(items) as connection:
        rows = connection.execute(statement(answer.text)).fetchall()  # type: ignore[call-overload]
    found = [int(row[1][1:]) for row in rows]
    assert found == shown(answer.text)
    assert bool(found) == ("'%s" not in str(query))


def test_they_show_what_the_role_may_see(reader: str) -> None:
    client = visitor(reader)
    even = [number for number in range(ROWS) if number % 2 == 0]
    assert sorted(scroll(client, {"saved": "outliers"})) == even
    assert shown(client.get("/?saved=outliers").text)[0] in from_mean(even)[:2]
    for saved in ("different", "blank"):
        found = shown(client.get(f"/?saved={saved}").text)
        assert found and set(found) <= set(even)


def test_a_role_that_may_read_some_columns_alone_is_answered(reader: str, items: str) -> None:
    role = Identifier(str(conninfo_to_dict(reader)["user"]))
    columns = SQL('SELECT (tenant, "the ID", price, picture) ON shop.item')
    with connect(items) as connection:
        connection.execute(SQL("REVOKE SELECT ON shop.item FROM {0}; GRANT {1} TO {0}").format(role, columns))
    client = visitor(reader)
    for saved in ("outliers", "different", "blank"):
        answer = client.get(f"/?saved={saved}&max:price=4")
        assert answer.status_code == 200 and shown(answer.text), answer.text


def test_words_lead_away_from_those_that_take_none(pages: FlaskClient) -> None:
    outliers = pages.get("/?saved=outliers").text
    assert 'aria-current="true"' in outliers and "Least like the rest first" in outliers
    assert "near, then" not in outliers
    asked = pages.get("/?saved=outliers&q=red&order=-price").text
    assert "near enough" in asked and 'aria-current="true"' not in asked
    assert 'aria-current="true"' in pages.get("/?saved=different&q=red&order=-price").text
    like = html.unescape(outliers).split("data-like")[0].rsplit("href=", 1)[1]
    assert "like=" in like and "saved" not in like
    refused = pages.get("/?saved=<b>")
    assert refused.status_code == 400 and "there is no saved question" in refused.text
    assert "<b>" not in refused.text


def test_they_answer_beside_another_model(pages: FlaskClient) -> None:
    page = pages.get("/?saved=outliers&beside=item_other").text
    first, second = page.split('<section aria-label="item_other">')
    assert len(shown(first)) == len(shown(second)) == 24
    assert "outliers_item_other" in html.unescape(page)
