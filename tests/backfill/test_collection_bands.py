"""A collection shows the bands that it was made with: of rows, of pictures asked with, and of its successor others."""

import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from imgvec_test_embedder import NAME, ColorGrid
from PIL import Image

from imgvec_pg.backfill.query_server import QueryServer
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.timeouts import Silence
from imgvec_pg.errors import UsageError
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.search.contact_sheet import data_uri
from imgvec_pg.search.images import thumbnail
from imgvec_pg.search.query_client import vector_of_image
from imgvec_pg.sqlalchemy.embed import LocalModel
from imgvec_pg.store.queue.query_requests import claim_requests
from imgvec_pg.store.registry import get_collection

CHOSEN = (5, 3, 2)


def scene(seed: int, count: int) -> npt.NDArray[np.uint16]:
    """Return bands of 16 bits whose levels are far apart; shape (24, 32, count)."""
    chance = np.random.default_rng(seed)
    return (chance.integers(0, 65536, (24, 32, count)) // (np.arange(count) % 3 + 1)).astype(np.uint16)


def tiff(samples: npt.NDArray[np.uint16]) -> bytes:
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, photometric="minisblack", planarconfig="contig")
    return buffer.getvalue()


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((scene(9, 3) >> 8).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


SIX, TWELVE, PLAIN, FOUR = tiff(scene(1, 6)), tiff(scene(2, 12)), png(), tiff(scene(3, 4))


def shown(data: bytes, bands: tuple[int, ...]) -> object:
    vector = ColorGrid().embed_images([decode_image(data, bands=bands)])[0].astype(np.float16)
    return pytest.approx([float(value) for value in vector], abs=1e-3)


def stored(connection: Connection, name: str) -> dict[str, list[float]]:
    rows = connection.execute(f"SELECT name, embedding::text FROM imgvec.{name}_embedding".encode())
    return {key: json.loads(vector) for key, vector in rows}


@pytest.fixture
def scenes(database: str, connection: Connection) -> str:
    """Make the collection `scene`, showing CHOSEN, and fill it; four bands are too few."""
    connection.execute("CREATE TABLE scenes (name text PRIMARY KEY, content bytea)")
    for name, content in (("six", SIX), ("twelve", TWELVE), ("plain", PLAIN), ("four", FOUR)):
        connection.execute("INSERT INTO scenes VALUES (%s, %s)", [name, content])
    make = ["collection", "create", "scene", "--source", "scenes", "--image", "content", "--model", NAME]
    assert run(cli, [*make, "--bands", ",".join(map(str, CHOSEN)), "--dsn", database]) == 0
    assert run(cli, ["backfill", "scene", "--dsn", database]) == 4
    return database


def test_rows_are_embedded_by_the_chosen_bands_and_a_file_with_too_few_fails_alone(
    scenes: str, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stored(connection, "scene") == {
        "six": shown(SIX, CHOSEN),
        "twelve": shown(TWELVE, CHOSEN),
        "plain": shown(PLAIN, ()),
    }
    assert stored(connection, "scene")["six"] != shown(SIX, ())
    capsys.readouterr()
    assert run(cli, ["failures", "scene", "--dsn", scenes]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert "format_denied" in listed and "has 4 bands, its collection shows bands 5, 3, 2" in listed
    assert run(cli, ["collection", "show", "scene", "--dsn", scenes]) == 0
    assert "bands        5, 3, 2" in capsys.readouterr().out
    # The three rows' vectors are what the model gives now.
    assert run(cli, ["verify", "scene", "--sample", "3", "--dsn", scenes]) == 0


def test_a_picture_asked_with_is_shown_as_its_collection_shows_it(
    scenes: str, connection: Connection
) -> None:
    collection = get_collection(connection, "scene")
    assert list(vector_of_image(connection, collection, TWELVE, "process")) == shown(TWELVE, CHOSEN)
    with pytest.raises(UsageError, match="has 4 bands"):
        vector_of_image(connection, collection, FOUR, "process")
    assert list(LocalModel(NAME, bands=CHOSEN).picture(TWELVE)) == shown(TWELVE, CHOSEN)
    with pytest.raises(UsageError, match="have one twice"):
        LocalModel(NAME, bands=(1, 1, 2))


def test_a_worker_that_is_asked_gets_what_the_collection_shows(
    scenes: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = get_collection(connection, "scene")
    server = QueryServer(scenes, collection.model_id, ColorGrid(), Silence())
    asked: list[bytes] = []
    with connect(scenes) as other:

        def by_worker(own: Connection, *arguments: object, image: bytes) -> None:
            asked.append(image)
            own.execute("SELECT imgvec.enqueue_request(%s, NULL, %s, 60000)", [collection.model_id, image])

        monkeypatch.setattr("imgvec_pg.search.query_client._by_worker", by_worker)
        vector_of_image(connection, collection, TWELVE)
        [request] = claim_requests(other, collection.model_id, 5)
        answer = server.answer(request)
    assert answer.embedding is not None and list(answer.embedding) == shown(TWELVE, CHOSEN)
    assert asked[0].startswith(b"\x89PNG")


def test_other_bands_are_a_switch_to_a_successor(
    scenes: str, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["collection", "alias", "scenery", "scene", "--dsn", scenes]) == 0
    switch = ["collection", "switch", "scenery", "--yes", "--accept-missing", "9", "--dsn", scenes]
    assert run(cli, [*switch, "--bands", "5,3,2"]) == 1
    assert "is embedded by color-grid already" in capsys.readouterr().err
    assert run(cli, [*switch, "--bands", "4,3,2"]) == 0
    found = get_collection(connection, "scenery")
    assert (found.name, list(found.bands)) == ("scenery_color_grid_bands_4_3_2", [4, 3, 2])
    assert stored(connection, found.name) == {
        **{name: shown(data, (4, 3, 2)) for name, data in (("six", SIX), ("twelve", TWELVE), ("four", FOUR))},
        "plain": shown(PLAIN, ()),
    }
    assert run(cli, [*switch, "--bands", "none"]) == 0
    assert list(get_collection(connection, "scenery").bands) == []
    capsys.readouterr()
    assert run(cli, [*switch, "--to", "scene", "--bands", "4,3,2"]) == 1
    assert "collection scene has bands 5,3,2, not 4,3,2" in capsys.readouterr().err
    assert run(cli, ["collection", "show", "scenery", "--dsn", scenes]) == 0
    assert "bands        those that a file names" in capsys.readouterr().out


@pytest.mark.parametrize("bands", ["1,2", "1,1,2", "0,1,2", "4,3,nir", "", "4 3 2", "1,2,70000", "red"])
def test_a_choice_that_cannot_be_is_one_line(
    bands: str, database: str, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    connection.execute("CREATE TABLE scenes (name text PRIMARY KEY, content bytea)")
    make = ["collection", "create", "scene", "--source", "scenes", "--image", "content", "--model", NAME]
    assert run(cli, [*make, "--bands", bands, "--dsn", database]) == 2
    told = capsys.readouterr().err
    assert "expected three different numbers from 1, red, green and blue, such as 4,3,2" in told
    assert told.startswith("imgvec: Invalid value for '--bands': ") and told.count("\n") == 1
    assert connection.execute("SELECT count(*) FROM imgvec.collection").fetchone() == (0,)


def test_sheets_and_thumbnails_show_what_the_model_saw(
    scenes: str, connection: Connection, tmp_path: Path
) -> None:
    sheet = tmp_path / "found.html"
    arguments = ["search", "--like", "six", "--html", str(sheet), "--collection", "scene", "--dsn", scenes]
    assert run(cli, arguments) == 0
    assert data_uri(thumbnail(TWELVE, bands=CHOSEN)) in sheet.read_text()
    assert data_uri(thumbnail(TWELVE)) not in sheet.read_text()
