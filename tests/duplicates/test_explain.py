"""`imgvec duplicates --explain`: a histogram, precision from decisions, pictures, and where a default comes from."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from photostore import make_collection
from PIL import Image
from psycopg import sql

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.duplicates.thresholds import _precision, default_threshold
from imgvec_pg.embedding.catalog import CATALOGUE
from imgvec_pg.store.collection import Collection

# Degrees of rows 1 to 8: nearest others at 2, 8, 25 and 30 degrees, each of two rows.
ANGLES = {1: 0.0, 2: 2.0, 3: 60.0, 4: 68.0, 5: 120.0, 6: 145.0, 7: 200.0, 8: 230.0}
Ask = Callable[..., str]


@pytest.fixture
def photos(connection: Connection, tmp_path: Path) -> Collection:
    connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.photo (id int PRIMARY KEY, file text)")
    collection = make_collection(connection, root=str(tmp_path))
    for key, degrees in ANGLES.items():
        Image.new("RGB", (8, 8), (10 * key, 0, 0)).save(tmp_path / f"{key}.png")
        connection.execute("INSERT INTO shop.photo VALUES (%s, %s)", [key, f"{key}.png"])
        angle = np.radians(degrees)
        connection.execute(
            "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
            " VALUES (%s, %s, 1, %s, 'x')",
            [
                key,
                str([float(np.cos(angle)), float(np.sin(angle)), 0.0]),
                hashlib.sha256(b"%d" % key).digest(),
            ],
        )
    return collection


@pytest.fixture
def ask(database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    monkeypatch.setenv("IMGVEC_DSN", database)

    def answer(*arguments: str, code: int = 0, err: str = "") -> str:
        assert run(cli, ["duplicates", "photo_test", *arguments]) == code
        said = capsys.readouterr()
        assert err in said.err, said.err
        return said.out

    return answer


def test_five_thresholds_and_a_histogram_are_told_and_nothing_is_written(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    told = json.loads(ask("--explain", "--json"))
    assert (told["rows"], told["sample"], sum(count for *_, count in told["histogram"])) == (8, 8, 8)
    # 1 - cos: of 2 degrees 0.0006, of 8 0.0097, of 25 0.094, of 30 0.134.
    assert [count for *_, count in told["histogram"] if count] == [2, 2, 2, 2]
    levels = told["levels"]
    assert [round(level["threshold"], 3) for level in levels] == [0.99, 0.97, 0.95, 0.92, 0.88]
    assert [level["with_neighbour"] for level in levels] == [0.5, 0.5, 0.5, 0.5, 0.75]
    assert [level["pairs"] for level in levels] == [2, 2, 2, 2, 3]
    shown = [[{one["key"]["id"], one["other"]["id"]} for one in level["examples"]] for level in levels]
    assert shown == [[{3, 4}, {1, 2}], [], [], [], [{5, 6}]]
    assert connection.execute("SELECT to_regclass('imgvec.duplicate_photo_test')").fetchone() == (None,)
    assert "0.95 is wide for models of the CLIP kind" in ask("--explain")
    assert "rows with a neighbour" in ask("--explain", "--threshold", "0.99")


def test_precision_is_of_what_people_decided(connection: Connection, photos: Collection, ask: Ask) -> None:
    ask("--threshold", "0.8")
    for one, other, decision in (
        (1, 2, "same"),
        (3, 4, "not_the_same"),
        (5, 6, "not_the_same"),
        (7, 8, "ignore"),
    ):
        connection.execute(
            "SELECT imgvec.decide_duplicate('photo_test', to_jsonb(%s), to_jsonb(%s), %s)",
            [one, other, decision],
        )
    levels = json.loads(ask("--explain", "--json"))["levels"]
    assert [(level["precision"]["same"], level["precision"]["decided"]) for level in levels] == [
        (1, 2)
    ] * 4 + [(1, 3)]
    assert "1 of 2 (9% to 91%)" in ask("--explain")


def test_the_interval_of_a_share_is_wilsons() -> None:
    found = _precision([(1.0, True)] * 9 + [(1.0, False)] + [(0.5, False)] * 90, 0.9)
    # scipy.stats.binomtest(9, 10).proportion_ci(method="wilson") of scipy 1.16.
    assert found is not None and (found.same, found.decided) == (9, 10)
    assert (found.low, found.high) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert _precision([(0.5, True)], 0.9) is None


def test_a_page_shows_pairs_at_each_threshold(photos: Collection, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "4.png").unlink()
    page = tmp_path / "page.html"
    ask("--explain", "--html", str(page), err=f"pictures: {page}")
    text = page.read_text()
    assert (
        text.count("<h2>") == 5 and text.count("data:image/jpeg") == 5 and text.count("file not found") == 1
    )
    assert len(re.findall("no pair of the sample lies here", text)) == 3
    ask("--html", str(page), code=2, err="give --explain with it")
    ask("--explain", "--html", str(tmp_path / "no" / "page.html"), code=2, err="cannot write")


def test_a_percentile_of_random_pairs_is_a_threshold(
    connection: Connection, photos: Collection, ask: Ask
) -> None:
    ask("--max-percentile", "5", code=1, err="imgvec calibrate")
    assert run(cli, ["calibrate", "photo_test", "--dsn", connection.info.dsn]) == 0
    (distance,) = connection.execute("SELECT imgvec.distance_at('photo_test', 5, 'rows')").fetchone() or (
        0.0,
    )
    ask("--max-percentile", "5")
    found = connection.execute(sql.SQL("SELECT threshold FROM imgvec.photo_test_duplicate_run")).fetchone()
    assert found == (pytest.approx(1 - distance),)
    ask("--max-percentile", "5", "--threshold", "0.9", code=2, err="expected one of them")


@pytest.mark.parametrize("arguments", [["--threshold", "0"], ["--where", "prise < 2"], ["--where", "id < 2"]])
def test_what_cannot_be_explained_is_one_line(photos: Collection, ask: Ask, arguments: list[str]) -> None:
    ask("--explain", *arguments, code=2, err="imgvec: ")


def test_every_model_has_a_default_that_says_whether_it_is_measured() -> None:
    found = {name: default_threshold(name) for name in (*CATALOGUE, "demo", "local-dir:/models/x")}
    measured = {name: found.pop(name)[0] for name in ("demo", "timm/tf_efficientnet_lite0.in1k")}
    assert measured == {"demo": 0.975, "timm/tf_efficientnet_lite0.in1k": 0.8}
    assert {threshold for threshold, _ in found.values()} == {0.95, 0.9}
    assert all("not measured for this model" in told for _, told in found.values())
