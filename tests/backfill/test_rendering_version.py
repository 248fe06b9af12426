"""A collection keeps the rendering of its rows until it is brought to the newest; blank pictures are noted."""

import io
import json
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pytest
from imgvec_test_embedder import DIMENSIONS, NAME, ColorGrid
from PIL import Image
from workers import PATIENCE_SECONDS

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.query_server import QueryServer
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.timeouts import Silence
from imgvec_pg.errors import UsageError
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.rendering.version import FIRST, NEWEST
from imgvec_pg.search.query_client import vector_of_image
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity import rendering
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.integrity.verify import verify_collection
from imgvec_pg.store.integrity.verify_images import path_reader
from imgvec_pg.store.queue.query_requests import claim_requests
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec


def plain(seed: int, kind: str = "PNG") -> bytes:
    """Return 8-bit sRGB: the same pixels by any rendering."""
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), kind)


def ten_bits(seed: int) -> bytes:
    """Return 10 bits in 16, which the first rendering shows nearly black."""
    pixels = np.random.default_rng(seed).integers(0, 1024, (24, 32)).astype(np.uint16)
    pixels[0, :2] = 0, 1023
    return encoded(Image.fromarray(pixels), "PNG")


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


PICTURES = {
    1: plain(1),
    2: ten_bits(2),
    3: plain(3, "JPEG"),
    4: ten_bits(4),
    5: plain(5, "WEBP"),
    6: plain(6),
    7: ten_bits(7),
}
CHANGED = (2, 4, 7)


def make(connection: Connection, pictures: dict[int, bytes] = PICTURES, version: int = FIRST) -> Collection:
    connection.execute("CREATE TABLE photo (id int PRIMARY KEY, content bytea)")
    for key, content in pictures.items():
        connection.execute("INSERT INTO photo VALUES (%s, %s)", [key, content])
    spec = CollectionSpec("photo_grid", "photo", ["content"], NAME, DIMENSIONS, True)
    made = create_collection(connection, spec)
    assert made.rendering == NEWEST
    connection.execute("UPDATE imgvec.collection SET rendering = %s", [version])
    list_source(connection, made)
    return get_collection(connection)


def backfill(database: str, embedder: Any = None) -> None:
    Worker(database, "photo_grid", embedder or ColorGrid(), PipelineOptions(batch_size=4)).run()


def stored(connection: Connection) -> dict[int, list[float]]:
    rows = connection.execute("SELECT id, embedding::text FROM imgvec.photo_grid_embedding ORDER BY id")
    return {key: json.loads(vector) for key, vector in rows}


def vector(data: bytes, version: int) -> list[float]:
    made: npt.NDArray[np.float32] = ColorGrid().embed_images([decode_image(data, rendering=version)])[0]
    return [float(value) for value in made.astype(np.float16)]


def expected(version: int, keys: Sequence[int] = tuple(PICTURES)) -> dict[int, Any]:
    return {key: pytest.approx(vector(PICTURES[key], version), abs=1e-3) for key in keys}


def test_the_ten_bit_pictures_are_what_the_renderings_differ_in() -> None:
    far = {
        key: np.abs(np.subtract(vector(data, FIRST), vector(data, NEWEST))).max()
        for key, data in PICTURES.items()
    }
    assert {key for key, distance in far.items() if distance > 0.1} == set(CHANGED)
    assert {key for key, distance in far.items() if distance == 0.0} == PICTURES.keys() - set(CHANGED)


def test_a_collection_keeps_its_rendering_for_rows_and_queries(database: str, connection: Connection) -> None:
    collection = make(connection)
    backfill(database)
    assert stored(connection) == expected(FIRST)
    asked = vector_of_image(connection, collection, PICTURES[2], "process")
    assert list(asked) == pytest.approx(vector(PICTURES[2], FIRST), abs=1e-3)
    connection.execute("UPDATE imgvec.collection SET rendering = %s", [NEWEST])
    asked = vector_of_image(connection, get_collection(connection), PICTURES[2], "process")
    assert list(asked) == pytest.approx(vector(PICTURES[2], NEWEST), abs=1e-3)


def test_a_request_that_names_a_model_is_rendered_by_the_newest_of_its_collections(
    database: str, connection: Connection
) -> None:
    collection = make(connection)
    with connect(database) as other:
        server = QueryServer(database, collection.model_id, ColorGrid(), Silence())
        for version in (FIRST, NEWEST):
            connection.execute("UPDATE imgvec.collection SET rendering = %s", [version])
            connection.execute(
                "SELECT imgvec.enqueue_request(%s, NULL, %s, 60000)", [collection.model_id, PICTURES[2]]
            )
            [request] = claim_requests(other, collection.model_id, 5)
            answer = server.answer(request)
            assert answer.embedding is not None
            assert list(answer.embedding) == pytest.approx(vector(PICTURES[2], version), abs=1e-3)
            connection.execute("DELETE FROM imgvec.embedding_request")


def test_retry_lists_and_embeds_anew_the_rows_that_change_and_no_others(
    database: str, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    make(connection)
    backfill(database)
    before = dict(connection.execute("SELECT id, embedded_at FROM imgvec.photo_grid_embedding").fetchall())
    dry = ["retry", "photo_grid", "--rendering", "--dry-run", "--json", "--dsn", database]
    assert run(cli, dry) == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(row["key"]["id"] for row in told["changed"]) == list(CHANGED)
    assert all(row["difference"] > 20 for row in told["changed"])
    assert (told["compared"], told["enqueued"], told["rendering"]) == (7, 0, FIRST)
    assert get_collection(connection).rendering == FIRST
    assert run(cli, ["retry", "photo_grid", "--rendering", "--dsn", database]) == 0
    assert "7 rows compared, the pixels of 3 change; 3 enqueued" in capsys.readouterr().out
    collection = get_collection(connection)
    assert (collection.rendering, collection.rendering_from) == (NEWEST, None)
    backfill(database)
    assert stored(connection) == expected(NEWEST)
    after = dict(connection.execute("SELECT id, embedded_at FROM imgvec.photo_grid_embedding").fetchall())
    assert {key for key in after if after[key] != before[key]} == set(CHANGED)
    assert verify_collection(connection, collection).is_in_step
    assert run(cli, ["retry", "photo_grid", "--rendering", "--dsn", database]) == 0
    assert "has the newest rendering" in capsys.readouterr().out


def test_a_comparison_that_is_cut_off_goes_on_where_it_was(
    database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    collection = make(connection)
    backfill(database)
    monkeypatch.setattr(rendering, "PAGE_ROWS", 2)

    class CutOffError(Exception):
        pass

    def cut_off(rows: int) -> None:
        if rows == 4:
            raise CutOffError

    reader = path_reader(collection, None)
    with pytest.raises(CutOffError):
        rendering.bring_to_newest(connection, collection, reader, cut_off)
    collection = get_collection(connection)
    assert (collection.rendering, collection.rendering_from) == (NEWEST, FIRST)
    assert run(cli, ["doctor", "--dsn", database]) == 0
    assert "not all of its pictures are compared yet" in capsys.readouterr().out
    # What was enqueued is embedded meanwhile, and looked at no more.
    backfill(database)
    check = rendering.find_changed(connection, collection, reader)
    assert [row.key["id"] for row in check.changed] == [7]
    check = rendering.bring_to_newest(connection, collection, reader)
    assert (check.compared, check.enqueued) == (3, 1)
    backfill(database)
    assert stored(connection) == expected(NEWEST)
    assert get_collection(connection).rendering_from is None


def test_what_a_worker_decoded_by_the_rendering_before_is_not_written(
    database: str, connection: Connection
) -> None:
    collection = make(connection)
    reached, go_on = threading.Event(), threading.Event()

    class Waiting(ColorGrid):
        """Holds its first batch in hand until the rendering has changed."""

        def embed_prepared(self, prepared: Sequence[Any]) -> Any:
            if len(prepared) > 1 and not go_on.is_set():
                reached.set()
                assert go_on.wait(PATIENCE_SECONDS)
            return super().embed_prepared(prepared)

    worker = threading.Thread(target=backfill, args=(database, Waiting()))
    worker.start()
    assert reached.wait(PATIENCE_SECONDS)
    with connect(database) as other:
        rendering.bring_to_newest(other, collection, path_reader(collection, None))
    go_on.set()
    worker.join(PATIENCE_SECONDS)
    assert not worker.is_alive()
    assert stored(connection) == expected(NEWEST)
    assert connection.execute("SELECT count(*) FROM imgvec.job").fetchone() == (0,)
    assert connection.execute("SELECT coalesce(max(attempts), 0) FROM imgvec.failure").fetchone() == (0,)


def test_doctor_and_show_tell_of_an_older_rendering(
    database: str, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    make(connection)
    run(cli, ["doctor", "--dsn", database])
    assert "imgvec retry photo_grid --rendering --dry-run lists the rows" in capsys.readouterr().out
    assert run(cli, ["collection", "show", "photo_grid", "--dsn", database]) == 0
    assert f"rendering    1 ({NEWEST} is the newest: imgvec doctor)" in capsys.readouterr().out


def test_a_later_releases_rendering_stops_a_worker_before_any_row(
    database: str, connection: Connection
) -> None:
    make(connection, version=NEWEST + 1)
    with pytest.raises(UsageError, match=f"version {NEWEST + 1} here, this imgvec-pg knows 1 to {NEWEST}"):
        backfill(database)
    assert connection.execute("SELECT count(*) FROM imgvec.failure").fetchone() == (0,)


def test_pictures_of_one_colour_are_embedded_noted_counted_and_listed(
    database: str, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    white = encoded(Image.new("RGB", (40, 30), "white"), "JPEG")
    make(connection, {1: white, 2: plain(1), 3: white, 4: white}, NEWEST)
    backfill(database)
    assert sorted(stored(connection)) == [1, 2, 3, 4]

    def blank() -> list[Any]:
        assert run(cli, ["status", "--json", "--dsn", database]) == 0
        [state] = json.loads(capsys.readouterr().out)
        assert state["failed"] == 0
        assert run(cli, ["failures", "photo_grid", "--blank", "--json", "--dsn", database]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert len(rows) == state["blank"]
        assert {row["message"] for row in rows} <= {"every pixel is #ffffff", "every pixel is #000000"}
        return sorted(row["key"]["id"] for row in rows)

    assert blank() == [1, 3, 4]
    assert run(cli, ["failures", "photo_grid", "--dsn", database]) == 0
    assert capsys.readouterr().out == "photo_grid: no failures\n"
    black = encoded(Image.new("RGB", (40, 30)), "PNG")
    connection.execute("UPDATE photo SET content = %s WHERE id = 1", [plain(9)])
    connection.execute("UPDATE photo SET content = %s WHERE id = 2", [black])
    connection.execute("DELETE FROM photo WHERE id = 3")
    backfill(database)
    assert blank() == [2, 4]
    connection.execute("UPDATE photo SET content = NULL WHERE id = 4")
    backfill(database)
    assert blank() == [2]
    assert run(cli, ["retry", "photo_grid", "--dsn", database]) == 0
    assert "no failure" in capsys.readouterr().out
    collection = get_collection(connection)
    assert verify_collection(connection, collection).is_in_step
    # An embedding that got lost is found missing, whatever was noted of it.
    connection.execute("DELETE FROM imgvec.photo_grid_embedding")
    assert verify_collection(connection, collection).differences["missing"].rows == 2


def test_a_file_that_is_odd_is_noted_with_the_reason(
    database: str, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    image = Image.open(io.BytesIO(PICTURES[1]))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", icc_profile=b"no profile")
    make(connection, {1: buffer.getvalue(), 2: plain(2, "JPEG")[:-2], 3: plain(3)}, NEWEST)
    backfill(database)
    assert sorted(stored(connection)) == [1, 2, 3]
    assert run(cli, ["failures", "photo_grid", "--noted", "--json", "--dsn", database]) == 0
    told = {row["key"]["id"]: (row["code"], row["message"]) for row in json.loads(capsys.readouterr().out)}
    assert told == {
        1: ("noted", "its colour profile is broken or of another colour space: left out of account"),
        2: ("noted", "it is a JPEG without its end marker, and has all its pixels"),
    }
    assert run(cli, ["failures", "photo_grid", "--blank", "--dsn", database]) == 0
    assert capsys.readouterr().out == "photo_grid: no such picture\n"


def test_blank_goes_with_code_neither_in_the_command_nor_as_one(
    database: str, connection: Connection
) -> None:
    make(connection)
    assert run(cli, ["failures", "photo_grid", "--blank", "--code", "empty", "--dsn", database]) == 2
    assert run(cli, ["retry", "photo_grid", "--rendering", "--code", "empty", "--dsn", database]) == 2
    assert run(cli, ["retry", "photo_grid", "--dry-run", "--dsn", database]) == 2


def test_a_rendering_below_the_first_is_refused(connection: Connection) -> None:
    make(connection)
    with pytest.raises(psycopg.errors.CheckViolation, match="collection_rendering_range"):
        connection.execute("UPDATE imgvec.collection SET rendering = 0")
