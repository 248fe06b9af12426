"""Is SQLAlchemy's near() as fast as by an earlier build? Both builds' code in a process of its own, asked in turns on one server.

Usage: git worktree add /somewhere COMMIT
       python benchmarks/orm_two_builds.py /somewhere [--runs 1500]
Whatever else the machine does meets both alike. Each build fills and indexes a database by its own orm.py; the graphs of an HNSW
index differ by chance, so the same SQL by psycopg stands beside, and what near() takes beyond it. Medians, microseconds.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import psycopg

from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory

ROWS = 10_000
HERE = Path(__file__).resolve().parent.parent
ASKED = ("words", "a row", "a vector")
CHILD = """
import sys, time
import numpy as np, psycopg, sqlalchemy as sa
from sqlalchemy.orm import Session
import orm

def fill(connection, engine, vectors):
    with Session(engine) as session:
        orm.write_embeddings(session, orm.ProductClip, list(range(1, len(vectors) + 1)), vectors)
        session.commit()
    return []

dsn, rows = sys.argv[1], int(sys.argv[2])
orm.writes, orm.overhead = fill, lambda *rest: []
orm.measure(dsn, rows, 1)
engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
vector = np.random.default_rng(7).normal(size=(rows, orm.DIMENSIONS)).astype(np.float32)[6]
questions = {"words": "red shoes", "a row": orm.Row(7), "a vector": vector}
said = []
sa.event.listen(engine, "before_cursor_execute", lambda c, cur, text, values, ctx, many: said.append((text, values)))
with Session(engine) as session, psycopg.connect(dsn) as plain:
    texts = {}
    for name, question in questions.items():
        session.execute(orm.near(sa.select(orm.Product), question, orm.K)).all()
        texts[name] = said[-1]
    print("ready", flush=True)
    for line in sys.stdin:
        way, name = line.rstrip().split(":")
        said.clear()
        session.expunge_all()
        started = time.perf_counter()
        if way == "near":
            session.execute(orm.near(sa.select(orm.Product), questions[name], orm.K)).all()
        else:
            plain.execute(*texts[name]).fetchall()
        print(time.perf_counter() - started, flush=True)
"""


def main() -> None:
    """Print a line for each way to ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("earlier", type=Path, help="a checkout of the earlier build")
    parser.add_argument("--runs", type=int, default=1500)
    options = parser.parse_args()
    directory = make_temporary_directory("imgvec-orm-")
    with LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True) as server:
        builds = {name: start(server, name, path) for name, path in (("old", options.earlier), ("new", HERE))}
        taken: dict[tuple[str, str, str], list[float]] = {}
        names = list(builds)
        for run in range(options.runs):
            names.reverse()
            for question in ASKED:
                for way in ("near", "plain"):
                    for name in names:
                        seconds = ask(builds[name], f"{way}:{question}")
                        if run >= options.runs // 10:
                            taken.setdefault((way, question, name), []).append(1e6 * seconds)
        for child in builds.values():
            child.communicate()
    shutil.rmtree(directory, ignore_errors=True)
    median = {key: statistics.median(values) for key, values in taken.items()}
    print(f"{options.runs} runs, load {os.getloadavg()[0]:.1f}; microseconds")
    print(f"{'':44}{'old':>9}{'new':>9}{'new/old':>9}")
    for question in ASKED:
        near, plain = ([median[way, question, name] for name in ("old", "new")] for way in ("near", "plain"))
        beyond = [whole - part for whole, part in zip(near, plain, strict=True)]
        for label, (old, new) in (
            ("near()", near),
            ("its SQL by psycopg", plain),
            ("near() beyond it", beyond),
        ):
            print(f"{label + ' by ' + question:44}{old:9.1f}{new:9.1f}{new / old:9.3f}")


def start(server: LocalServer, name: str, checkout: Path) -> subprocess.Popen[str]:
    """Start a build's process on a database of its own and wait until it has filled it."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE orm_{name}")  # type: ignore[arg-type]
    checkout = checkout.resolve()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, server.dsn(f"orm_{name}"), str(ROWS)],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": f"{checkout}{os.pathsep}{checkout / 'benchmarks'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    while (line := child.stdout.readline()).strip() != "ready":
        if not line:
            raise SystemExit(f"the {name} build ended with {child.wait()}")
    return child


def ask(child: subprocess.Popen[str], question: str) -> float:
    """Have a build answer once and return the seconds that it took."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(question + "\n")
    child.stdin.flush()
    return float(child.stdout.readline())


if __name__ == "__main__":
    main()
