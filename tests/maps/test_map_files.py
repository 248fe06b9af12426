"""Maps as a drawing, as a page in one file, and as bytes for a browser."""

import base64
import hashlib
import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from colorshop import picture
from PIL import Image
from requires import requires
from test_map_relations import KINDS, Ask, ask, photos, put

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.maps.colours import CATEGORIES, OTHER, cluster_colours, scale_colours
from imgvec_pg.maps.make_map import MapOptions, make_map
from imgvec_pg.maps.map_tables import NamedCluster
from imgvec_pg.maps.pack import pack, shuffled
from imgvec_pg.maps.read_map import read_map, rows_at
from imgvec_pg.store.collection import Collection

pytestmark = requires("openTSNE")
__all__ = ["ask", "photos"]


@pytest.fixture
def drawn(connection: Connection, photos: Collection, tmp_path: Path) -> Collection:
    """Give rows with a map; all but one have a picture."""
    for key in range(1, 36):
        (tmp_path / f"{key}.jpg").write_bytes(picture("red"))
    make_map(connection, photos, MapOptions(clusters=3))
    return photos


def test_a_map_is_read_with_colours_by_cluster_by_values_and_by_numbers(
    connection: Connection, drawn: Collection
) -> None:
    by_cluster = read_map(connection, drawn)
    assert len({tuple(colour) for colour in by_cluster.colours.tolist()}) == 3
    by_kind = read_map(connection, drawn, "kind")
    assert sorted(name for name, _ in by_kind.legend) == sorted(KINDS)
    told = {
        tuple(place): tuple(colour)
        for place, colour in zip(by_kind.places.tolist(), by_kind.colours.tolist(), strict=True)
    }
    found = rows_at(connection, drawn, [(x, y) for x, y in told])
    for at, (place, colour) in zip(found, told.items(), strict=True):
        assert at is not None
        kind = KINDS[at.key["id"] % 3]
        assert dict(by_kind.legend)[kind] == "#{:02x}{:02x}{:02x}".format(*colour), place
    connection.execute("UPDATE shop.photo SET price = NULL WHERE id = 3")
    by_price = read_map(connection, drawn, "price")
    assert by_price.is_scale and OTHER in {tuple(colour) for colour in by_price.colours.tolist()}
    with pytest.raises(UsageError, match='no column "colour" to colour by; expected cluster or one of'):
        read_map(connection, drawn, "colour")
    assert rows_at(connection, drawn, [(1e6, 0.0)]) == [None]


def test_the_bytes_for_a_browser_hold_each_point_with_its_cluster_and_colour(
    connection: Connection, drawn: Collection
) -> None:
    shown = read_map(connection, drawn)
    sent = pack(shown, drawn, shuffled(36))
    length = int.from_bytes(sent[:4], "little")
    head = json.loads(sent[4 : 4 + length])
    assert (head["count"], length % 4) == (36, 0)
    places = np.frombuffer(sent, "<f4", 72, 4 + length).reshape(-1, 2)
    clusters = np.frombuffer(sent, "<u2", 36, 4 + length + 288)
    assert len(sent) == 4 + length + 36 * (8 + 2 + 3)
    by_place = dict(zip(map(tuple, shown.places.tolist()), shown.clusters.tolist(), strict=True))
    assert all(
        by_place[tuple(place)] == cluster
        for place, cluster in zip(places.tolist(), clusters.tolist(), strict=True)
    )
    assert sum(cluster["rows"] for cluster in head["clusters"]) == 36
    rows = connection.execute(
        head["select"] + " polygon '((-500,-500),(-500,500),(500,500),(500,-500))' @> point(m.x, m.y)"
    )
    assert len(rows.fetchall()) == 36


def test_the_page_lets_only_its_own_script_in_and_names_are_text(
    drawn: Collection, ask: Ask, tmp_path: Path
) -> None:
    html, png = tmp_path / "map.html", tmp_path / "map.png"
    ask(
        "photo_test",
        "--html",
        str(html),
        "--png",
        str(png),
        "--root",
        str(tmp_path),
        err="1 picture cannot be shown",
    )
    text = html.read_text(encoding="utf-8")
    assert "<b>cup" not in text
    script, style = (re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL) for tag in ("script", "style"))
    for found, directive in ((script, "script-src"), (style, "style-src")):
        assert found is not None
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in text
    assert "http:" not in text.split("<body>")[1] and "https:" not in text.split("<body>")[1]
    with Image.open(io.BytesIO(png.read_bytes())) as image:
        assert image.size == (1600, 1200)
        colours = {colour for _, colour in image.convert("RGB").getcolors(maxcolors=2**24) or []}
    assert len(colours & set(CATEGORIES)) >= 3


def test_a_map_that_is_there_is_drawn_as_it_is_and_others_are_told(
    connection: Connection, drawn: Collection, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = connection.execute("SELECT ended_at FROM imgvec.photo_test_map_run").fetchone()
    ask("photo_test", "--png", str(tmp_path / "map.png"), "--color-by", "price", "--root", str(tmp_path))
    assert connection.execute("SELECT ended_at FROM imgvec.photo_test_map_run").fetchone() == made
    ask(
        "photo_test",
        "--png",
        str(tmp_path / "no" / "map.png"),
        code=2,
        err="expected a file in an existing folder",
    )
    monkeypatch.setattr("imgvec_pg.cli.search.write_map.MOST_POINTS", 35)
    ask(
        "photo_test",
        "--html",
        str(tmp_path / "map.html"),
        code=2,
        err="the map has 36 points; expected 35 at most for --html",
    )
    connection.execute("DELETE FROM shop.photo WHERE id > 0")
    put(connection, 99)
    ask(
        "photo_test",
        "--update",
        "--html",
        str(tmp_path / "map.html"),
        "--png",
        str(tmp_path / "map.png"),
        err="placing 1",
    )


def test_clusters_beside_each_other_have_different_colours() -> None:
    row = [NamedCluster(number, str(number), 10.0 * number, 0.0) for number in range(24)]
    colours = cluster_colours(row)
    assert len(set(colours.values())) == len(CATEGORIES)
    for first, second in itertools.pairwise(row):
        assert colours[first.number] != colours[second.number]


def test_a_scale_leaves_what_is_no_number_grey() -> None:
    colours, low, high = scale_colours(np.array([np.nan, np.inf, 1.0, 3.0]))
    assert colours[:2].tolist() == [list(OTHER)] * 2 and 1 <= low < high <= 3
    assert scale_colours(np.array([np.nan]))[0].tolist() == [list(OTHER)]
    assert np.unique(scale_colours(np.full(4, 7.0))[0], axis=0).shape == (1, 3)
