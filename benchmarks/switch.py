"""A change of model under load: readers, and a writer, while a second collection is filled, compared and switched to.

Usage: python benchmarks/switch.py [--readers 50] [--rows 2000] [--calls-per-second 4]. Each reader is a session with prepared
statements that pauses between calls. Exit code 1 unless there were no errors, no short answers and no rows missing in the new
collection.
The models are color-grid and color-lines of tests/plugins, whose vectors take no time: the database is what is loaded.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "plugins"), str(ROOT / "tests" / "support")]

import psycopg  # noqa: E402
from imgvec_test_embedder import ColorGrid  # noqa: E402
from workers import random_picture  # noqa: E402

from imgvec_pg.backfill.context import PipelineOptions  # noqa: E402
from imgvec_pg.backfill.worker import Worker  # noqa: E402
from imgvec_pg.database import migrations  # noqa: E402
from imgvec_pg.database.connect import connect  # noqa: E402
from imgvec_pg.database.local_server.server import LocalServer  # noqa: E402
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory  # noqa: E402
from imgvec_pg.store.aliases import create_alias, get_alias  # noqa: E402
from imgvec_pg.store.collection_ddl import create_collection  # noqa: E402
from imgvec_pg.store.index.build import build_index  # noqa: E402
from imgvec_pg.store.integrity.reconcile import list_source  # noqa: E402
from imgvec_pg.store.registry import get_collection  # noqa: E402
from imgvec_pg.store.spec import CollectionSpec  # noqa: E402
from imgvec_pg.store.switch import count_missing_beside  # noqa: E402

CALLS = (
    "SELECT id FROM imgvec.near_product_row(%s) ORDER BY distance LIMIT 10",
    "SELECT n.id FROM imgvec.near_product_row(%s) n JOIN photo p USING (id) WHERE p.price >= 0 ORDER BY n.distance LIMIT 10",
    "SELECT id FROM imgvec.duplicates_of_product(%s, 2, 10)",
    "SELECT id FROM imgvec.recommend_product(ARRAY[%s::integer], k => 10)",
)


class Load:
    """Readers and a writer, and what they met."""

    def __init__(self, dsn: str, readers: int, rows: int, pause_seconds: float) -> None:
        self.dsn, self.rows, self.pause_seconds = dsn, rows, pause_seconds
        self.ended = threading.Event()
        self.errors: Counter[str] = Counter()
        self.short = self.calls = self.written = 0
        self.milliseconds: list[float] = []
        self._lock = threading.Lock()
        work: list[Callable[[], None]] = [lambda seed=seed: self.read(seed) for seed in range(readers)]  # type: ignore[misc]
        self.threads = [threading.Thread(target=one) for one in [*work, self.write]]

    def read(self, seed: int) -> None:
        """Ask for ten rows near a random row, by one of the ways, until the end."""
        draw = random.Random(seed)
        with connect(self.dsn) as session:
            session.prepare_threshold = 0
            session.execute("SET hnsw.iterative_scan = strict_order")
            while not self.ended.wait(self.pause_seconds * draw.uniform(0.5, 1.5)):
                call = CALLS[draw.randrange(len(CALLS))]
                began = time.perf_counter()
                try:
                    found = session.execute(call, [draw.randint(1, self.rows)]).fetchall()  # type: ignore[arg-type]
                except psycopg.Error as error:
                    with self._lock:
                        self.errors[str(error).splitlines()[0]] += 1
                    continue
                with self._lock:
                    self.calls += 1
                    self.short += len(found) < 10
                    self.milliseconds.append(1000 * (time.perf_counter() - began))

    def write(self) -> None:
        """Insert a row and change another, until the end."""
        draw = random.Random(0)
        number = self.rows
        with connect(self.dsn) as session:
            while not self.ended.wait(0.05):
                number += 1
                try:
                    session.execute("INSERT INTO photo VALUES (%s, %s)", [number, random_picture(draw)])
                    session.execute(
                        "UPDATE photo SET content = %s WHERE id = %s",
                        [random_picture(draw), draw.randint(1, self.rows)],
                    )
                    self.written += 2
                except psycopg.Error as error:
                    self.errors[f"writer: {str(error).splitlines()[0]}"] += 1


def main() -> int:
    """Fill, load, switch, switch back, and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--calls-per-second", type=float, default=4.0, help="of each reader")
    options = parser.parse_args()
    directory = make_temporary_directory("imgvec-switch-")
    try:
        settings = {"fsync": "off", "max_connections": str(options.readers + 40)}
        with LocalServer(directory, settings=settings, die_with_parent=True) as server:
            return measure(server.dsn(), options.readers, options.rows, 1 / options.calls_per_second)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure(dsn: str, readers: int, rows: int, pause_seconds: float) -> int:
    """Measure one server."""
    with connect(dsn) as connection:
        migrations.upgrade(connection)
        connection.execute(
            "CREATE TABLE photo (id integer PRIMARY KEY, content bytea, price integer NOT NULL DEFAULT 0)"
        )
        draw = random.Random(1)
        with connection.cursor() as cursor, cursor.copy("COPY photo (id, content) FROM STDIN") as copy:
            for number in range(1, rows + 1):
                copy.write_row((number, random_picture(draw)))
        request = CollectionSpec("photo_grid", "photo", ["content"], "color-grid", 12, True)
        list_source(connection, create_collection(connection, request))
        Worker(dsn, "photo_grid", ColorGrid(), PipelineOptions()).run()
        build_index(connection, get_collection(connection, "photo_grid"))
        create_alias(connection, "product", "photo_grid")
        connection.execute("ANALYZE")
        load = Load(dsn, readers, rows, pause_seconds)
        follower = Worker(dsn, "photo_grid", ColorGrid(), PipelineOptions(follow=True))
        following = threading.Thread(target=follower.run)
        for thread in [*load.threads, following]:
            thread.start()
        time.sleep(2)
        before = len(load.milliseconds)
        began = time.monotonic()
        done = switch(dsn, "--to", "color-lines")
        seconds = time.monotonic() - began
        switched_to = get_alias(connection, "product").collection_name
        time.sleep(2)
        load.ended.set()
        for thread in load.threads:
            thread.join()
        # What the writer changed last is embedded within a moment; then nothing may be missing.
        Worker(dsn, "product_color_lines", lines(), PipelineOptions()).run()
        time.sleep(1)
        follower.request_stop()
        following.join()
        old, new = (get_collection(connection, name) for name in ("photo_grid", "product_color_lines"))
        missing = count_missing_beside(connection, old, new)
        (unembedded,) = connection.execute(
            "SELECT count(*) FROM photo p WHERE NOT EXISTS (SELECT FROM imgvec.product_color_lines_embedding e WHERE e.id = p.id)"
        ).fetchone() or (-1,)
        back = switch(dsn, "--back")
    quiet, loaded = (
        statistics.median(load.milliseconds[:before] or [0]),
        statistics.median(load.milliseconds[before:] or [0]),
    )
    print(done.stdout.splitlines()[-2] if done.returncode == 0 else done.stderr)
    print(f"readers {readers}, rows {rows:,}, load {os.getloadavg()[0]:.1f}")
    print(f"fill, index, report and switch   {seconds:.1f} s")
    print(
        f"answers                          {load.calls:,}, median {quiet:.1f} ms before and {loaded:.1f} ms from then on"
    )
    print(f"rows written meanwhile           {load.written:,}")
    print(
        f"errors                           {sum(load.errors.values())} {dict(load.errors.most_common(3)) or ''}"
    )
    print(f"short answers                    {load.short}")
    print(
        f"rows missing in the new one      {missing.rows} beside the old one, {unembedded} beside the table"
    )
    print(f"alias afterwards                 {switched_to}, back with code {back.returncode}")
    bad = load.errors or load.short or missing.rows or unembedded or done.returncode or back.returncode
    return 1 if bad or switched_to != "product_color_lines" else 0


def switch(dsn: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as a user does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "plugins"), "IMGVEC_DSN": dsn}
    return subprocess.run(
        [sys.executable, "-m", "imgvec_pg", "collection", "switch", "product", *arguments, "--yes"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def lines() -> ColorGrid:
    """Return the new model."""
    from imgvec_lines_embedder import ColorLines

    return ColorLines()


if __name__ == "__main__":
    sys.exit(main())
