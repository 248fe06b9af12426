"""Fill three shards by three workers at once beside each alone, by processor time a row; benchmarks/shards.py prints it.

Run: python benchmarks/shards_fill.py [--rows N]. Each shard is a private server with N pictures of its own (bytea, 96 x 96,
PNG) and the demo's model; a worker is `imgvec backfill`, its start and end included. Processor time: the worker's, and the
server's, by the kernel's accounts of the processes that ended.
"""

import argparse
import io
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.spec import CollectionSpec

SETTINGS = {"shared_buffers": "256MB", "fsync": "off", "autovacuum": "off"}
SHARDS = 3


def picture(seed: int) -> bytes:
    """Return a PNG of 96 x 96 pixels, another for each seed."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 255, size=(6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize((96, 96)).save(buffer, "PNG")
    return buffer.getvalue()


def start_server(stack: ExitStack) -> LocalServer:
    """Start a private server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = make_temporary_directory("imgvec-shards-")
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return stack.enter_context(LocalServer(directory, settings=SETTINGS, die_with_parent=True, port=port))


def make_table(dsn: str, first: int, rows: int) -> None:
    """Make the table with its pictures, and its collection."""
    with connect(dsn) as connection:
        migrations.upgrade(connection)
        connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, picture bytea)")
        with connection.cursor().copy("COPY item FROM STDIN WITH (FORMAT binary)") as copy:
            copy.set_types(["int8", "bytea"])
            for key in range(first, first + rows):
                copy.write_row((key, picture(key)))
        create_collection(connection, CollectionSpec("item_demo", "item", ["picture"], "demo"))


def server_seconds(server: LocalServer) -> float:
    """Return the processor seconds of a server's first process and of all its children that ended."""
    with connect(server.dsn()) as connection:
        row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
    assert row is not None
    fields = Path(f"/proc/{row[0].split()[0]}/stat").read_text().rpartition(")")[2].split()
    return sum(int(value) for value in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def fill(servers: Sequence[LocalServer], rows: int) -> tuple[float, float]:
    """Forget the vectors of these shards and embed all again, a worker each; return seconds and processor seconds."""
    for server in servers:
        with connect(server.dsn()) as connection:
            connection.execute("TRUNCATE imgvec.item_demo_embedding")
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "imgvec_pg",
                    "collection",
                    "reconcile",
                    "item_demo",
                    "--dsn",
                    server.dsn(),
                ],
                check=True,
                capture_output=True,
            )
    before = sum(map(server_seconds, servers)), _children()
    began = time.perf_counter()
    workers = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "imgvec_pg",
                "backfill",
                "item_demo",
                "--dsn",
                server.dsn(),
                "--device",
                "cpu",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for server in servers
    ]
    codes = [worker.wait() for worker in workers]
    took = time.perf_counter() - began
    if any(codes):
        raise SystemExit(f"a worker ended with {codes}")
    # Servers take note of a session's end a moment after it.
    time.sleep(0.5)
    used = sum(map(server_seconds, servers)) - before[0] + _children() - before[1]
    for server in servers:
        with connect(server.dsn()) as connection:
            assert connection.execute("SELECT count(*) FROM imgvec.item_demo_embedding").fetchone() == (rows,)
    return took, used


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare_fills(rows: int) -> None:
    """Print rows a second and processor time a row, of each shard alone and of all at once."""
    with ExitStack() as stack:
        servers = [start_server(stack) for _ in range(SHARDS)]
        for place, server in enumerate(servers):
            make_table(server.dsn(), 1 + place * rows, rows)
        fill(servers[:1], rows)
        alone = [fill([server], rows) for server in servers]
        seconds, used = fill(servers, rows)
    speeds = [rows / took for took, _ in alone]
    cost = sum(each for _, each in alone) / (SHARDS * rows)
    together = used / (SHARDS * rows)
    print(f"fill of {SHARDS} x {rows:,} pictures, a worker a shard; each worker's start is in its time")
    print(
        f"  each alone    {', '.join(f'{speed:,.0f}' for speed in speeds)} rows/s, sum {sum(speeds):,.0f}; "
        f"{1e6 * cost:,.0f} us of processor time a row"
    )
    print(
        f"  all at once   {SHARDS * rows / seconds:,.0f} rows/s, {SHARDS * rows / seconds / sum(speeds):.2f} of the sum on "
        f"{os.cpu_count()} cores; {1e6 * together:,.0f} us a row, {cost / together:.2f} of the sum by processor time"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000, help="of each shard")
    compare_fills(parser.parse_args().rows)
