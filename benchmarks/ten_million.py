"""Ten million rows on one machine: load, build, search, filters, churn, vacuum, and every command that looks at them.

Run: python benchmarks/ten_million.py [--rows 10000 100000 1000000 10000000] [--dimensions 256] [--memory 8GB] [--out FILE]
[--json FILE] [--directory DIR]. Ten million take 25 GB of disk and 10 GB of memory. Each size has a private server of its own.
Vectors: benchmarks/millions/vectors.py, loaded by `imgvec import` from .npy files; true neighbours are found by numpy from the
same halves. Builds take no parallel worker, so that their processor time is one process's. VACUUM is ended after
--vacuum-minutes. "server" is the processor time of all its processes, and the most memory that one of them had for itself. The
table printed is kept in benchmarks/results/ten_million.txt.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from millions.loading import build, load, make_source
from millions.run import Run
from millions.searching import search, search_exactly
from millions.upkeep import churn, look
from millions.vectors import Generator

from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
HALFVEC_ROWS = 1_000_000
"""Up to so many rows an index of whole vectors is built too: of ten million its graph takes 13 GB."""


def main() -> int:
    """Measure each size and print its table as it goes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--memory", default="8GB", help="maintenance_work_mem at most")
    parser.add_argument("--shared-buffers", default="1536MB")
    parser.add_argument("--vacuum-minutes", type=int, default=20)
    parser.add_argument("--halfvec-rows", type=int, default=HALFVEC_ROWS)
    parser.add_argument(
        "--directory", type=Path, help="where the servers live; a temporary folder by default"
    )
    parser.add_argument("--out", type=Path, help="file for the table")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    for rows in options.rows:
        results.append(measure(rows, options))
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))
    for name, builds in growth(results).items():
        say(options.out, f"{name}: {builds}")
    return 0


def say(out: Path | None, line: str) -> None:
    """Print a line, and add it to the file."""
    print(line, flush=True)
    if out:
        with out.open("a") as stream:
            stream.write(line + "\n")


def measure(rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one size on a server of its own."""
    if options.directory:
        os.environ["TMPDIR"] = str(options.directory)
    folder = make_temporary_directory("imgvec-millions-")
    settings = {
        "shared_buffers": options.shared_buffers,
        "max_wal_size": "4GB",
        "fsync": "off",
        "autovacuum": "off",
        "max_parallel_maintenance_workers": "0",
    }
    try:
        with (
            LocalServer(folder / "server", settings=settings, die_with_parent=True) as server,
            connect(server.dsn()) as connection,
        ):
            pid = server.status().pid
            assert pid is not None
            run = Run(
                server.dsn(),
                connection,
                pid,
                rows,
                Generator(options.dimensions),
                folder,
                options.memory,
                options.vacuum_minutes,
                lambda line: say(options.out, line),
            )
            run.figures |= {"rows": rows, "dimensions": options.dimensions}
            run.say(
                f"{rows:,} rows x {options.dimensions}; PostgreSQL {run.value('SHOW server_version')}, shared_buffers "
                f"{options.shared_buffers}, maintenance_work_mem up to {options.memory}; load {os.getloadavg()[0]:.1f} before, "
                f"{time.strftime('%Y-%m-%d %H:%M')}"
            )
            measure_stages(run, options)
            return run.figures
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure_stages(run: Run, options: argparse.Namespace) -> None:
    """Load, look, build, search, change and vacuum."""
    make_source(run)
    look(run, "all queued", "status", "verify")
    load(run, options.queries)
    search_exactly(run)
    if run.rows <= options.halfvec_rows:
        build(run, "halfvec")
        search(run, "halfvec")
        look(run, "with vectors", "recall", "tune", "doctor")
    build(run, "bit")
    search(run, "bit")
    look(run, "with bits", "status", "verify", "recall", "tune", "doctor", "index show")
    churn(run)


def growth(results: list[dict[str, Any]]) -> dict[str, str]:
    """Say how the processor time of a build grows: us a row by size."""
    told = {}
    for kind in ("bit", "halfvec"):
        each = [
            f"{found['rows']:,} rows {1e6 / found[f'build {kind}']['rows_per_cpu_second']:.0f} us"
            for found in sorted(results, key=lambda found: found["rows"])
            if f"build {kind}" in found
        ]
        told[f"processor time of a row of a build, {kind}"] = ", ".join(each)
    return told


if __name__ == "__main__":
    sys.exit(main())
