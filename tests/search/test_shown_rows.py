"""Which rows are shown first where nothing was asked, and what people call rows."""

import pytest
from colorshop import embed_row, embedding
from photostore import make_collection

from imgvec_pg.database.connect import Connection
from imgvec_pg.search.display_columns import label_rows
from imgvec_pg.search.rows import newest_rows
from imgvec_pg.store.collection import Collection


def make(connection: Connection, columns: str, values: str, key: str = "id", **changes: object) -> Collection:
    """Make a table of three rows and a collection over it."""
    connection.execute(f"CREATE TABLE thing ({columns}, photo text, PRIMARY KEY ({key}))")
    connection.execute(f"INSERT INTO thing VALUES {values}")
    return make_collection(
        connection, "thing", "things", image=["photo"], model="m", dimensions=12, **changes
    )


@pytest.mark.parametrize(
    ("columns", "values", "key", "keys"),
    [
        ("id int", "(1, 'a'), (2, 'b'), (10, 'c')", "id", [[1], [2], [10]]),
        ("id text", "('a', 'a'), ('b', 'b'), ('c', 'c')", "id", [["a"], ["b"], ["c"]]),
        ("t int, id int", "(1, 9, 'a'), (2, 1, 'b'), (2, 3, 'c')", "t, id", [[1, 9], [2, 1], [2, 3]]),
    ],
)
@pytest.mark.parametrize("limit", [2, 3])
def test_of_rows_embedded_at_one_moment_the_last_key_comes_first(
    connection: Connection, columns: str, values: str, key: str, keys: list[list[object]], limit: int
) -> None:
    things = make(connection, columns, values, key)
    with connection.transaction():
        for each in keys:
            embed_row(connection, things, each, embedding("red"))
    newest = [list(row.key.values()) for row in newest_rows(connection, things, ["photo"], limit)]
    assert newest == keys[::-1][:limit]
    # A later moment goes before a higher key.
    connection.execute("UPDATE imgvec.things_embedding SET embedded_at = now() WHERE id::text IN ('1', 'a')")
    first = next(iter(newest_rows(connection, things, ["photo"], limit)))
    assert str(first.key["id"]) in ("1", "a")


@pytest.mark.parametrize(
    ("columns", "values", "labels"),
    [
        ("id int, name text, title text", "(1, 'n', 'T', 'x/a.jpg'), (2, 'm', NULL, 'b.jpg')", {"1": "T"}),
        ("id int, name text", "(1, 'red shoe', 'x/a.jpg'), (2, 'hat', NULL)", {"1": "red shoe", "2": "hat"}),
        ("id int, price int", "(1, 5, 'x/a.jpg'), (2, 6, NULL)", {"1": "x/a.jpg"}),
    ],
)
def test_rows_are_called_by_title_name_or_path(
    connection: Connection, columns: str, values: str, labels: dict[str, str]
) -> None:
    things = make(connection, columns, values)
    assert label_rows(connection, things, [{"id": 1}, {"id": 2}, {"id": 3}]) == labels
    assert label_rows(connection, things, []) == {}


def test_rows_of_several_key_columns_are_called_by_name_too(connection: Connection) -> None:
    things = make(connection, "t int, id int, name text", "(1, 9, 'hat', 'a')", "t, id")
    assert label_rows(connection, things, [{"t": 1, "id": 9}]) == {"t=1, id=9": "hat"}
