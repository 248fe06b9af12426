"""A fill by actors of a Ray cluster beside one by processes of this machine, in turns, and with an actor killed.

Run: python benchmarks/scale.py [--rows N] [--rounds N]; needs the extra `ray`. The cluster is one of this machine, started and
ended by each command: its start is part of the whole time. Model: `demo`; pictures: JPEGs of smooth noise of 320 pixels, all
different. The table printed is kept in benchmarks/results/scale.txt.
"""

import argparse
import io
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time

from PIL import Image

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.embedding.catalog import DEMO_NAME, describe_model
from imgvec_pg.store.collection_ddl import create_collection, drop_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.registry import find_collections, get_collection
from imgvec_pg.store.spec import CollectionSpec

PIXELS = 320
LEASE_SECONDS = 4
WAYS = {
    "--workers 2": ("--workers", "2"),
    "--engine ray, 2 actors": ("--engine", "ray", "--actors", "2"),
}
COUNTS = """
SELECT (SELECT count(*) FROM item i WHERE NOT EXISTS (SELECT FROM imgvec.item_demo_embedding e WHERE e.id = i.id)),
       (SELECT count(*) - count(DISTINCT id) FROM imgvec.item_demo_embedding),
       (SELECT count(*) FROM imgvec.item_demo_embedding e WHERE NOT EXISTS (SELECT FROM item i WHERE i.id = e.id)),
       (SELECT count(*) FROM imgvec.failure)
"""
READY = "SELECT count(*) FROM imgvec.item_demo_embedding"


def jpeg(place: int) -> bytes:
    """Return a picture of its own: smooth noise, drawn from its place."""
    small = Image.frombytes("RGB", (8, 8), random.Random(place).randbytes(192))
    stream = io.BytesIO()
    small.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def fill_table(connection: Connection, rows: int) -> None:
    """Make the table item with one picture a row."""
    connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, picture bytea NOT NULL)")
    with connection.cursor().copy("COPY item FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int8", "bytea"])
        for place in range(rows):
            copy.write_row((place, jpeg(place)))


def begin_again(connection: Connection) -> None:
    """Make the collection anew, listed, nothing embedded."""
    if find_collections(connection, "item_demo"):
        drop_collection(connection, get_collection(connection, "item_demo"))
    model = describe_model(DEMO_NAME)
    spec = CollectionSpec("item_demo", "item", ["picture"], DEMO_NAME, model.dimensions, model.has_text)
    list_source(connection, create_collection(connection, spec))


def start(dsn: str, options: tuple[str, ...]) -> "subprocess.Popen[str]":
    """Start a fill in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "imgvec_pg",
        "backfill",
        "item_demo",
        "--no-index",
        "--json",
        "--batch-size",
        "32",
    ]
    return subprocess.Popen([*command, *options, "--dsn", dsn], stdout=subprocess.PIPE, text=True)


def seconds_of(dsn: str, connection: Connection, options: tuple[str, ...]) -> tuple[float, float]:
    """Fill by one way; return the seconds of the whole command, and those until the first rows were there."""
    begin_again(connection)
    began = time.monotonic()
    filling = start(dsn, options)
    first = None
    while filling.poll() is None:
        row = connection.execute(READY).fetchone()
        assert row is not None
        if first is None and row[0]:
            first = time.monotonic() - began
        time.sleep(0.02)
    assert filling.returncode == 0
    return time.monotonic() - began, first or 0.0


def killed(dsn: str, connection: Connection, rows: int) -> str:
    """Kill an actor when a third is done; return what became of the rows."""
    begin_again(connection)
    began = time.monotonic()
    filling = start(dsn, WAYS["--engine ray, 2 actors"])
    while connection.execute(READY + " HAVING count(*) * 3 >= %s", [rows]).fetchone() is None:
        time.sleep(0.02)
    row = connection.execute("SELECT pid FROM imgvec.worker WHERE pid IS NOT NULL LIMIT 1").fetchone()
    assert row is not None
    os.kill(row[0], signal.SIGKILL)
    filling.wait()
    seconds = time.monotonic() - began
    row = connection.execute(COUNTS).fetchone()
    assert row is not None
    missing, double, orphans, failed = row
    return (
        f"one of two actors killed at a third: exit code {filling.returncode}, {missing} rows missing, {double} double, "
        f"{orphans} without a row, {failed} failed; {seconds:.1f} s with the lease of {LEASE_SECONDS} s that had to run out"
    )


def main() -> None:
    """Take turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ["IMGVEC_LEASE_SECONDS"] = str(LEASE_SECONDS)
    folder = make_temporary_directory("imgvec-scale-")
    try:
        with LocalServer(folder / "server") as server, connect(server.dsn()) as connection:
            migrations.upgrade(connection)
            fill_table(connection, options.rows)
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
            print(
                f"{options.rows:,} rows, demo model, load {os.getloadavg()[0]:.1f} before; medians of {options.rounds}"
            )
            for _ in range(options.rounds):
                for name, arguments in WAYS.items():
                    times[name].append(seconds_of(server.dsn(), connection, arguments))
            whole = {name: statistics.median(each for each, _ in found) for name, found in times.items()}
            for name, found in times.items():
                first = statistics.median(each for _, each in found)
                ratio = whole[name] / whole["--workers 2"]
                print(f"{name:24} {whole[name]:6.1f} s whole ({ratio:.2f}), {first:4.1f} s to the first rows")
            print(killed(server.dsn(), connection, options.rows), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
