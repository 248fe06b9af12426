"""Have a worker meet 10,000 bad pictures and measure what its memory has grown by: python tests/fuzz/memory.py [ROWS]."""

import os
import shutil
import sys
import time
from pathlib import Path

for folder in ("database", "unit", "plugins"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

from badpictures import EMBEDDED, contents, files, photograph, urls  # noqa: E402
from imgvec_test_embedder import DIMENSIONS, NAME, load  # noqa: E402
from webserver import web_server  # noqa: E402

from imgvec_pg.backfill import batches  # noqa: E402
from imgvec_pg.backfill.pipeline import PipelineOptions  # noqa: E402
from imgvec_pg.backfill.tally import Tally  # noqa: E402
from imgvec_pg.backfill.worker import Worker  # noqa: E402
from imgvec_pg.database import migrations  # noqa: E402
from imgvec_pg.database.connect import connect  # noqa: E402
from imgvec_pg.database.localserver import LocalServer  # noqa: E402
from imgvec_pg.database.unprivileged import make_temporary_directory  # noqa: E402
from imgvec_pg.store.collections import create_collection  # noqa: E402
from imgvec_pg.store.newcollection import CollectionRequest  # noqa: E402
from imgvec_pg.store.reconcile import list_source  # noqa: E402

WARM_ROWS = 1000
"""Until then buffers and caches reach their size."""
LIMIT_MIB = 100
# Those that take seconds each, of this machine's or the clock's, say nothing of memory.
SLOW = ("trickle", "endless", "busy", "many scans", "64:ff9b", "10.0.0.1", "100.64", "224.0")


def resident_mib() -> float:
    """Return this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def references(root: Path, server: str) -> list[str]:
    """Return what rows may hold, one of each kind; bytes become files."""
    found = []
    for number, picture in enumerate([*files(root), *contents(b""), *urls(server)]):
        if any(word in f"{picture.name} {picture.path}" for word in SLOW) or picture.code in (
            EMBEDDED,
            "embed_error",
        ):
            continue
        if picture.content is not None:
            (root / f"{number}.bin").write_bytes(picture.content)
        found.append(picture.path or f"{number}.bin")
    return found


def main() -> int:
    """Run; return 0 when the memory stayed within its limit."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    batches.FIRST_DELAY_SECONDS = 0.05
    os.environ["IMGVEC_ALLOW_NETWORKS"] = "127.0.0.1/32"
    folder = make_temporary_directory("imgvec-fuzz-")
    root = folder / "photos"
    try:
        with LocalServer(folder / "server") as server, web_server(photograph()) as web:
            dsn = server.dsn("postgres")
            with connect(dsn) as connection:
                migrations.upgrade(connection)
                connection.execute("CREATE TABLE bad (id int PRIMARY KEY, path text)")
                held = references(root, web.url)
                with connection.cursor() as cursor:
                    cursor.executemany(
                        "INSERT INTO bad VALUES (%s, %s)",
                        [(row, held[row % len(held)]) for row in range(rows)],
                    )
                request = CollectionRequest(
                    name="bad", relation="bad", image_columns=["path"], model_name=NAME, dimensions=DIMENSIONS,
                    has_text=True, root=str(root), url_prefixes=[web.url, "http://*"],
                )  # fmt: skip
                list_source(connection, create_collection(connection, request))
            grown: list[float] = []

            def look(tally: Tally) -> None:
                if tally.settled >= WARM_ROWS:
                    grown.append(resident_mib())

            began = time.monotonic()
            tally = Worker(dsn, "bad", load(), PipelineOptions(), look).run()
            with connect(dsn) as connection:
                codes = dict(
                    connection.execute("SELECT code, count(*) FROM imgvec.failure GROUP BY 1 ORDER BY 1")
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    growth = max(grown[1:], default=0.0) - grown[0] if grown else float("inf")
    print(
        f"memory: {tally.failed} bad pictures of {len(held)} kinds in {time.monotonic() - began:.0f} s; the worker grew by "
        f"{growth:.0f} MiB after the first {WARM_ROWS} (limit {LIMIT_MIB}), to {grown[-1]:.0f} MiB: {codes}"
    )
    return 0 if tally.failed >= rows * 0.95 and growth < LIMIT_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
