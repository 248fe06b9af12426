"""Is near_* planned as fast as by an earlier build? The collections of both on one server, asked statement by statement in turns.

Usage: git worktree add /somewhere COMMIT
       python benchmarks/planning_two_builds.py /somewhere [--runs 4000]
Whatever else the machine does meets both alike. Each statement plans, and does not run, the ten nearest of 10,000 x 512 rows,
in plain psycopg sessions; microseconds at the client, medians; and the application's inserts of a row, which run the triggers.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psycopg
from pgvector import HalfVector
from searching.shop import imagine

from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory

ROWS = 10_000
HERE = Path(__file__).resolve().parent.parent
MAKE = """
import sys
from types import SimpleNamespace
from searching.shop import imagine, open_shop
open_shop(SimpleNamespace(dsn=lambda name="postgres": f"{sys.argv[1]} dbname={name}"), imagine(int(sys.argv[3])), sys.argv[2])
"""
STATEMENTS = {
    "planning by hand": "SELECT e.id, e.embedding <=> '{}' AS distance FROM imgvec.item_embedding AS e ORDER BY distance LIMIT 0",
    "planning near_item": "SELECT n.id, n.distance FROM imgvec.near_item('{}') AS n ORDER BY n.distance LIMIT 0",
    "ten nearest by near_item": "SELECT n.id FROM imgvec.near_item('{}') AS n ORDER BY n.distance LIMIT 10",
    "ten nearest by search_item": "SELECT s.id FROM imgvec.search_item('{}', 10) AS s",
    "insert of a row": "INSERT INTO item SELECT max(id) + 1, 1, 0.5, 1, 'p.jpg' FROM item",
}


def main() -> None:
    """Print a line for each statement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("earlier", type=Path, help="a checkout of the earlier build")
    parser.add_argument("--runs", type=int, default=4000)
    options = parser.parse_args()
    directory = make_temporary_directory("imgvec-planning-")
    with LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True) as server:
        builds = {"old": options.earlier.resolve(), "new": HERE}
        for name, checkout in builds.items():
            paths = f"{checkout}{os.pathsep}{checkout / 'benchmarks'}"
            common = server.dsn().rsplit(" dbname=", 1)[0]
            command = [sys.executable, "-c", MAKE, common, name, str(ROWS)]
            subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, check=True, cwd=checkout)
        sessions = {name: psycopg.connect(server.dsn(f"shop_{name}"), autocommit=True) for name in builds}
        vector = HalfVector(imagine(ROWS).queries[0]).to_text()
        print(f"{options.runs} runs, load {os.getloadavg()[0]:.1f}; microseconds")
        print(f"{'':28}{'old':>9}{'new':>9}{'new/old':>9}")
        for label, text in STATEMENTS.items():
            taken = measure(sessions, text.format(vector), options.runs)
            old, new = (statistics.median(taken[name]) for name in ("old", "new"))
            print(f"{label:28}{old:9.1f}{new:9.1f}{new / old:9.3f}")
        for session in sessions.values():
            session.close()
    shutil.rmtree(directory, ignore_errors=True)


def measure(sessions: dict[str, psycopg.Connection], statement: str, runs: int) -> dict[str, list[float]]:
    """Run a statement in each session by turns, the first of a turn by turns too, and return microseconds by session."""
    taken: dict[str, list[float]] = {name: [] for name in sessions}
    for session in sessions.values():
        session.prepare_threshold = None
        session.execute(statement)  # type: ignore[arg-type]
    names = list(sessions)
    for _ in range(runs):
        names.reverse()
        for name in names:
            started = time.perf_counter()
            sessions[name].execute(statement)  # type: ignore[arg-type]
            taken[name].append(1e6 * (time.perf_counter() - started))
    return taken


if __name__ == "__main__":
    main()
