"""A column of vectors becomes a collection: what is the model's is copied, the rest embedded, and what is another's refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from outside_vectors import ROWS, Outside, embed_outside, write_quickgelu_model
from psycopg import sql

from imgvec_pg.adoption import copying
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.store.registry import find_collections

Create = Callable[..., tuple[int, str, str]]
Vectors = np.ndarray[Any, Any]
COMMAND = ("collection", "create", "--image", "photo")


def make_items(
    connection: Connection, outside: Outside, vectors: Vectors, *, column: str = "vector", norm: float = 1.0
) -> None:
    """Make the table item with pictures and somebody's vectors beside them."""
    connection.execute(
        sql.SQL("CREATE TABLE item (id bigint PRIMARY KEY, photo bytea, embedding {})").format(
            sql.SQL(column)
        )  # type: ignore[arg-type]
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO item VALUES (%s, %s, %s)",
            [
                (key, photo, str((norm * vector).tolist()))
                for key, (photo, vector) in enumerate(zip(outside.photos, vectors, strict=True), 1)
            ],
        )


@pytest.fixture
def create(database: str, outside: Outside, capsys: pytest.CaptureFixture[str]) -> Create:
    """Run `imgvec collection create item_clip --adopt public.item.embedding` in this process."""

    def call(
        *options: str, model: str | None = None, column: str = "public.item.embedding"
    ) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(
            cli,
            [
                *COMMAND,
                "item_clip",
                "--source",
                "public.item",
                "--device",
                "cpu",
                "--adopt",
                column,
                "--model",
                model or outside.model,
                "--dsn",
                database,
                *options,
            ],
        )
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def backfill(database: str, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    def call() -> str:
        capsys.readouterr()
        assert (
            run(cli, ["backfill", "item_clip", "--device", "cpu", "--precision", "fp32", "--dsn", database])
            == 0
        )
        captured = capsys.readouterr()
        return captured.out + captured.err

    return call


def precisions(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT precision, count(*) FROM imgvec.item_clip_embedding GROUP BY precision")
    return {str(name): int(count) for name, count in rows}


def queued(connection: Connection) -> list[int]:
    rows = connection.execute("SELECT k ->> 'id' FROM imgvec.job, jsonb_array_elements(keys) AS k")
    return sorted(int(key) for (key,) in rows)


def least_cosine(connection: Connection, outside: Outside) -> float:
    """Return the least cosine between what the collection holds and what the model gives."""
    right = outside.vectors["right"].astype(np.float64)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    rows = connection.execute(
        "SELECT id, embedding::text FROM imgvec.item_clip_embedding ORDER BY id"
    ).fetchall()
    assert [key for key, _ in rows] == list(range(1, ROWS + 1))
    held = np.array([json.loads(vector) for _, vector in rows])
    return float(((held * right).sum(axis=1) / np.linalg.norm(held, axis=1)).min())


@pytest.mark.parametrize(("column", "norm"), [("vector(32)", 7.5), ("halfvec", 1.0), ("vector", 1e-3)])
def test_right_column_is_adopted_whatever_its_type_and_norm(
    connection: Connection, outside: Outside, create: Create, column: str, norm: float
) -> None:
    unit = outside.vectors["right"] / np.linalg.norm(outside.vectors["right"], axis=1, keepdims=True)
    make_items(connection, outside, unit, column=column, norm=norm)
    code, out, err = create()
    assert code == 0, err
    assert f"made by {outside.model}, 1.0000 (median of 50)" in out
    assert f"{ROWS} vectors adopted from public.item.embedding" in out
    assert ("not normalised" in out) == (norm != 1.0)
    assert precisions(connection) == {"adopted": ROWS}
    assert queued(connection) == []
    assert least_cosine(connection, outside) > 0.99999


def test_model_is_found_by_itself_where_it_is_not_named(
    connection: Connection, outside: Outside, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_MODEL_DIR", str(outside.folder.parent))
    make_items(connection, outside, outside.vectors["right"])
    code, out, err = create(model="auto")
    assert code == 0, err
    assert f"item_clip: public.item by {outside.model} (32 dimensions)" in out
    [made] = find_collections(connection, "item_clip")
    assert (made.model_name, made.dimensions, made.has_text) == (outside.model, 32, True)


@pytest.mark.parametrize(
    ("way", "variant"), [("plain", "without quickgelu"), ("other_mean", "with ImageNet's mean and std")]
)
def test_column_that_was_made_wrong_is_told_and_refused(
    connection: Connection, outside: Outside, create: Create, way: str, variant: str
) -> None:
    make_items(connection, outside, outside.vectors[way])
    code, out, err = create()
    assert code == 1
    assert f"made by {outside.model} {variant}, 1.0000 (median of 50)" in out
    assert err.strip().splitlines()[-1].startswith("imgvec: public.item.embedding is not adopted: made by ")
    assert "leave out --adopt to embed all rows" in err
    assert find_collections(connection) == []
    assert connection.execute("SELECT count(*) FROM imgvec.model").fetchone() == (0,)


def test_column_of_nobody_here_is_refused(connection: Connection, outside: Outside, create: Create) -> None:
    make_items(connection, outside, np.random.default_rng(3).normal(size=(ROWS, 32)))
    code, out, err = create()
    assert code == 1
    assert "by none of 16 candidates; best " in out
    assert "name the model that made it" in err
    assert find_collections(connection) == []


def other_weights(outside: Outside, place: Path) -> Vectors:
    """Return what another model of as many dimensions gives for the same pictures."""
    folder = write_quickgelu_model(place / "other", seed=4)
    return embed_outside(folder, outside.folder.parent / "photos", place / "other.npz")["right"]


@pytest.mark.parametrize("by_key", [False, True])
def test_rows_of_another_maker_are_left_out_and_embedded(
    connection: Connection,
    outside: Outside,
    create: Create,
    backfill: Callable[[], str],
    tmp_path: Path,
    by_key: bool,
) -> None:
    # Plain GELU can be told by the keys alone: the same weights give vectors too much alike.
    others = np.arange(ROWS) < 90 if by_key else np.random.default_rng(8).random(ROWS) < 0.3
    theirs = outside.vectors["plain"] if by_key else other_weights(outside, tmp_path)
    make_items(connection, outside, np.where(others[:, None], theirs, outside.vectors["right"]))
    wrong = set((np.flatnonzero(others) + 1).tolist())
    code, out, err = create("--left-out", str(tmp_path / "left.jsonl"))
    assert code == 0, err
    assert (f"by {outside.model} without quickgelu, 1.0000" in out) == by_key
    assert "rows drawn from those to be adopted agree" in out
    rows = connection.execute("SELECT id FROM imgvec.item_clip_embedding").fetchall()
    adopted = {key for (key,) in rows}
    assert not adopted & wrong
    assert len(adopted) > 0.7 * (ROWS - len(wrong))
    assert queued(connection) == sorted(set(range(1, ROWS + 1)) - adopted)
    left = [json.loads(line) for line in (tmp_path / "left.jsonl").read_text().splitlines()]
    assert sorted(row["key"]["id"] for row in left) == queued(connection)
    assert {row["reason"] for row in left} == {"disagrees"}
    backfill()
    assert least_cosine(connection, outside) > 0.99999
    assert precisions(connection) == {"adopted": len(adopted), "fp32": ROWS - len(adopted)}


def test_makers_that_alternate_and_are_too_much_alike_are_refused(
    connection: Connection, outside: Outside, create: Create
) -> None:
    others = np.random.default_rng(8).random(ROWS) < 0.4
    make_items(
        connection, outside, np.where(others[:, None], outside.vectors["plain"], outside.vectors["right"])
    )
    code, out, err = create()
    assert code == 1
    assert f"by {outside.model} without quickgelu, 1.0000" in out
    assert "neither their keys nor their vectors tell them from the others" in err
    assert "adopt the column of a view" in err
    assert find_collections(connection) == []


def test_few_changed_pictures_are_embedded_and_stop_nothing(
    connection: Connection, outside: Outside, create: Create
) -> None:
    make_items(connection, outside, outside.vectors["right"])
    connection.execute("UPDATE item SET photo = %s WHERE id IN (17, 118, 222, 271)", [outside.photos[3]])
    code, out, err = create("--sample", "200")
    assert code == 0, err
    assert "disagree, {" in out
    assert set(queued(connection)) == {17, 118, 222, 271} & set(queued(connection))
    assert len(queued(connection)) >= 2


def test_bad_vectors_and_missing_ones_are_embedded_anew(
    connection: Connection, outside: Outside, create: Create, backfill: Callable[[], str]
) -> None:
    make_items(connection, outside, outside.vectors["right"])
    connection.execute("UPDATE item SET embedding = NULL WHERE id <= 10")
    connection.execute("UPDATE item SET embedding = embedding - embedding WHERE id BETWEEN 11 AND 15")
    connection.execute("UPDATE item SET embedding = '[1,2,3]' WHERE id BETWEEN 16 AND 20")
    code, out, err = create()
    assert code == 0, err
    assert "5 vectors of 3 dimensions" in out
    assert "5 of them have norm 0" in out
    assert "10 rows without a vector" in out
    assert "5 rows left out: norm 0" in out
    assert "5 rows left out: other dimensions" in out
    assert precisions(connection) == {"adopted": ROWS - 20}
    assert queued(connection) == list(range(1, 21))
    backfill()
    assert least_cosine(connection, outside) > 0.99999


def test_column_of_a_table_beside_is_adopted_by_its_foreign_key(
    connection: Connection, outside: Outside, create: Create
) -> None:
    make_items(connection, outside, outside.vectors["right"])
    connection.execute("CREATE TABLE clip (item_id bigint UNIQUE REFERENCES item, vec halfvec(32))")
    connection.execute("INSERT INTO clip SELECT id, embedding FROM item WHERE id > 20")
    code, _, err = create(column="public.clip.vec")
    assert code == 0, err
    assert precisions(connection) == {"adopted": ROWS - 20}
    assert queued(connection) == list(range(1, 21))


def test_table_beside_with_a_key_twice_is_refused(
    connection: Connection, outside: Outside, create: Create
) -> None:
    make_items(connection, outside, outside.vectors["right"])
    connection.execute("CREATE TABLE clip (item bigint, vec vector(32))")
    connection.execute("INSERT INTO clip SELECT id, embedding FROM item")
    assert "name them with --adopt-key COLUMN" in create(column="clip.vec")[2]
    connection.execute("INSERT INTO clip SELECT id, embedding FROM item WHERE id = 4")
    code, _, err = create("--adopt-key", "item", column="clip.vec")
    assert code == 1
    assert "1 keys of public.clip have more than one row (item), expected one vector for each" in err
    assert find_collections(connection) == []


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("public.item.photo", "public.item.photo is bytea; expected a column of vector or halfvec"),
        ("public.item.vector", 'public.item has no column "vector"; it has: id, photo, embedding'),
        ("embedding", "'embedding' names no column of a table; expected schema.table.column"),
        ("public.nothing.embedding", 'table "public.nothing" does not exist'),
    ],
)
def test_what_is_no_column_of_vectors_is_refused(
    connection: Connection, outside: Outside, create: Create, column: str, said: str
) -> None:
    make_items(connection, outside, outside.vectors["right"])
    code, _, err = create(column=column)
    assert code in (1, 2)
    assert said in err.replace('"public"."nothing"', "public.nothing").replace(
        '"public"."item"', "public.item"
    )


def test_interrupted_adoption_goes_on(
    connection: Connection, outside: Outside, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_items(connection, outside, outside.vectors["right"])
    monkeypatch.setattr(copying, "PAGE_ROWS", 64)
    copy_page, pages = copying._copy_page, []

    def stopped(*arguments: Any) -> Any:
        if len(pages) == 2:
            raise KeyboardInterrupt
        pages.append(arguments)
        return copy_page(*arguments)

    monkeypatch.setattr(copying, "_copy_page", stopped)
    assert create()[0] == 130
    assert precisions(connection) == {"adopted": 128}
    monkeypatch.setattr(copying, "_copy_page", copy_page)
    code, out, err = create()
    assert code == 0, err
    assert f"{ROWS - 128} vectors adopted" in out
    assert precisions(connection) == {"adopted": ROWS}
    assert least_cosine(connection, outside) > 0.99999
    code, _, err = create()
    assert code == 1
    assert "exists already and its rows are enqueued: fill it with imgvec backfill item_clip" in err


def test_adopted_rows_follow_their_pictures_with_the_old_column_dropped(
    connection: Connection, outside: Outside, create: Create, backfill: Callable[[], str]
) -> None:
    make_items(connection, outside, outside.vectors["right"])
    assert create()[0] == 0
    connection.execute("ALTER TABLE item DROP COLUMN embedding")
    assert precisions(connection) == {"adopted": len(outside.photos)}
    connection.execute("UPDATE item SET photo = %s WHERE id = 7", [outside.photos[99]])
    assert queued(connection) == [7]
    backfill()
    near = connection.execute(
        "SELECT n.id, n.distance FROM imgvec.near_item_clip_row(7) AS n ORDER BY n.distance LIMIT 1"
    ).fetchall()
    assert near == [(100, pytest.approx(0.0, abs=1e-5))]


def test_search_over_adopted_rows_is_that_over_embedded_ones(
    connection: Connection, database: str, outside: Outside, create: Create, backfill: Callable[[], str]
) -> None:
    make_items(connection, outside, outside.vectors["right"])
    assert create()[0] == 0
    assert (
        run(
            cli,
            [*COMMAND, "item_embedded", "--source", "item", "--model", outside.model, "--dsn", database],
        )
        == 0
    )
    assert (
        run(cli, ["backfill", "item_embedded", "--device", "cpu", "--precision", "fp32", "--dsn", database])
        == 0
    )
    for key in (1, 50, 299):
        rows = [
            connection.execute(
                sql.SQL("SELECT n.id FROM imgvec.{} (%s) AS n ORDER BY n.distance, n.id LIMIT 10").format(
                    sql.Identifier(f"near_{name}_row")
                ),
                [key],
            ).fetchall()
            for name in ("item_clip", "item_embedded")
        ]
        assert rows[0] == rows[1]


def test_reconcile_and_verify_take_no_adopted_row_for_a_changed_one(
    connection: Connection,
    database: str,
    outside: Outside,
    create: Create,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_items(connection, outside, outside.vectors["right"])
    assert create()[0] == 0
    capsys.readouterr()
    assert run(cli, ["collection", "reconcile", "item_clip", "--contents", "--dsn", database]) == 0
    assert capsys.readouterr().out.startswith("0 rows enqueued")
    options = ["--sample", "20", "--contents", "--device", "cpu", "--precision", "fp32", "--dsn", database]
    assert run(cli, ["verify", "item_clip", *options]) == 0, capsys.readouterr().out


def test_dry_run_changes_nothing(connection: Connection, outside: Outside, create: Create) -> None:
    make_items(connection, outside, outside.vectors["right"])
    code, out, _ = create("--dry-run")
    assert code == 0
    assert "made by" in out and "nothing was changed" in out
    assert find_collections(connection) == []


def test_auto_without_a_column_is_refused(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["item_clip", "--source", "item", "--image", "photo", "--model", "auto", "--dsn", database]
    assert run(cli, ["collection", "create", *arguments]) == 2
    assert "--model auto asks a column of vectors who made it" in capsys.readouterr().err
