"""What a fill costs where rows share pictures, and where none do: an earlier build beside this one.

Run: python benchmarks/copies.py BASE [--share S] [--rounds N] [--table NAME]; BASE is an earlier build's tree (`git worktree add
BASE COMMIT`).
The shop has 50,000 S rows over 15,551 S pictures: 10,000 S of them once, 5,000 S four times, 500 S twenty times, 50 S a hundred
times, and one placeholder 5,000 S times; each row names a file of its own. The other table has as many rows as the shop has
pictures, none twice. The demo model embeds JPEG files of 400 x 300 pixels; both builds take turns, by the command line
and in a database of its own. The table printed is kept in benchmarks/results/copies.txt.
"""

import argparse
import io
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory

NAME = "shop_demo"
HERE = Path(__file__).resolve().parents[1]
SIZES = """
    SELECT pg_table_size(t), pg_indexes_size(t) FROM (VALUES ('imgvec.shop_demo_embedding'::regclass)) AS v(t)
"""
# From the first written batch to the last: without the start of processes, the loading of the model, and that batch's rows.
STEADY = """
    SELECT count(*) FILTER (WHERE e.embedded_at > f.first), extract(epoch FROM max(e.embedded_at) - min(f.first))::float8
    FROM imgvec.shop_demo_embedding AS e, (SELECT min(embedded_at) AS first FROM imgvec.shop_demo_embedding) AS f
"""
VECTORS = "SELECT count(DISTINCT embedding::text) FROM imgvec.shop_demo_embedding"


@dataclass(frozen=True)
class Fill:
    """A fill: rows and seconds after its first batch, seconds of CPU, pictures embedded, different vectors and bytes in the end.

    CPU seconds are those of the worker, its decoding children and the server: other work on the machine changes them less.
    """

    rows: int
    seconds: float
    cpu_seconds: float
    computed: int
    vectors: int
    table_bytes: int
    index_bytes: int

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


def repeats(share: float) -> list[int]:
    """Return how often each picture of the shop occurs."""
    few = {1: 10_000, 4: 5_000, 20: 500, 100: 50}
    return [times for times, count in few.items() for _ in range(int(count * share))] + [int(5_000 * share)]


def write_pictures(folder: Path, count: int) -> None:
    """Write JPEG files of smooth noise, 0.jpg and so on."""
    draw = np.random.default_rng(11)
    for number in range(count):
        small = draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(small).resize((400, 300), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
        (folder / f"{number}.jpg").write_bytes(buffer.getvalue())


def link_rows(folder: Path, times: Sequence[int]) -> list[str]:
    """Give each row a file of its own, and return their names in a random order."""
    names = []
    for number, count in enumerate(times):
        for copy in range(count):
            name = f"{number}-{copy}.jpg"
            (folder / name).hardlink_to(folder / f"{number}.jpg")
            names.append(name)
    random.Random(3).shuffle(names)
    return names


def fill(tree: Path, server: LocalServer, folder: Path, names: Sequence[str]) -> Fill:
    """Fill a new database by the commands of the build in this tree."""
    database = f"fill_{time.time_ns()}"
    with connect(server.dsn()) as connection:
        connection.execute(f"CREATE DATABASE {database}")
    dsn = server.dsn(database)
    with connect(dsn) as connection:
        connection.execute("CREATE TABLE product (id integer PRIMARY KEY, photo text)")
        with connection.cursor().copy("COPY product FROM STDIN") as copy:
            for number, name in enumerate(names):
                copy.write_row((number, name))
    imgvec(tree, dsn, "migrate")
    imgvec(
        tree,
        dsn,
        "collection",
        "create",
        NAME,
        "--source",
        "product",
        "--image",
        "photo",
        "--model",
        "demo",
        "--root",
        str(folder),
    )
    before = cpu_seconds(dsn)
    told = json.loads(imgvec(tree, dsn, "backfill", NAME, "--json"))
    used = cpu_seconds(dsn) - before
    assert (told["embedded"], told["failed"]) == (len(names), 0), told
    with connect(dsn) as connection:
        sizes = connection.execute(SIZES).fetchone()
        vectors = connection.execute(VECTORS).fetchone()
        steady = connection.execute(STEADY).fetchone()
    assert sizes is not None
    assert vectors is not None
    assert steady is not None
    # The earlier build computes a vector for each row.
    return Fill(*steady, used, told.get("computed", len(names)), vectors[0], *sizes)


def cpu_seconds(dsn: str) -> float:
    """Return what this process's finished children have used, and the server's finished sessions (Linux)."""
    with connect(dsn) as connection:
        row = connection.execute("SELECT current_setting('data_directory')").fetchone()
    assert row is not None
    postmaster = int((Path(row[0]) / "postmaster.pid").read_text().split()[0])
    # proc(5): cutime and cstime are fields 16 and 17; the second is in brackets, and may hold blanks.
    fields = Path(f"/proc/{postmaster}/stat").read_text().rsplit(")", 1)[1].split()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    server = sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")
    return children.ru_utime + children.ru_stime + server


def imgvec(tree: Path, dsn: str, *arguments: str) -> str:
    """Run a command of the build in this tree, and return what it prints."""
    return subprocess.run(
        [sys.executable, "-m", "imgvec_pg", *arguments, "--dsn", dsn],
        env={**os.environ, "PYTHONPATH": str(tree)},
        cwd=tree,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def compare(
    base: Path, folder: Path, server: LocalServer, share: float, rounds: int, wanted: str | None
) -> None:
    """Measure both builds on both tables, in turns, and print the table."""
    times = repeats(share)
    write_pictures(folder, len(times))
    tables = {
        "shop": link_rows(folder, times),
        "without copies": [f"{number}.jpg" for number in range(len(times))],
    }
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=base, check=True, capture_output=True, text=True
    ).stdout.strip()
    print(
        f"{sum(times):,} rows over {len(times):,} pictures; median of {rounds}; load {os.getloadavg()[0]:.1f}, "
        f"{os.cpu_count()} cores; earlier build {commit}"
    )
    print(
        f"{'table':<16}{'build':<9}{'computed':>9}{'different vectors':>19}{'rows/s':>8}{'ratio':>7}{'CPU s':>8}{'ratio':>7}"
        f"{'table MB':>10}{'indexes MB':>12}"
    )
    for table, names in tables.items():
        if wanted not in (None, table):
            continue
        runs: dict[str, list[Fill]] = {"earlier": [], "this": []}
        for _ in range(rounds):
            runs["earlier"].append(fill(base, server, folder, names))
            runs["this"].append(fill(HERE, server, folder, names))
        # Of each pair, which ran one after the other: other work on the machine changes meanwhile.
        ratio = statistics.median(other.rate / one.rate for one, other in zip(*runs.values(), strict=True))
        cpu = statistics.median(
            other.cpu_seconds / one.cpu_seconds for one, other in zip(*runs.values(), strict=True)
        )
        for build, found in runs.items():
            rate = statistics.median(each.rate for each in found)
            last = found[-1]
            print(
                f"{table:<16}{build:<9}{last.computed:>9,}{last.vectors:>19,}{rate:>8.1f}"
                f"{ratio if build == 'this' else 1:>7.2f}"
                f"{statistics.median(each.cpu_seconds for each in found):>8.1f}{cpu if build == 'this' else 1:>7.2f}"
                f"{last.table_bytes / 1e6:>10.2f}{last.index_bytes / 1e6:>12.2f}",
                flush=True,
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--table", choices=("shop", "without copies"), help="this one only")
    options = parser.parse_args()
    directory = make_temporary_directory("imgvec-benchmark-")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="imgvec-copies-") as folder,
            LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True) as server,
        ):
            compare(
                options.base.resolve(), Path(folder), server, options.share, options.rounds, options.table
            )
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
