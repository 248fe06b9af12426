"""Pictures are read, looked up and prepared several at a time: each fails alone, and threads wait for one another in no ring."""

import random
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from imgvec_test_embedder import DIMENSIONS, ColorGrid
from PIL import Image
from workers import NAME, put_file, random_picture

from imgvec_pg.backfill.batch import preparation
from imgvec_pg.backfill.batch.image_loader import AT_ONCE, ImageLoader
from imgvec_pg.backfill.batch.preparation import prepare_images
from imgvec_pg.backfill.batch.queues import drain_several
from imgvec_pg.backfill.batch.shared_decoding import PreparedPicture
from imgvec_pg.backfill.batch.shared_pictures import SharedPicture, SharedPictures
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import connect
from imgvec_pg.errors import ImageError
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.embeddings import EmbeddingStore, StoredImage
from imgvec_pg.store.spec import CollectionSpec

MADE = PreparedPicture(1, None)


def stored(path: Path) -> StoredImage:
    return StoredImage(0, str(path), None, b"reference")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, color in (("red", "red"), ("same", "red"), ("blue", "blue")):
        Image.new("RGB", (40, 30), color).save(tmp_path / f"{name}.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    return tmp_path


def test_of_several_pictures_each_has_its_own_result(folder: Path) -> None:
    names = ("red", "gone", "same", "bad", "blue")
    found = prepare_images([stored(folder / f"{name}.png") for name in names], folder, ColorGrid())
    red, gone, same, bad, blue = found
    assert isinstance(red, SharedPicture) and same is red, "rows with the same bytes share one"
    assert (
        isinstance(blue, SharedPicture)
        and blue.content_hash == sha256((folder / "blue.png").read_bytes()).digest()
    )
    assert isinstance(gone, ImageError) and gone.code == "not_found"
    assert isinstance(bad, ImageError) and bad.code == "unidentified"
    assert bad.__traceback__ is None and bad.__context__ is None, "its frames hold the bytes of all"


@pytest.mark.parametrize(("limit", "value"), [("READ_AHEAD_BYTES", 1), ("READ_AHEAD_SECONDS", 0.0)])
def test_no_more_is_read_ahead_than_may_be_held(
    folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    monkeypatch.setattr(preparation, limit, value)
    images = [stored(folder / f"{name}.png") for name in ("red", "blue")]
    assert len(prepare_images(images, folder, ColorGrid())) == 1


def test_the_pictures_of_a_group_are_looked_up_by_one_statement(folder: Path) -> None:
    asked: list[Sequence[bytes]] = []

    class Known:
        def find(self, hashes: Sequence[bytes]) -> dict[bytes, Any]:
            asked.append(hashes)
            return {}

    images = [stored(folder / f"{name}.png") for name in ("red", "blue", "bad", "same")]
    prepare_images(images, folder, ColorGrid(), pictures=SharedPictures(Known()))  # type: ignore[arg-type]
    assert [len(hashes) for hashes in asked] == [3]


def test_threads_that_want_pictures_of_each_other_do_not_wait_in_a_ring() -> None:
    pictures = SharedPictures()
    both_began = threading.Barrier(2, timeout=300)

    def first_slowly(first: bytes) -> Any:
        def prepare(content_hash: bytes) -> PreparedPicture:
            if content_hash == first:
                both_began.wait()
            return MADE

        return prepare

    # Each is the first to ask for one picture, and wants the other's too, before its own in order.
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(pictures.get, [b"a", b"b"], first_slowly(b"a"))
        while b"a" not in pictures._pictures:
            pass
        other = pool.submit(pictures.get, [b"a", b"c"], first_slowly(b"c"))
        assert set(one.result(300)) == {b"a", b"b"}
        assert other.result(300)[b"a"] is one.result(0)[b"a"]


def test_a_picture_that_fails_in_one_thread_is_tried_by_the_other_that_waits_for_it() -> None:
    pictures = SharedPictures()
    asked, go_on = threading.Event(), threading.Event()

    def fail(content_hash: bytes) -> ImageError:
        asked.set()
        assert go_on.wait(300)
        return ImageError("truncated", "cut")

    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(pictures.get, [b"a"], fail)
        assert asked.wait(300)
        waiting = pool.submit(pictures.get, [b"a"], lambda content_hash: MADE)
        go_on.set()
        assert isinstance(failing.result(300)[b"a"], ImageError)
        assert isinstance(waiting.result(300)[b"a"], SharedPicture)


def test_a_group_that_ends_in_the_middle_leaves_no_picture_that_others_wait_for() -> None:
    pictures = SharedPictures()

    def stop(content_hash: bytes) -> PreparedPicture:
        if content_hash == b"b":
            raise KeyboardInterrupt
        return MADE

    with pytest.raises(KeyboardInterrupt):
        pictures.get([b"a", b"b", b"c"], stop)
    found = pictures.get([b"a", b"b", b"c"], lambda content_hash: MADE)
    assert all(isinstance(each, SharedPicture) for each in found.values())


def test_the_loader_gives_each_thread_a_part_and_passes_over_what_was_cancelled() -> None:
    groups: list[int] = []
    gate = threading.Event()

    def prepare(images: Sequence[StoredImage]) -> list[SharedPicture | Exception]:
        assert gate.wait(300)
        groups.append(len(images))
        # No more than it likes of them, as where they are large.
        return [SharedPicture(str(image.path).encode()) for image in images[:3]]

    with ImageLoader(prepare, 2) as pool:
        futures = pool.submit([stored(Path(str(number))) for number in range(8)])
        assert futures[3].cancel()
        gate.set()
        assert [each.result(300).content_hash for each in futures[:3]] == [b"0", b"1", b"2"]
        assert futures[7].result(300).content_hash == b"7"
        assert futures[3].cancelled()
        many = pool.submit([stored(Path("x"))] * 100)
        assert all(each.result(300) for each in many)
    assert sorted(groups)[-1] == AT_ONCE


def test_batches_wait_for_the_next_one_only_while_one_is_about_to_come() -> None:
    import queue

    class Claim:
        def key_count(self) -> int:
            return 1

    source: Any = queue.Queue()
    batches = [((Claim(), []), 0) for _ in range(3)]
    source.put(batches[0])

    def may_gather(found: Sequence[Any]) -> bool:
        if len(found) < 3:
            source.put(batches[len(found)])
        return len(found) < 3

    drained = drain_several(source, threading.Event(), lambda: 10, may_gather)
    assert next(drained) == batches, "gathered"
    source.put(batches[0])
    source.put(None)
    assert list(drain_several(source, threading.Event(), lambda: 10)) == [[batches[0]]]


def test_rows_of_batches_claimed_together_are_read_by_one_statement(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(1)
    reads: list[int] = []
    read = EmbeddingStore.read_images

    def noted(self: EmbeddingStore, keys: Sequence[Any]) -> list[StoredImage]:
        reads.append(len(keys))
        return read(self, keys)

    monkeypatch.setattr(EmbeddingStore, "read_images", noted)
    with connect(database) as connection:
        connection.execute("CREATE TABLE photo (id integer PRIMARY KEY, path text)")
        create_collection(
            connection,
            CollectionSpec(
                name=NAME,
                source="photo",
                image=["path"],
                model="color-grid",
                dimensions=DIMENSIONS,
                root=str(tmp_path),
            ),
        )
        for number in range(12):
            put_file(connection, tmp_path, number, random_picture(draw))
        connection.execute("DELETE FROM photo WHERE id = 5")
        worker = Worker(database, NAME, ColorGrid(), PipelineOptions(batch_size=3))
        # As if it had been at work for long.
        worker.stats.steady.images, worker.stats.steady.seconds = 10**6, 1.0
        worker.run()
        assert sum(reads) == reads[0] == 12
        written = connection.execute(
            f"SELECT array_agg(id ORDER BY id) FROM imgvec.{NAME}_embedding"
        ).fetchone()
    assert written == ([number for number in range(12) if number != 5],)


def test_a_picture_of_a_written_claim_is_looked_up_again_whoever_holds_it() -> None:
    """Its donor may have lost the vector meanwhile: then it was not written, and would be refused time and again."""
    pictures, token = SharedPictures(), uuid.uuid4()
    made: list[bytes] = []

    def prepare(content_hash: bytes) -> PreparedPicture:
        made.append(content_hash)
        return MADE

    first = pictures.get([b"1"], prepare)[b"1"]
    assert isinstance(first, SharedPicture)
    pictures.keep(token, [first])
    assert pictures.get([b"1"], prepare)[b"1"] is first
    pictures.release(token)
    assert pictures.get([b"1"], prepare)[b"1"] is not first
    assert made == [b"1", b"1"]
