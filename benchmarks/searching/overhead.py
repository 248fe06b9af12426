"""near_* against hand-written SQL over the query shapes whose plans a test holds equal."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from searching.target import Target

RUNS = 101
SIZE = "50000x512"


def measure(server: LocalServer) -> Iterator[Target]:
    """Run each shape both ways in turn, planning included, and compare the medians."""
    os.environ["IMGVEC_TEST_SHAPE_SIZE"] = SIZE
    tests = Path(__file__).parents[2] / "tests"
    sys.path[:0] = [str(tests / "support"), str(tests / "sql")]
    import test_plan_shapes as shapes

    with connect(server.dsn()) as connection:
        connection.execute("DROP DATABASE IF EXISTS shapes")
        connection.execute("CREATE DATABASE shapes")
    with connect(server.dsn("shapes"), prepare_threshold=None) as connection:
        migrations.upgrade(connection)
        shapes.make_shop(connection)
        ratios, kept = {}, {}
        same = 0
        for shape in shapes.SHAPES:
            same += shapes.outline(shapes.plan(connection, shape.ours)) == shapes.outline(
                shapes.plan(connection, shape.by_hand)
            )
            ratios[shape.name] = ratio(connection, shape.ours, shape.by_hand, shapes.QUERY)
            told = f"  {shape.name}: {ratios[shape.name]:.3f}"
            if "$" not in shape.ours:
                with prepared_by_driver(connection):
                    kept[shape.name] = ratio(connection, shape.ours, shape.by_hand, shapes.QUERY)
                told += f", prepared by the driver {kept[shape.name]:.3f}"
            print(told, flush=True)
    yield Target("overhead", "query shapes", len(ratios), 30, False)
    yield Target("overhead", "shapes with the plan of the hand-written query", same, len(ratios), False)
    yield Target(
        "overhead",
        "near_* over hand-written SQL, median of the shapes' p50 ratios",
        median(ratios),
        1.02,
    )
    # What an application's driver prepares is planned once; what psql sends, each time.
    once = {name: ratio for name, ratio in ratios.items() if name not in kept}
    each = {name: ratios[name] for name in kept}
    yield Target("overhead", f"the {len(once)} that are planned once: median", median(once))
    yield Target("overhead", f"the {len(each)} that are planned for each run: median", median(each))
    yield Target(
        "overhead",
        "those prepared by psycopg, as it does by itself: median",
        median(kept),
        note=f"{len(kept)} shapes",
    )
    worst = max(ratios, key=lambda name: ratios[name])
    yield Target(
        "overhead", "near_* over hand-written SQL, the worst shape", ratios[worst], None, True, worst
    )


@contextmanager
def prepared_by_driver(connection: Connection) -> Iterator[None]:
    """Let psycopg prepare what comes a second time, as it does by itself what comes a sixth."""
    connection.prepare_threshold = 1
    try:
        yield
    finally:
        connection.prepare_threshold = None


def median(ratios: dict[str, float]) -> float:
    """Return the median over shapes."""
    return float(np.median(list(ratios.values())))


def ratio(connection: Connection, ours: str, by_hand: str, query: str) -> float:
    """Return the ratio of the median times; a statement with $1 is prepared and planned for any vector."""
    times: dict[str, list[float]] = {"ours": [], "by_hand": []}
    statements = {"ours": ours, "by_hand": by_hand}
    if "$1" in ours or "$2" in ours:
        connection.execute("SET plan_cache_mode = force_generic_plan")
        for name, statement in statements.items():
            connection.execute(f"PREPARE {name} (halfvec, text) AS {statement}")  # type: ignore[arg-type]
            statements[name] = f"EXECUTE {name} ('{query}', 'seven')"
    for run in range(RUNS):
        for name in sorted(statements, reverse=bool(run % 2)):
            with connection.transaction():  # a cursor needs one
                started = time.perf_counter()
                connection.execute(statements[name])  # type: ignore[arg-type]
                if "CURSOR" in statements[name]:
                    connection.execute("FETCH 10 FROM neighbours")
                times[name].append(time.perf_counter() - started)
    connection.execute("DEALLOCATE ALL; RESET plan_cache_mode")
    return float(np.median(times["ours"]) / np.median(times["by_hand"]))
