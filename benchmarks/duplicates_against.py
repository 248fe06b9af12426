"""`imgvec duplicates --against`: an upload against an archive, by the coordinates that the archive's run keeps, and without.

Run: python -m benchmarks.duplicates_against [--rows N] [--rounds N]. Vectors: benchmarks/duplicates.py's "spectrum", 512
dimensions, in PostgreSQL; the upload is 1 % of them, copied. Each round compares both ways, in turns; the pairs must be equal.
Printed: medians of time by the clock, which has the server's in it, and of this process's processor time; vectors of the
archive that were read. The table is kept in benchmarks/results/duplicates_against.txt.
"""

import argparse
import os
import shutil
import statistics
import time

from benchmarks.duplicates import DIMENSIONS, make
from benchmarks.following_duplicates import embed, make_table
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.duplicates.between.find_duplicates_across import find_duplicates_across
from imgvec_pg.duplicates.find_duplicates import DuplicateSearch, find_duplicates
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.spec import CollectionSpec

THRESHOLD = 0.95


def make_upload(connection: Connection) -> Collection:
    """Make a table with the vectors of 1 % of the archive's rows."""
    connection.execute("CREATE TABLE public.upload AS SELECT id, file FROM public.photo WHERE id % 100 = 0")
    connection.execute("ALTER TABLE public.upload ADD PRIMARY KEY (id)")
    spec = CollectionSpec(
        "upload", "public.upload", ["file"], f"test/{DIMENSIONS}", DIMENSIONS, False, root="/"
    )
    collection = create_collection(connection, spec)
    connection.execute(
        "INSERT INTO imgvec.upload_embedding (id, embedding, version, content_hash, precision)"
        " SELECT e.id, e.embedding, 1, e.content_hash, 'fp16' FROM imgvec.photo_embedding AS e WHERE e.id % 100 = 0"
    )
    return collection


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    directory = make_temporary_directory("imgvec-against-")
    settings = {"fsync": "off", "shared_buffers": "1GB", "max_wal_size": "256MB", "autovacuum": "off"}
    try:
        with (
            LocalServer(directory, settings=settings, die_with_parent=True) as server,
            connect(server.dsn()) as connection,
            connect(server.dsn()) as guard,
        ):
            upgrade(connection)
            archive = make_table(connection)
            embed(connection, range(options.rows), make("spectrum", options.rows), 1)
            upload = make_upload(connection)
            connection.execute("VACUUM ANALYZE")
            print(
                f"load {os.getloadavg()[0]:.1f} at the start, threshold {THRESHOLD}, medians of {options.rounds}"
            )
            print(
                f"{'archive':>10}{'upload':>9}  {'way':<14}{'clock s':>9}{'CPU s':>8}{'read':>10}{'pairs':>9}"
            )
            find_duplicates(connection, guard, archive, DuplicateSearch(THRESHOLD))
            connection.execute("CREATE TABLE kept AS SELECT * FROM imgvec.photo_duplicate_run")
            took: dict[str, list[tuple[float, float, int, int]]] = {"coordinates": [], "vectors": []}
            relations = []
            for _ in range(options.rounds):
                for way, figures in took.items():
                    connection.execute("DELETE FROM imgvec.photo_duplicate_run")
                    if way == "coordinates":
                        connection.execute("INSERT INTO imgvec.photo_duplicate_run SELECT * FROM kept")
                    clock, cpu = time.perf_counter(), time.process_time()
                    found = find_duplicates_across(connection, guard, upload, archive, THRESHOLD)
                    figures.append(
                        (
                            time.perf_counter() - clock,
                            time.process_time() - cpu,
                            found.other_read,
                            found.pairs,
                        )
                    )
                    relations.append(
                        connection.execute(
                            "SELECT * FROM imgvec.duplicate_upload_against_photo AS d ORDER BY d.*"
                        ).fetchall()
                    )
            assert all(one == relations[0] for one in relations)
            for way, figures in took.items():
                seconds, cpu, read, pairs = map(statistics.median, zip(*figures, strict=True))
                print(
                    f"{options.rows:>10,}{options.rows // 100:>9,}  {way:<14}{seconds:>9.2f}{cpu:>8.2f}"
                    f"{read:>10,.0f}{pairs:>9,.0f}"
                )
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
