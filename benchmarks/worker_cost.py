"""What a worker's sessions compute in the server for each picture, by the size of its batches.

Run: python benchmarks/worker_cost.py [--index]

CPU time of the server's processes, which other work on the machine disturbs little. Rows change one at a time, as an application
changes them, so that each is a job of its own; with --index the vectors have an HNSW index. The table printed is kept in
benchmarks/results/worker_cost.txt.
"""

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
for folder in ("chaos", "support", "plugins"):
    sys.path.insert(0, str(TESTS / folder))

from imgvec_faulty_embedder import FaultyGrid  # noqa: E402
from own import own_server  # noqa: E402
from workers import NAME, make_table, queued_keys, random_picture  # noqa: E402

from imgvec_pg.backfill.context import PipelineOptions  # noqa: E402
from imgvec_pg.backfill.worker import Worker  # noqa: E402
from imgvec_pg.database.connect import Connection, connect  # noqa: E402

ROWS = 1000
SIZES = (1, 4, 8, 16, 32, 64, 128)
SESSIONS = ("read", "write", "answers", "heartbeat")


def milliseconds_by_session(connection: Connection) -> dict[str, float]:
    """Return the CPU time of each of the worker's sessions."""
    rows = connection.execute(
        "SELECT pid, application_name FROM pg_stat_activity WHERE application_name LIKE 'imgvec worker %'"
    ).fetchall()
    # Linux, Documentation/scheduler/sched-stats.rst: nanoseconds spent on the CPU come first.
    return {
        str(name).split()[-1]: int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6
        for pid, name in rows
    }


def measure(dsn: str, connection: Connection, root: Path, batch_size: int) -> dict[str, float]:
    """Change each row, have a worker embed them, and return milliseconds a picture by session."""
    draw = random.Random(batch_size)
    for number in range(1, ROWS + 1):
        connection.execute(
            "UPDATE photo SET path = NULL, content = %s WHERE id = %s", [random_picture(draw), number]
        )
    worker = Worker(dsn, NAME, FaultyGrid(), PipelineOptions(root=root, follow=True, batch_size=batch_size))
    thread = threading.Thread(target=worker.run)
    thread.start()
    while queued_keys(connection):
        time.sleep(0.1)
    used = milliseconds_by_session(connection)
    worker.request_stop()
    thread.join()
    return {name: used.get(name, 0.0) / ROWS for name in SESSIONS}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", action="store_true")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="imgvec-cost-"))
    try:
        with own_server(settings={"shared_buffers": "256MB"}) as own, connect(own.dsn) as connection:
            make_table(connection, root, ROWS)
            connection.execute(
                "DROP TRIGGER note ON imgvec.job; DROP TRIGGER note ON imgvec.photo_grid_embedding; DROP TRIGGER note ON photo"
            )
            Worker(own.dsn, NAME, FaultyGrid(), PipelineOptions(root=root)).run()
            if options.index:
                connection.execute(
                    "CREATE INDEX ON imgvec.photo_grid_embedding USING hnsw (embedding halfvec_cosine_ops)"
                )
            kind = "with an HNSW index" if options.index else "without an index"
            print(f"{ROWS:,} pictures in the table, 12 dimensions, {kind}; ms of the server's CPU a picture")
            print(f"{'batch size':>10}" + "".join(f"{name:>11}" for name in SESSIONS) + f"{'all':>8}")
            for size in SIZES:
                found = measure(own.dsn, connection, root, size)
                print(
                    f"{size:10}"
                    + "".join(f"{ms:11.3f}" for ms in found.values())
                    + f"{sum(found.values()):8.3f}"
                )
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
