"""diverse_* and outliers_* against the same in numpy."""

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
from vectorstore import DIMENSIONS, make_items, vectors

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.aliases import create_alias
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.spec import CollectionSpec

ROWS = 400


@pytest.fixture(scope="module")
def items(module_database: str) -> Iterator[Connection]:
    with connect(module_database) as connection:
        make_items(connection, ROWS)
        create_alias(connection, "item_alias", "item_test")
        yield connection


def stored() -> np.ndarray:
    return vectors(ROWS).astype(np.float16).astype(np.float64)


def distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    scaled = [side / np.linalg.norm(side, axis=-1, keepdims=True) for side in (left, right)]
    return np.asarray(1 - scaled[0] @ scaled[1].T)


def marginal_relevance(
    query: np.ndarray, k: int, diversity: float, candidates: int, keys: list[int]
) -> list[int]:
    """Choose as Carbonell and Goldstein's formula says, over distances."""
    rows = stored()[np.array(keys) - 1]
    to_query = distances(rows, query[None])[:, 0]
    rest = list(np.argsort(to_query, kind="stable")[:candidates])
    between = distances(rows, rows)
    chosen: list[int] = []
    while rest and len(chosen) < k:
        marks = [
            (1 - diversity) * to_query[i] - diversity * (min(between[i, j] for j in chosen) if chosen else 0)
            for i in rest
        ]
        chosen.append(rest.pop(int(np.argmin(marks))))
    return [keys[i] for i in chosen]


@pytest.mark.parametrize("name", ["item_test", "item_alias"])
@pytest.mark.parametrize(
    ("k", "diversity", "candidates", "every"),
    [(10, 0.5, 200, 1), (10, 0, 50, 1), (8, 1, 100, 3), (100, 0.7, 400, 2)],
)
def test_diverse_is_maximal_marginal_relevance(
    items: Connection, name: str, k: int, diversity: float, candidates: int, every: int
) -> None:
    query = vectors(1, 3)[0].astype(np.float16).astype(np.float64)
    keys = [key for key in range(1, ROWS + 1) if key % every == 0]
    found = items.execute(
        f"SELECT id, distance FROM imgvec.diverse_{name}(%s, %s, %s, %s, %s)",  # type: ignore[arg-type]
        [str(query.tolist()), k, keys, diversity, candidates],
    ).fetchall()
    assert [row[0] for row in found] == marginal_relevance(query, k, diversity, candidates, keys)
    expected = distances(stored(), query[None])[:, 0]
    assert [row[1] for row in found] == pytest.approx([expected[row[0] - 1] for row in found], abs=1e-6)


def test_without_among_all_rows_are_looked_at_and_the_answer_is_spread_wider_than_the_nearest(
    items: Connection,
) -> None:
    query = str(stored()[6].tolist())
    found = [row[0] for row in items.execute("SELECT id FROM imgvec.diverse_item_test(%s, 10)", [query])]
    nearest = [row[0] for row in items.execute("SELECT id FROM imgvec.search_item_test(%s, 10)", [query])]
    assert found[0] == nearest[0] == 7 and len(set(found)) == 10

    def closest_pair(keys: list[int]) -> float:
        between = distances(stored()[np.array(keys) - 1], stored()[np.array(keys) - 1])
        return float(between[np.triu_indices(len(keys), 1)].min())

    assert closest_pair(found) > closest_pair(nearest)


@pytest.mark.parametrize("every", [1, 7])
def test_outliers_are_farthest_from_the_mean(items: Connection, every: int) -> None:
    keys = [key for key in range(1, ROWS + 1) if key % every == 0]
    rows = stored()[np.array(keys) - 1]
    expected = distances(rows, rows.mean(axis=0)[None])[:, 0]
    order = np.argsort(-expected, kind="stable")[:5]
    among = ", %s" if every > 1 else ""
    found = items.execute(
        f"SELECT id, distance FROM imgvec.outliers_item_test(5{among})",  # type: ignore[arg-type]
        [keys] if every > 1 else [],
    ).fetchall()
    assert [row[0] for row in found] == [keys[i] for i in order]
    assert [row[1] for row in found] == pytest.approx(expected[order].tolist(), abs=1e-6)


def test_no_row_gives_no_row(items: Connection) -> None:
    query = str(stored()[6].tolist())
    for call in (
        "diverse_item_test(%s, 10, ARRAY[]::bigint[])",
        "diverse_item_test(%s, 10, ARRAY[100000]::bigint[])",
    ):
        assert items.execute(f"SELECT * FROM imgvec.{call}", [query]).fetchall() == []  # type: ignore[arg-type]
    assert items.execute("SELECT * FROM imgvec.outliers_item_test(10, ARRAY[]::bigint[])").fetchall() == []


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("diverse_item_test(NULL)", "the query vector is NULL"),
        ("diverse_item_test('[1,2]')", "2 dimensions"),
        ("diverse_item_test('{query}', 101)", "k must be 1 to 100, not 101"),
        ("diverse_item_test('{query}', 5, NULL)", "among is NULL"),
        ("diverse_item_test('{query}', 5, diversity => 1.5)", "diversity is 1.5; expected 0 to 1"),
        (
            "diverse_item_test('{query}', 5, candidates => 4)",
            "candidates must be k to 1000, here 5 to 1000, not 4",
        ),
        ("outliers_item_test(0)", "k must be 1 to 10000, not 0"),
        ("outliers_item_test(5, NULL)", "among is NULL"),
    ],
)
def test_bad_arguments_are_told(items: Connection, call: str, told: str) -> None:
    asked = call.format(query=stored()[6].tolist())
    with pytest.raises(psycopg.Error, match=told):
        items.execute(f"SELECT * FROM imgvec.{asked}")  # type: ignore[arg-type]


def test_keys_of_two_columns_and_rows_that_a_role_may_not_see(connection: Connection) -> None:
    connection.execute(
        "CREATE SCHEMA shop;"
        "CREATE TABLE shop.item (tenant integer, id bigint, picture bytea, PRIMARY KEY (tenant, id));"
        "INSERT INTO shop.item SELECT i % 2, i, 'x' FROM generate_series(1, 40) AS i"
    )
    made = create_collection(
        connection, CollectionSpec("pair_test", "shop.item", ["picture"], "test/48", DIMENSIONS, True)
    )
    for key, vector in enumerate(vectors(40), 1):
        connection.execute(
            "INSERT INTO imgvec.pair_test_embedding (tenant, id, embedding, version, content_hash, precision)"
            " VALUES (%s, %s, %s, 1, %s, 'fp32')",
            [key % 2, key, str(vector.tolist()), key.to_bytes(4, "big")],
        )
    assert made.key_columns == ["tenant", "id"]
    query = str(vectors(40)[4].tolist())
    among = "ARRAY(SELECT ROW(tenant, id)::imgvec.pair_test_key FROM shop.item WHERE id < 20)"
    diverse = f"SELECT tenant, id FROM imgvec.diverse_pair_test('{query}', 5, {among})"
    outliers = f"SELECT tenant, id FROM imgvec.outliers_pair_test(5, {among})"
    for statement in (diverse, outliers):
        found = connection.execute(statement.encode()).fetchall()
        assert len(set(found)) == 5 and all(tenant == key % 2 and key < 20 for tenant, key in found)
    connection.execute(
        "ALTER TABLE shop.item ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY one ON shop.item USING (tenant = 1);"
        "GRANT USAGE ON SCHEMA shop TO imgvec_reader; GRANT SELECT ON shop.item TO imgvec_reader"
    )
    reconcile(connection, made)
    with connection.transaction():
        connection.execute("SET LOCAL ROLE imgvec_reader")
        for statement in (diverse, outliers, "SELECT tenant, id FROM imgvec.outliers_pair_test(40)"):
            found = connection.execute(statement.encode()).fetchall()
            assert found and all(tenant == 1 for tenant, _ in found)
