"""What the triggers cost the application: statements over 100,000 rows without a collection and with one.

Run: python benchmarks/triggers.py [--rows N] [--rounds N]; PostgreSQL is a private one, of whose server process the CPU time
is measured, which other work on the machine disturbs little; or that of IMGVEC_TEST_DSN, and then elapsed time.
The table printed is kept in benchmarks/results/triggers.txt.
"""

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.spec import CollectionSpec

STATEMENTS = {
    "insert": "INSERT INTO shop.photo SELECT i, 'folder/' || i || '.jpg', mod(i, 100), repeat('x', 100)"
    " FROM generate_series(1, %(rows)s) AS i",
    "update of another column": "UPDATE shop.photo SET price = price + 1",
    "update of the image": "UPDATE shop.photo SET file = file || '?2'",
    "update of one row's price, 1,000 times": "DO $$ BEGIN FOR i IN 1..1000 LOOP"
    " UPDATE shop.photo SET price = price + 1 WHERE id = i; END LOOP; END $$",
    "update of one row's image, 1,000 times": "DO $$ BEGIN FOR i IN 1..1000 LOOP"
    " UPDATE shop.photo SET file = file || '?3' WHERE id = i; END LOOP; END $$",
    "insert of one row, 1,000 times": "DO $$ BEGIN FOR i IN 1..1000 LOOP"
    " INSERT INTO shop.photo VALUES (-i, 'x.jpg', 1, ''); END LOOP; END $$",
    "delete of one row, 1,000 times": "DO $$ BEGIN FOR i IN 1..1000 LOOP"
    " DELETE FROM shop.photo WHERE id = -i; END LOOP; END $$",
    "delete": "DELETE FROM shop.photo",
}
SETUPS = {"none": None, "collection, fk": True, "collection, no fk": False}


@contextmanager
def server_dsn() -> Iterator[str]:
    """Give a database to work in."""
    given = os.environ.get("IMGVEC_TEST_DSN")
    if given:
        yield given
        return
    directory = make_temporary_directory("imgvec-benchmark-")
    settings = {"max_wal_size": "4GB", "checkpoint_timeout": "30min", "autovacuum": "off"}
    try:
        with LocalServer(directory, settings=settings, die_with_parent=True) as server:
            yield server.dsn()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def milliseconds(connection: Connection, statement: str, rows: int) -> float:
    """Time one statement."""
    started = clock_milliseconds(connection)
    if "%(rows)s" in statement:
        connection.execute(statement, {"rows": rows})
    else:
        connection.execute(statement)
    return clock_milliseconds(connection) - started


def clock_milliseconds(connection: Connection) -> float:
    """Return the CPU time of the connection's server process; with IMGVEC_TEST_DSN the time of day."""
    if os.environ.get("IMGVEC_TEST_DSN"):
        return time.perf_counter() * 1000
    # Linux, Documentation/scheduler/sched-stats.rst: nanoseconds spent on the CPU come first.
    return int(Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e6


def measure(connection: Connection, rows: int, with_foreign_key: bool | None) -> dict[str, tuple[float, int]]:
    """Run the statements over a fresh table; returns milliseconds and keys enqueued of each."""
    connection.execute("DROP SCHEMA IF EXISTS shop CASCADE")
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, price numeric, note text)")
    if with_foreign_key is not None:
        request = CollectionSpec(
            name=f"photo_{'fk' if with_foreign_key else 'plain'}_{time.monotonic_ns()}"[:40],
            source="shop.photo",
            image=["file"],
            model="test/512",
            dimensions=512,
            has_text=True,
            root="/srv",
            foreign_key=with_foreign_key,
        )
        create_collection(connection, request)
    found = {}
    for name, statement in STATEMENTS.items():
        connection.execute("TRUNCATE imgvec.job")
        connection.execute("CHECKPOINT")
        taken = milliseconds(connection, statement, rows)
        row = connection.execute(
            "SELECT coalesce(sum(jsonb_array_length(keys)), 0) FROM imgvec.job"
        ).fetchone()
        found[name] = (taken, int(row[0]) if row else 0)
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with server_dsn() as dsn, connect(dsn) as connection:
        upgrade(connection)
        rounds = [
            {setup: measure(connection, options.rows, key) for setup, key in SETUPS.items()}
            for _ in range(options.rounds)
        ]
        version = connection.execute("SHOW server_version").fetchone()
    print(
        f"PostgreSQL {version and version[0]}, {options.rows:,} rows, median of {options.rounds}, milliseconds "
        + ("elapsed" if os.environ.get("IMGVEC_TEST_DSN") else "of CPU time of the server process")
    )
    print(f"{'statement':40}" + "".join(f"{setup:>20}{'ratio':>7}{'enqueued':>9}" for setup in SETUPS))
    for name in STATEMENTS:
        line, base = f"{name:40}", 0.0
        for setup in SETUPS:
            taken = statistics.median(measured[setup][name][0] for measured in rounds)
            base = base or taken
            line += f"{taken:20.0f}{taken / base:7.2f}{rounds[0][setup][name][1]:9,}"
        print(line)


if __name__ == "__main__":
    main()
