"""`imgvec matrix` with a condition, ordered by likeness, as a page and as a drawing."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from colorshop import COLORS, embed_row, embedding, make_shop, picture, request
from PIL import Image

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.search.operations.similarity_matrix import order_by_likeness
from imgvec_pg.search.similarity_scale import STEPS, PictureMatrix, colour_of, ink_on, shown_similarity
from imgvec_pg.store.collection_ddl import create_collection

ODD = "<img src=x onerror=alert(1)>"


class Parts(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_condition_and_pictures(
    connection: Connection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    make_shop(connection)
    monkeypatch.setenv("IMGVEC_DSN", database)
    page, drawing = tmp_path / "a.html", tmp_path / "a.png"
    assert run(cli, ["matrix", "--where", "true", "--limit", "3", "--json", "--order", "given"]) == 0
    said = capsys.readouterr()
    assert [key["id"] for key in json.loads(said.out)["keys"]] == [1, 2, 3]
    assert said.err == "these are the first 3 rows; --limit takes up to 500\n"

    assert run(cli, ["matrix", "--where", "false", "--json", "--html", str(page)]) == 0
    assert json.loads(capsys.readouterr().out) == {"keys": [], "similarities": []}
    assert not page.exists()
    connection.execute("UPDATE shop.product SET name = %s WHERE id = 2", [ODD])
    assert run(cli, ["matrix", "--where", "true", "--html", str(page), "--png", str(drawing), "--csv"]) == 0
    said = capsys.readouterr()
    assert said.err == f"page: {page}\ndrawing: {drawing}\n"
    order = said.out.splitlines()[0].split(",")[1:]
    assert sorted(order) == [str(number) for number in range(1, len(COLORS) + 1)]
    parts = Parts(page.read_text(encoding="utf-8"))
    images = parts.named("img")
    assert len(images) == 2 * len(COLORS)
    assert all((one["src"] or "").startswith("data:image/jpeg;base64,") for one in images)
    # In the order of the numbers printed; a name is text.
    assert [(one["alt"] or "").split()[0] for one in images[: len(order)]] == order
    assert f"2 {ODD}" in [one["alt"] for one in images]
    assert not parts.named("script") and not any("onerror" in one for one in images)
    assert len([one for one in parts.named("td") if one.get("title")]) == len(COLORS) ** 2
    with Image.open(drawing) as opened:
        assert opened.format == "PNG"


def test_one_row_and_pictures_that_vanished(
    connection: Connection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    connection.execute("CREATE TABLE photo (id text PRIMARY KEY, path text)")
    photos = create_collection(connection, request("photos", "photo", image=["path"], root=str(tmp_path)))
    for key, color in ((ODD, "red"), ("b", "red"), ("c", "blue")):
        connection.execute("INSERT INTO photo VALUES (%s, %s)", [key, f"{color}.png"])
        embed_row(connection, photos, [key], embedding(color))
    (tmp_path / "red.png").write_bytes(picture("red"))
    (tmp_path / "blue.png").write_bytes(b"no picture")
    monkeypatch.setenv("IMGVEC_DSN", database)
    page, drawing = tmp_path / "a.html", tmp_path / "a.png"
    assert run(cli, ["matrix", ODD, "b", "c", "--html", str(page), "--png", str(drawing)]) == 0
    assert "1 picture cannot be shown (not a readable image: 1)\n" in capsys.readouterr().err
    (tmp_path / "red.png").unlink()
    assert run(cli, ["matrix", ODD, "--html", str(page), "--png", str(drawing)]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("1 picture cannot be shown (file not found: 1)\n")
    parts = Parts(page.read_text(encoding="utf-8"))
    assert not parts.named("img")
    assert [one.get("class") for one in parts.named("span")].count("missing") == 2
    connection.execute("DELETE FROM imgvec.photos_embedding WHERE id = 'b'")
    assert run(cli, ["matrix", "b", "--html", str(tmp_path / "none.html")]) == 1
    assert "has no embedding" in capsys.readouterr().err
    assert not (tmp_path / "none.html").exists()


def test_order_finds_groups_again_that_were_shuffled() -> None:
    random = np.random.default_rng(7)
    centres = random.normal(size=(5, 32))
    groups = np.repeat(np.arange(5), 12)
    random.shuffle(groups)
    vectors = centres[groups] + 0.2 * random.normal(size=(60, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = order_by_likeness((vectors @ vectors.T).astype(np.float32))
    assert sorted(order) == list(range(60))
    assert np.count_nonzero(np.diff(groups[order])) == 4
    # A line of points, shuffled, is a line again.
    angles = np.linspace(0, 1.2, 20)[(places := random.permutation(20))]
    line = np.cos(angles[:, None] - angles[None, :]).astype(np.float32)
    assert np.abs(np.diff(places[order_by_likeness(line)])).mean() < 1.7


def test_order_of_equal_rows_and_of_one() -> None:
    assert order_by_likeness(np.ones((4, 4), dtype=np.float32)) == [0, 1, 2, 3]
    assert order_by_likeness(np.ones((1, 1), dtype=np.float32)) == [0]


def test_colours_rise_in_lightness_and_numbers_are_legible() -> None:
    def luminance(step: int) -> float:
        bands = [band / 255 for band in colour_of(step)]
        linear = [band / 12.92 if band <= 0.04045 else ((band + 0.055) / 1.055) ** 2.4 for band in bands]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    levels = [luminance(step) for step in range(STEPS)]
    assert levels == sorted(levels)
    for step, level in enumerate(levels):
        ink = 0.0 if ink_on(colour_of(step)) == (0, 0, 0) else 1.0
        assert (max(ink, level) + 0.05) / (min(ink, level) + 0.05) >= 4.5
    equal = PictureMatrix(["a"], np.full((1, 1), 1.0000001, dtype=np.float32), ["none"], "", [])
    assert (equal.lowest, equal.steps().tolist()) == (0.95, [[STEPS - 1]])
    assert [shown_similarity(value) for value in (1.0, 0.9996, 0.998, 0.5, -0.001, -1.0)] == [
        "1",
        "1",
        "0.99",
        "0.50",
        "0.00",
        "−1.00",
    ]
