"""Have a worker meet 10,000 bad pictures and measure what its memory has grown by: python tests/fuzz/memory.py [ROWS]."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

for folder in ("support", "plugins"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

from bad_images import EMBEDDED, contents, files, photograph, urls  # noqa: E402
from imgvec_test_embedder import DIMENSIONS, NAME  # noqa: E402
from webserver import web_server  # noqa: E402

from imgvec_pg.database import migrations  # noqa: E402
from imgvec_pg.database.connect import Connection, connect  # noqa: E402
from imgvec_pg.database.local_server.server import LocalServer  # noqa: E402
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory  # noqa: E402
from imgvec_pg.store.collection_ddl import create_collection  # noqa: E402
from imgvec_pg.store.integrity.reconcile import list_source  # noqa: E402
from imgvec_pg.store.spec import CollectionSpec  # noqa: E402

PLUGINS = Path(__file__).parents[1] / "plugins"
WARM_ROWS = 1000
"""Until then buffers and caches reach their size."""
LIMIT_MIB = 100
# Those that take seconds each, of this machine's or the clock's, say nothing of memory.
SLOW = ("trickle", "endless", "busy", "many scans", "64:ff9b", "10.0.0.1", "100.64", "224.0")


def resident_mib(pid: int) -> float:
    """Return a process's resident memory, 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def watch(dsn: str, finished: Callable[[], int]) -> tuple[float, float, float]:
    """Run `imgvec backfill` and return its memory in MiB: after the first rows, at the end (medians), and at its most."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PLUGINS), os.environ.get("PYTHONPATH", "")]),
        "IMGVEC_ALLOW_NETWORKS": "127.0.0.1/32",
    }
    command = [sys.executable, "-m", "imgvec_pg", "backfill", "bad", "--dsn", dsn, "--no-index"]
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    samples: list[float] = []
    try:
        while worker.poll() is None:
            time.sleep(0.1)
            if samples or finished() >= WARM_ROWS:
                samples.append(resident_mib(worker.pid))
    finally:
        worker.kill()
        worker.wait()
    seen = [sample for sample in samples if sample]
    tenth = max(len(seen) // 10, 1)
    return statistics.median(seen[:tenth]), statistics.median(seen[-tenth:]), max(seen)


def references(root: Path, server: str) -> list[str]:
    """Return what rows may hold, one of each kind; bytes become files."""
    found = []
    for number, picture in enumerate([*files(root), *contents(b""), *urls(server)]):
        if any(word in f"{picture.name} {picture.path}" for word in SLOW) or picture.code in (
            EMBEDDED,
            "embed_error",
            "bad_embedding",
        ):
            continue
        if picture.content is not None:
            (root / f"{number}.bin").write_bytes(picture.content)
        found.append(picture.path or f"{number}.bin")
    return found


def main() -> int:
    """Run; return 0 when the memory stayed within its limit."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
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
                request = CollectionSpec(
                    name="bad", source="bad", image=["path"], model=NAME, dimensions=DIMENSIONS,
                    has_text=True, root=str(root), url_prefixes=[web.url, "http://*"],
                )  # fmt: skip
                list_source(connection, create_collection(connection, request))
                began = time.monotonic()
                warm, last, most = watch(dsn, lambda: count(connection))
                failed = count(connection)
                codes = dict(
                    connection.execute("SELECT code, count(*) FROM imgvec.failure GROUP BY 1 ORDER BY 1")
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"memory: {failed} bad pictures of {len(held)} kinds in {time.monotonic() - began:.0f} s; the worker grew by "
        f"{last - warm:.0f} MiB (limit {LIMIT_MIB}) after the first {WARM_ROWS}, from {warm:.0f} to {last:.0f}, "
        f"{most:.0f} at its most: {codes}"
    )
    return 0 if failed == rows and last - warm < LIMIT_MIB else 1


def count(connection: Connection) -> int:
    """Return how many rows have failed."""
    row = connection.execute(
        "SELECT count(*) FROM imgvec.failure WHERE code NOT IN ('blank', 'noted')"
    ).fetchone()
    return int(row[0]) if row else 0


if __name__ == "__main__":
    sys.exit(main())
