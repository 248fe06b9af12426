"""Does whoever has no copies pay for those of others? An earlier build beside this one, the same vectors, asked in turns.

Run: python benchmarks/copies_absent.py BASE [--rows 20000] [--rounds 800] [--json FILE]; BASE is an earlier build's tree. Each
build fills and indexes a database of its own, on one server (the graphs of two HNSW indexes differ by chance, and near_* and
search_* with them: what a search takes beyond near_* is told by itself); then each statement goes to one and to the other, the
first by turns. Vectors and calls are those of benchmarks/copies_search.py (512 dimensions, no two alike; `filter` leaves 1 % of
the rows). Medians at the client, medians of the processor time of the server's process (schedstat), and this build's in units
of the earlier one's; "planned only" is EXPLAIN of the same. Tables are kept in benchmarks/results/copies_absent.txt. The fill
without copies is a table of benchmarks/copies.py.
"""

import argparse
import json
import os
import shutil
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from copies_search import CALLS, HERE, QUERIES, SIZES, Shop, make_shop, prepare, text

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory


def compare_in_turns(server: LocalServer, shop: Shop, base: Path, rounds: int) -> dict[str, float]:
    """Ask both builds each query in turns, print medians at the client and of the server's processor time; return the ratios."""
    ratios: dict[str, float] = {}
    builds = {name: prepare(tree, server, shop)[0] for name, tree in (("earlier", base), ("this", HERE))}
    print(f"{len(shop.rows):,} rows, no two alike; load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print(f"{'':<38}{'earlier':>8}{'this':>8}   {'this/earlier':>8}")
    with ExitStack() as stack:
        sessions = {name: stack.enter_context(connect(server.dsn(builds[name]))) for name in builds}
        sizes = {name: session.execute(SIZES).fetchone() or (0, 0) for name, session in sessions.items()}
        for place, what in enumerate(("HNSW MB", "all MB")):
            old, new = sizes["earlier"][place], sizes["this"][place]
            ratios[what] = new / old
            print(f"{what:<38}{old:>8.2f}{new:>8.2f}   {new / old:>8.3f}")
        for session in sessions.values():
            session.execute("VACUUM ANALYZE")
            session.prepare_threshold = None
        queries = [text(query) for query in shop.queries()[:QUERIES]]
        medians: dict[tuple[str, int, str], float] = {}
        for call, statement in CALLS.items():
            turns = rounds if call in ("near", "search") else rounds // 4
            asked = [statement.format(q=queries[turn % len(queries)]) for turn in range(turns)]
            for kind, prefix in (("", ""), (", planned only", "EXPLAIN ")):
                taken = take_turns(sessions, [prefix + one for one in asked])
                for clock, unit, place in (("", "ms", 0), (", server's CPU", "ms", 1)):
                    for name in sessions:
                        medians[call + kind, place, name] = 1000 * statistics.median(
                            one[place] for one in taken[name]
                        )
                    old, new = (medians[call + kind, place, name] for name in ("earlier", "this"))
                    ratios[call + kind + clock] = new / old
                    print(
                        f"{call + kind + clock:<38}{old:>8.3f}{new:>8.3f} {unit}{new / old:>8.3f}", flush=True
                    )
        for place, clock in enumerate(("", ", server's CPU")):
            old, new = (
                medians["search", place, name] - medians["near", place, name] for name in ("earlier", "this")
            )
            ratios["search beyond near" + clock] = new / old
            print(f"{'search beyond near' + clock:<38}{old:>8.3f}{new:>8.3f} ms{new / old:>8.3f}")
    return ratios


def take_turns(
    sessions: dict[str, Connection], statements: Sequence[str]
) -> dict[str, list[tuple[float, float]]]:
    """Run each statement in all sessions, the first by turns, and return seconds by the clock and of the server process's CPU."""
    processes = {name: session.info.backend_pid for name, session in sessions.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in sessions}
    names = list(sessions)
    for statement in (statements[0], *statements):
        names.reverse()
        for name in names:
            cpu, began = run_seconds(processes[name]), time.perf_counter()
            sessions[name].execute(statement).fetchall()  # type: ignore[arg-type]
            ended = time.perf_counter()
            taken[name].append((ended - began, run_seconds(processes[name]) - cpu))
    return {name: values[1:] for name, values in taken.items()}


def run_seconds(process: int) -> float:
    """Return the seconds that a process has run, to the nanosecond (Linux: schedstat)."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=800, help="statements of each kind")
    parser.add_argument("--json", type=Path, help="file for the ratios")
    options = parser.parse_args()
    shop = make_shop("distinct", options.rows / 20_000)
    directory = make_temporary_directory("imgvec-benchmark-")
    settings = {"fsync": "off", "shared_buffers": "512MB", "jit": "off"}
    try:
        with LocalServer(directory, settings=settings, die_with_parent=True) as server:
            ratios = compare_in_turns(server, shop, options.base.resolve(), options.rounds)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(ratios))


if __name__ == "__main__":
    main()
