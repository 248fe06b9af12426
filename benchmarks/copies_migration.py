"""What readers wait for while an earlier build's database comes to this one: its schema, then the index over pictures.

Run: python benchmarks/copies_migration.py BASE [--rows 1000000] [--dimensions 64] [--index]; BASE is an earlier build's tree.
That build makes the database, COPY fills it: each picture is of four rows in a row, vectors around 500 centres. It gets the
earlier build's HNSW index only where --index is given (--rows 200000 --index takes four minutes); the rebuild makes the index on
content_hash, the pictures and their HNSW index anyway. BASE is a build whose revisions were those of a release: d784fbe's 0001
was still changed. A reader asks near_* by a filter, and a writer changes a vector, in a loop each, in a transaction for each
statement, with --index near_* and search_* by the index too; the longest statement of each is told for each step, and which locks
the step's sessions held on the embedding table (pg_locks, looked at every 20 ms). Every step is a command as a user runs it.
Tables are kept in benchmarks/results/copies_migration.txt.
"""

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psycopg
from copies_search import CREATE, HERE, text, unit

from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory

COPIES, CENTRES = 4, 500
STEPS = (("migrate",), ("index", "rebuild", "shop"))
LOCKS = """
    SELECT DISTINCT l.mode FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
    WHERE l.relation = 'imgvec.shop_embedding'::regclass AND l.granted AND a.application_name LIKE 'imgvec%%'
"""


class Loop(threading.Thread):
    """Run a statement again and again in a session of its own, and keep the longest that it took since it was asked."""

    def __init__(self, dsn: str, statement: str, pause_seconds: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.dsn, self.statement, self.pause_seconds = dsn, statement, pause_seconds
        self.longest, self.count, self.failed = 0.0, 0, ""
        self.stop = threading.Event()

    def run(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True, application_name="loop") as connection:
            while not self.stop.is_set():
                began = time.monotonic()
                try:
                    connection.execute(self.statement)  # type: ignore[arg-type]
                except psycopg.Error as error:
                    self.failed = str(error).splitlines()[0]
                self.longest = max(self.longest, time.monotonic() - began)
                self.count += 1
                time.sleep(self.pause_seconds)

    def take(self) -> tuple[float, int, str]:
        """Return the longest statement in milliseconds, how many ended and the last error, and begin anew."""
        taken = 1000 * self.longest, self.count, self.failed
        self.longest, self.count, self.failed = 0.0, 0, ""
        return taken


class Locks(Loop):
    """Look which locks imgvec's sessions hold on the embedding table."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, LOCKS)
        self.held: dict[str, float] = {}

    def run(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True, application_name="locks") as connection:
            while not self.stop.is_set():
                for (mode,) in connection.execute(LOCKS.replace("%%", "%")).fetchall():  # type: ignore[arg-type]
                    self.held[mode] = self.held.get(mode, 0) + 0.02
                time.sleep(0.02)


def imgvec(tree: Path, dsn: str, *arguments: str) -> None:
    """Run a command of the build in this tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, "-m", "imgvec_pg", *arguments, "--dsn", dsn],
        env=environment,
        cwd=tree,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")


def fill(dsn: str, rows: int, dimensions: int) -> None:
    """Fill source and embedding table by COPY, past their triggers."""
    draw = np.random.default_rng(3)
    centres = draw.standard_normal((CENTRES, dimensions))
    with connect(dsn) as connection:
        connection.execute("SET session_replication_role = replica")
        with connection.cursor().copy("COPY product (id, photo, price) FROM STDIN") as copy:
            for key in range(rows):
                copy.write_row((key, "x", key % 1000))
        columns = "id, embedding, version, content_hash, precision"
        with connection.cursor().copy(f"COPY imgvec.shop_embedding ({columns}) FROM STDIN") as copy:
            for begin in range(0, rows, 10_000):
                size = min(10_000, rows - begin) // COPIES
                vectors = unit(centres[np.arange(size) % CENTRES] + draw.standard_normal((size, dimensions)))
                for number, vector in enumerate(vectors):
                    written, picture = text(vector), begin // COPIES + number
                    for copied in range(COPIES):
                        key = begin + COPIES * number + copied
                        copy.write_row((key, written, 1, f"\\x{picture:064x}", "fp32"))
        connection.execute("ANALYZE")


def measure(dsn: str, rows: int, dimensions: int, *, has_index: bool) -> None:
    """Run the steps and print a line for each."""
    vector = text(unit(np.random.default_rng(5).standard_normal((1, dimensions)))[0])
    reading = (
        f"SELECT n.id FROM imgvec.near_shop('{vector}'::public.halfvec) AS n JOIN product AS p USING (id)"
        f" WHERE p.id BETWEEN 500 AND 600 ORDER BY n.distance + 0 LIMIT 10"
    )
    # Keys before those that are read: an earlier picture under a new hash.
    writing = (
        "UPDATE imgvec.shop_embedding SET content_hash = sha256(clock_timestamp()::text::bytea), version = version + 1"
        " WHERE id = 7"
    )
    loops = {"reader": Loop(dsn, reading, 0.002), "writer": Loop(dsn, writing, 0.01)}
    if has_index:
        by_index = f"SELECT id FROM imgvec.near_shop('{vector}'::public.halfvec) ORDER BY distance LIMIT 10"
        loops["near_*"] = Loop(dsn, by_index, 0.005)
        loops["search_*"] = Loop(
            dsn, f"SELECT id FROM imgvec.search_shop('{vector}'::public.halfvec, 10)", 0.005
        )
    for loop in loops.values():
        loop.start()
    time.sleep(3)
    show("nothing", 3, loops, {})
    for arguments in STEPS:
        locks = Locks(dsn)
        locks.start()
        began = time.monotonic()
        imgvec(HERE, dsn, *arguments)
        taken = time.monotonic() - began
        locks.stop.set()
        locks.join()
        show(" ".join(arguments), taken, loops, locks.held)
    for loop in loops.values():
        loop.stop.set()
        loop.join()
    with connect(dsn) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM imgvec.shop_picture), pg_total_relation_size('imgvec.shop_picture') / 1e6"
        ).fetchone()
        assert row is not None
        print(f"{row[0]:,} pictures of {rows:,} rows in {row[1]:,.0f} MB")


def show(name: str, seconds: float, loops: dict[str, Loop], held: dict[str, float]) -> None:
    """Print a step: its seconds, each loop's longest statement and count, and the locks that were seen."""
    told = []
    for who, loop in loops.items():
        longest, count, failed = loop.take()
        told.append(f"{who} {longest:8.1f} ms of {count:>6,}{' ' + failed if failed else ''}")
    locks = ", ".join(f"{mode.removesuffix('Lock')} {1000 * s:,.0f} ms" for mode, s in sorted(held.items()))
    print(f"{name:<20}{seconds:>7.1f} s  {'  '.join(told)}  {locks}", flush=True)


def main() -> None:
    """Make the database and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument(
        "--index", action="store_true", help="Give the earlier build's database its HNSW index first."
    )
    options = parser.parse_args()
    base, directory = options.base.resolve(), make_temporary_directory("imgvec-benchmark-")
    settings = {
        "fsync": "off",
        "shared_buffers": "512MB",
        "maintenance_work_mem": "1GB",
        "max_wal_size": "1GB",
    }
    try:
        with LocalServer(directory, settings=settings, die_with_parent=True) as server:
            dsn = server.dsn()
            with connect(dsn) as connection:
                connection.execute("CREATE TABLE product (id integer PRIMARY KEY, photo text, price integer)")
            imgvec(base, dsn, "migrate")
            creation = CREATE.replace("bench/512", f"bench/{options.dimensions}").replace(
                "512", str(options.dimensions)
            )
            subprocess.run(
                [sys.executable, "-c", creation, dsn],
                env={**os.environ, "PYTHONPATH": str(base)},
                cwd=base,
                check=True,
            )
            fill(dsn, options.rows, options.dimensions)
            if options.index:
                imgvec(base, dsn, "index", "create", "shop")
            print(f"{options.rows:,} rows of {options.dimensions} dimensions; load {os.getloadavg()[0]:.1f}")
            measure(dsn, options.rows, options.dimensions, has_index=options.index)
    finally:
        with suppress(OSError):
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
