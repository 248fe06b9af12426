"""Several collections of one source in one process: one decoded picture for all."""

import io
import json
import random
import re
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from imgvec_lines_embedder import ColorLines
from imgvec_test_embedder import ColorGrid
from PIL import Image
from workers import imgvec, picture, random_picture, wait_until

from imgvec_pg.backfill.batch import shared_decoding
from imgvec_pg.backfill.batch.shared_decoding import SharedDecoding, prepare_picture
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.embedding.resize import Resize
from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.shrink import decode_resized
from imgvec_pg.images.rendering.version import FIRST, NEWEST
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.spec import CollectionSpec

ROWS = 150


def make_shop(connection: Connection, rows: int) -> None:
    """Make a table of pictures with one collection for each of two models, and a third over another table."""
    connection.execute(
        "CREATE TABLE photo (id integer PRIMARY KEY, content bytea); CREATE TABLE other (id integer PRIMARY KEY, content bytea)"
    )
    draw = random.Random(5)
    with connection.cursor() as cursor, cursor.copy("COPY photo FROM STDIN") as copy:
        for number in range(1, rows + 1):
            copy.write_row((number, random_picture(draw)))
    for name, relation, model, dimensions in (
        ("grid", "photo", "color-grid", 12),
        ("lines", "photo", "color-lines", 27),
        ("elsewhere", "other", "color-grid", 12),
    ):
        request = CollectionSpec(
            name=name, source=relation, image=["content"], model=model,
            dimensions=dimensions, has_text=True,
        )  # fmt: skip
        list_source(connection, create_collection(connection, request))


def test_one_backfill_fills_both_and_decodes_each_picture_once(
    connection: Connection, database: str, plugin_environment: dict[str, str]
) -> None:
    make_shop(connection, ROWS)
    connection.execute("INSERT INTO photo VALUES (1000, 'no picture')")
    done = imgvec(database, plugin_environment, "backfill", "--collections", "grid,lines", "--json")
    assert done.returncode == 4, done.stderr
    assert f"{ROWS} pictures decoded for {2 * ROWS} embeddings" in done.stderr
    told = json.loads(done.stdout)
    assert [(one["collection"], one["embedded"], one["failed"]) for one in told] == [
        ("grid", ROWS, 1),
        ("lines", ROWS, 1),
    ]
    for name, model in (("grid", ColorGrid()), ("lines", ColorLines())):
        content, stored = connection.execute(
            f"SELECT content, embedding::vector FROM photo JOIN imgvec.{name}_embedding USING (id) WHERE id = 77"
        ).fetchone() or (b"", "")
        expected = model.embed_images([decode_image(content)])[0]
        assert json.loads(stored) == pytest.approx(expected.tolist(), abs=2e-3)
    # One of the two is full: the other alone is filled again, and nothing is prepared for nobody.
    connection.execute(
        "DELETE FROM imgvec.lines_embedding; UPDATE imgvec.collection SET listed_at = NULL, listing_after = NULL"
    )
    again = imgvec(database, plugin_environment, "backfill", "--collections", "grid,lines")
    assert f"{ROWS} pictures decoded for {ROWS} embeddings" in again.stderr
    assert f"lines: {ROWS} images embedded" in again.stdout


def test_collections_of_several_sources_share_the_model_and_no_pictures(
    connection: Connection, database: str, plugin_environment: dict[str, str]
) -> None:
    make_shop(connection, 20)
    connection.execute(
        "INSERT INTO other SELECT * FROM photo WHERE id <= 5; INSERT INTO other SELECT id + 100, content FROM photo"
    )
    environment = {**plugin_environment, "IMGVEC_COLLECTIONS": "grid,lines,elsewhere"}
    done = imgvec(database, environment, "backfill", "--json")
    assert done.returncode == 0, done.stderr
    # At most 20 of each source: within one, five rows have a picture that another row has, and what the other source's
    # collections have by then is copied.
    decoded = re.search(r"(\d+) pictures decoded for 65 embeddings", done.stderr)
    assert decoded is not None and 20 <= int(decoded[1]) <= 40, done.stderr
    assert [(one["collection"], one["embedded"]) for one in json.loads(done.stdout)] == [
        ("grid", 20),
        ("lines", 20),
        ("elsewhere", 25),
    ]
    # One that is named goes before; one alone is worked as if it were named.
    assert "lines: 0 images" in imgvec(database, environment, "backfill", "lines").stdout
    environment["IMGVEC_COLLECTIONS"] = "elsewhere"
    assert "elsewhere: 0 images" in imgvec(database, environment, "backfill").stdout


def test_together_what_cannot_be(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_shop(connection, 0)
    for arguments, message in (
        (["backfill", "grid", "--collections", "lines"], "name collections once"),
        (["backfill", "--collections", "grid,grid"], "names a collection twice"),
        (
            ["backfill", "--collections", "grid,elsewhere", "--root", "."],
            "--root is for one source, these collections",
        ),
        (["backfill", "--collections", "grid,lines", "--workers", "2"], "--workers is for one collection"),
        (["backfill", "--collections", "grid,lines", "--limit", "2"], "--limit is for one collection"),
        (["worker", "--collections", "grid,lnes"], 'collection "lnes" does not exist'),
    ):
        assert run(cli, [*arguments, "--dsn", database]) in (1, 2)
        assert message in capsys.readouterr().err


def test_a_picture_is_shared_by_its_bytes_and_a_bad_one_fails_for_all() -> None:
    decoded: list[bytes] = []

    def decode(data: bytes, *, rendering: int) -> Image.Image:
        decoded.append(data)
        return decode_image(data, rendering=rendering)

    pictures = SharedDecoding(decode)
    working = True
    grid = pictures.join(ColorGrid(), lambda: True)
    lines = pictures.join(ColorLines(), lambda: working)
    red, blue = picture((255, 0, 0)), picture((0, 0, 255))
    assert len(pictures.prepare(grid, red).prepared) == 12
    assert len(pictures.prepare(lines, red).prepared) == 27
    assert len(pictures.prepare(lines, blue).prepared) == 27
    assert (
        pictures.prepare(grid, blue).prepared.tolist()
        == ColorGrid().prepare_image(decode_image(blue)).tolist()
    )
    assert (len(decoded), pictures.shared) == (2, 2)
    for model in (grid, lines):
        with pytest.raises(ImageError):
            pictures.prepare(model, b"no picture")
    working = False
    pictures.prepare(grid, red)
    assert pictures._kept == {}


def test_models_that_begin_with_one_resize_share_what_is_decoded_for_it() -> None:
    resize = Resize(24, 24, keeps_aspect=True, resampling=int(Image.Resampling.BICUBIC), crops=True)
    asked: list[object] = []

    class Resizing(ColorGrid):
        first_resize: Resize | None = resize

    class Otherwise(ColorGrid):
        first_resize = replace(resize, width=32, height=32)

    def decode(data: bytes, wanted: Resize | None = None, *, rendering: int) -> Image.Image:
        asked.append(wanted)
        return decode_resized(data, wanted, rendering)

    data = random_picture(random.Random(4))
    pictures = SharedDecoding(decode)
    models = [pictures.join(Resizing(), lambda: True) for _ in range(2)]
    alone = prepare_picture(Resizing(), data).prepared.tolist()
    assert [pictures.prepare(model, data).prepared.tolist() for model in models] == [alone] * 2
    assert asked == [resize]
    pictures.join(Otherwise(), lambda: False)
    pictures.prepare(models[0], data)
    assert asked == [resize, None]


def test_pictures_of_two_renderings_are_not_shared() -> None:
    pictures = SharedDecoding(decode_image)
    older, newer = (pictures.join(ColorGrid(), lambda: True) for _ in range(2))
    samples = np.linspace(0, 1023, 64).reshape(8, 8).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "PNG")
    made = [
        pictures.prepare(older, buffer.getvalue(), FIRST),
        pictures.prepare(newer, buffer.getvalue(), NEWEST),
    ]
    assert made[0].prepared.max() < 4 and made[1].prepared.max() > 128
    assert pictures.shared == 0


def test_many_threads_share() -> None:
    pictures = SharedDecoding()
    models: list[Any] = [pictures.join(ColorGrid(), lambda: True), pictures.join(ColorLines(), lambda: True)]
    draw = random.Random(1)
    data = [random_picture(draw) for _ in range(200)]

    def ask(model: Any) -> None:
        for one in data:
            pictures.prepare(model, one)

    threads = [threading.Thread(target=ask, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert pictures.decoded == len(data)
    assert pictures.shared == len(data)
    assert pictures._kept_bytes == 0


def test_a_model_that_changes_the_picture_in_place_spoils_no_other() -> None:
    class Careless(ColorGrid):
        def prepare_image(self, image: Image.Image) -> Any:
            image.paste((0, 0, 0), (0, 0, *image.size))
            return super().prepare_image(image)

    pictures = SharedDecoding(decode_image)
    models = [
        pictures.join(model, lambda: True) for model in (Careless(), ColorGrid(), Careless(), ColorGrid())
    ]
    data = random_picture(random.Random(3))
    expected = ColorGrid().prepare_image(decode_image(data)).tolist()
    assert [pictures.prepare(model, data).prepared.tolist() == expected for model in models] == [
        False,
        True,
        False,
        True,
    ]
    assert pictures.decoded == 1


def test_a_model_that_stands_still_is_not_waited_for_until_it_asks_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_decoding, "AHEAD_PICTURES", 3)
    pictures = SharedDecoding(decode_image)
    fast, slow = (pictures.join(ColorGrid(), lambda: True) for _ in range(2))
    red = picture((255, 0, 0))

    def ask(times: int) -> threading.Thread:
        asking = threading.Thread(target=lambda: [pictures.prepare(fast, red) for _ in range(times)])
        asking.start()
        return asking

    held = ask(4)
    wait_until(lambda: fast.asked == 3, "three to be asked for")
    held.join(1.2)
    assert (fast.asked, held.is_alive()) == (3, True)
    slow.asked_at -= shared_decoding.STANDING_SECONDS
    held.join(300)
    freely = ask(20)
    freely.join(300)
    assert (fast.asked, freely.is_alive()) == (24, False)
