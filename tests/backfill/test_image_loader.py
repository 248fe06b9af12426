"""How pictures of hosts are scheduled: a few at once for each host, none twice, and late ones kept for their row."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

from imgvec_pg.backfill.batch import image_loader, slow_hosts
from imgvec_pg.backfill.batch.image_loader import PER_HOST, ImageLoader
from imgvec_pg.backfill.batch.pending import Batch, HostFuture, PendingKey
from imgvec_pg.backfill.batch.shared_pictures import SharedPicture
from imgvec_pg.backfill.batch.slow_hosts import await_hosts
from imgvec_pg.errors import ImageError
from imgvec_pg.store.embeddings import StoredImage
from imgvec_pg.store.queue.jobs import Claim, Job

SLOW, QUICK = "https://slow.example", "https://quick.example"


class Host:
    """Prepares pictures; those of the slow host wait until they are let go."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0

    def prepare(self, images: Sequence[StoredImage]) -> list[SharedPicture | Exception]:
        try:
            return [self.prepare_one(images[0])]
        except ImageError as error:
            return [error]

    def prepare_one(self, image: StoredImage) -> SharedPicture:
        path = str(image.path)
        with self.lock:
            self.asked[path] += 1
        if path.startswith(SLOW):
            with self.lock:
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            assert self.gate.wait(300)
            with self.lock:
                self.at_once -= 1
        if "bad" in path:
            raise ImageError("fetch_limit", "too slow", transient=True)
        picture = SharedPicture(b"")
        picture.prepared = path
        return picture


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(slow_hosts, "LATE_SECONDS", 0.1)
    return Host()


@contextmanager
def running(host: Host) -> Iterator[ImageLoader]:
    with ImageLoader(host.prepare, 2) as pool:
        try:
            yield pool
        finally:
            host.gate.set()


def submit(pool: ImageLoader, path: str) -> Future[SharedPicture]:
    return pool.submit([row(path)])[0]


def row(path: str) -> StoredImage:
    return StoredImage(0, path, None, b"hash")


def wait_for(*futures: object) -> list[bool]:
    """Wait as a batch does and tell which are late."""
    job = Job(1, 0, [], 1, 0)
    pending = tuple(PendingKey(job, {}, future) for future in futures)  # type: ignore[arg-type]
    await_hosts(Batch(Claim(None, (job,)), pending))  # type: ignore[arg-type]
    return [isinstance(future, HostFuture) and future.is_late for future in futures]


def test_a_slow_host_has_few_requests_and_holds_up_neither_files_nor_others(host: Host) -> None:
    with running(host) as pool:
        slow = [submit(pool, f"{SLOW}/{number}") for number in range(20)]
        others = [submit(pool, path) for path in ("a.jpg", f"{QUICK}/b.jpg")]
        assert wait_for(*slow, *others) == [True] * 20 + [False] * 2
        assert [other.result(0).prepared for other in others] == ["a.jpg", f"{QUICK}/b.jpg"]
        assert host.most_at_once == PER_HOST


def test_what_was_late_is_there_when_its_row_comes_again(host: Host) -> None:
    with running(host) as pool:
        late = submit(pool, f"{SLOW}/1"), submit(pool, f"{SLOW}/bad")
        assert wait_for(*late) == [True, True]
        host.gate.set()
        assert late[0].result(10) and isinstance(late[1].exception(10), ImageError)
        again = submit(pool, f"{SLOW}/1"), submit(pool, f"{SLOW}/bad")
        assert wait_for(*again) == [False, False]
        assert again[0].result(0).prepared == f"{SLOW}/1"
        assert isinstance(again[1].exception(0), ImageError), "an error is charged, however late it came"
        assert set(host.asked.values()) == {1}
        submit(pool, f"{SLOW}/1").result(10)
        assert host.asked[f"{SLOW}/1"] == 2, "once taken, it is fetched anew"


def test_the_same_picture_under_way_is_fetched_once(host: Host) -> None:
    with running(host) as pool:
        first, second = submit(pool, f"{SLOW}/1"), submit(pool, f"{SLOW}/1")
        changed = pool.submit([StoredImage(0, f"{SLOW}/1", None, b"another hash")])[0]
        host.gate.set()
        assert first.result(10) is second.result(10)
        assert changed.result(10) is not first.result(10)
    assert host.asked[f"{SLOW}/1"] == 2


def test_the_end_does_not_wait_for_rows_that_were_delayed(host: Host) -> None:
    with ImageLoader(host.prepare, 2) as pool:
        slow = [submit(pool, f"{SLOW}/{number}") for number in range(20)]
        wait_for(*slow)
        threading.Timer(0.3, host.gate.set).start()
    assert sum(host.asked.values()) == PER_HOST
    assert sum(future.cancelled() for future in slow) == 20 - PER_HOST


def test_a_host_has_a_bounded_queue(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_loader, "MAX_WAITING", 3)
    with running(host) as pool:
        slow = [submit(pool, f"{SLOW}/{number}") for number in range(PER_HOST + 5)]
        refused = [future.exception(0) for future in slow[-2:]]
        assert all(isinstance(error, ImageError) and not error.counts_as_attempt for error in refused)
