"""What words cost in plain SQL: cached against a bound vector, new ones against the model's own time, and during a backfill.

Real processes: a private PostgreSQL with its default durability, `imgvec backfill` and `imgvec worker` with the demo model
on the demo's pictures. Times are client times; each pair of figures is measured in turn within one run. Every process computes
with one thread: on two cores, the model in this process and the worker's would else take each other's cores while they spin.

    python benchmarks/words.py [--json]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.demo import shop as demo_shop
from imgvec_pg.embedding.catalog import DEMO_NAME
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.store.queue.jobs import queue_depth
from imgvec_pg.store.setup.text_relay import install_relay

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
CACHED_MS, MISSING_MS, BACKFILL_MS = 0.5, 20.0, 200.0
NEAR = "SELECT n.id, n.distance FROM imgvec.near_product_demo{} AS n ORDER BY n.distance LIMIT 10"
HALF_WAY = 0.8


def milliseconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


@contextmanager
def process(dsn: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run an imgvec command meanwhile."""
    command = [sys.executable, "-m", "imgvec_pg", *arguments, "--dsn", dsn]
    environment = {**os.environ, **ONE_THREAD}
    started = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.terminate()
        started.wait()


class QueryBackend:
    """Asks for words that nobody asked for before, and embeds as many others in this process."""

    def __init__(self, connection: Connection, embedder: Embedder) -> None:
        self.connection = connection
        self.embedder = embedder
        self.asked = 0

    def new_words(self) -> str:
        """Return four words, new each time."""
        self.asked += 1
        return f"number {self.asked} green vegetable"

    def once(self) -> tuple[float, float]:
        """Return the milliseconds of embed_text() and of the model itself."""
        sql_words, own_words = self.new_words(), self.new_words()
        by_sql = milliseconds(
            lambda: self.connection.execute(
                "SELECT imgvec.embed_text('product_demo', %s)", [sql_words]
            ).fetchall()
        )
        return by_sql, milliseconds(lambda: self.embedder.embed_texts([own_words]))


def during_a_backfill(backend: QueryBackend, dsn: str, rows: int) -> list[tuple[float, float]]:
    """Ask while `imgvec backfill` works; only answers given before it was done with most rows count."""
    pairs = []
    with process(dsn, "backfill", "product_demo", "--no-index") as backfill:
        collection = demo_shop.find_collections(backend.connection, demo_shop.COLLECTION)[0]
        while queue_depth(backend.connection, collection.id).waiting == rows:
            time.sleep(0.01)
        while queue_depth(backend.connection, collection.id).waiting > rows * (1 - HALF_WAY):
            assert backfill.poll() is None
            pairs.append(backend.once())
            time.sleep(0.02)
        backfill.wait()
    return pairs


def beside_a_worker(backend: QueryBackend, dsn: str, count: int) -> list[tuple[float, float]]:
    """Ask while `imgvec worker` runs and has nothing else to do."""
    with process(dsn, "worker", "product_demo"):
        backend.once()
        return [backend.once() for _ in range(count)]


def bare_connection(connection: Connection, dsn: str, count: int) -> list[tuple[float, float]]:
    """Open a second session by dblink and ask it for nothing: a yardstick for this machine at this moment."""
    return [
        (
            milliseconds(
                lambda: connection.execute("SELECT FROM dblink(%s, 'SELECT 1') AS one (n integer)", [dsn])
            ),
            0.0,
        )
        for _ in range(count)
    ]


def cached(connection: Connection, count: int) -> list[tuple[float, float]]:
    """Search by cached words and by the same vector bound, in turn."""
    words = "number 1 green vegetable"
    row = connection.execute("SELECT imgvec.embed_text('product_demo', %s)::text", [words]).fetchone()
    assert row is not None
    by_words, by_vector = NEAR.format("_text(%s)"), NEAR.format("(%s::halfvec)")
    assert connection.execute(by_words, [words]).fetchall() == connection.execute(by_vector, row).fetchall()
    pairs = [
        (
            milliseconds(lambda: connection.execute(by_words, [words]).fetchall()),
            milliseconds(lambda: connection.execute(by_vector, row).fetchall()),
        )
        for _ in range(count)
    ]
    return pairs[count // 10 :]


def summary(name: str, pairs: Sequence[tuple[float, float]], target_ms: float | None) -> dict[str, object]:
    """Return medians, the 95th percentile of the SQL's times, and whether the target is met by the medians."""
    by_sql, other = np.array(pairs).T
    more = float(np.median(by_sql) - np.median(other))
    return {
        "case": name,
        "n": len(pairs),
        "sql_p50_ms": round(float(np.median(by_sql)), 2),
        "sql_p95_ms": round(float(np.percentile(by_sql, 95)), 2),
        "other_p50_ms": round(float(np.median(other)), 2),
        "more_p50_ms": round(more, 2),
        "target_ms": target_ms,
        "met": target_ms is None or more <= target_ms,
    }


def main() -> int:
    """Measure and report; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--asked", type=int, default=100, help="new texts beside an idle worker (100)")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    os.environ.update(ONE_THREAD)  # torch is not imported yet
    directory = make_temporary_directory("imgvec-words-")
    try:
        with LocalServer(directory / "server", die_with_parent=True) as server:
            results = measure(server, directory / "photos", options.asked)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if options.json:
        print(json.dumps({"load_before": load, "cpus": os.cpu_count(), "results": results}, indent=2))
    else:
        print(
            f"{os.cpu_count()} CPUs, one thread a process, load average before the run {load:.1f}; ms; demo model, 1,885 pictures"
        )
        print(f"{'case':34} {'n':>5} {'SQL p50':>8} {'SQL p95':>8} {'without':>8} {'more':>7} {'target':>7}")
        for result in results:
            figures = (
                "{case:34} {n:5} {sql_p50_ms:8.2f} {sql_p95_ms:8.2f} {other_p50_ms:8.2f} {more_p50_ms:7.2f}"
            )
            target = result["target_ms"]
            verdict = "" if target is None else f"{target:8.1f} {'met' if result['met'] else 'MISSED'}"
            print(figures.format(**result) + verdict)
    return 0 if all(result["met"] for result in results) else 1


def measure(server: LocalServer, photos: Path, asked: int) -> list[dict[str, object]]:
    """Fill the demo's shop and ask in all three ways."""
    products, arrival = demo_shop.unpack_photos(photos, None)
    dsn = demo_shop.create_database(server)
    embedder = load_embedder(DEMO_NAME, device="cpu")
    embedder.embed_texts(["warm"])
    with connect(dsn, prepare_threshold=5) as connection:
        rows = demo_shop.fill_shop(connection, products, arrival)
        migrations.upgrade(connection)
        install_relay(connection)
        demo_shop.open_collection(connection, photos)
        connection.execute("SET imgvec.text_timeout = '30 s'")
        backend = QueryBackend(connection, embedder)
        busy = during_a_backfill(backend, dsn, rows)
        with process(dsn, "backfill", "product_demo") as indexing:
            indexing.wait()
        idle = beside_a_worker(backend, dsn, asked)
        yardstick = bare_connection(connection, dsn, asked)
        connection.execute("ANALYZE imgvec.product_demo_embedding")
        warm = cached(connection, 1000)
    return [
        summary("cached words / a bound vector", warm, CACHED_MS),
        summary("new words / the model alone", idle, MISSING_MS),
        summary("new words in a backfill / the same", busy, BACKFILL_MS),
        summary("yardstick: a bare dblink session", yardstick, None),
    ]


if __name__ == "__main__":
    sys.exit(main())
