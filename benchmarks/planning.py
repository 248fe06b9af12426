"""What near_* adds to the planning of a query, by how its body is written: why sql/collection/near.sql has the words that it has.

Usage: python benchmarks/planning.py [--runs 2000]. Each way plans, and does not run, the ten nearest of 10,000 x 512 rows
with the vector as a literal; microseconds at the client, medians of runs in turn.
"""

import argparse
import shutil
import statistics
import time

from pgvector import HalfVector
from searching.shop import imagine, open_shop

from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory

ROWS = 10_000
TABLE = "imgvec.item_embedding"
BY_HAND = f"SELECT e.id, e.embedding <=> '{{}}' AS distance FROM {TABLE} AS e ORDER BY distance LIMIT 0"
CALLED = "SELECT n.id, n.distance FROM {}('{{}}') AS n ORDER BY n.distance LIMIT 0"
# Before, the guard compared with an integer, which PostgreSQL casts for each query that it plans, and the table had an alias.
ALIASED = f"SELECT e.id, e.embedding <=> query FROM {TABLE} AS e WHERE l2_norm(query) > "
PLAIN = f"SELECT id, embedding <=> $1 FROM {TABLE}"
BODIES = {
    "alias, guard against 0": f"BEGIN ATOMIC {ALIASED} 0; END",
    "alias, guard against '0'::float8": f"BEGIN ATOMIC {ALIASED} '0'::float8; END",
    "no alias, no guard": f"BEGIN ATOMIC {PLAIN}; END",
    "no alias, IS NOT NULL": f"BEGIN ATOMIC {PLAIN} WHERE $1 IS NOT NULL; END",
    "no alias, guard, as text": f"AS $body$ {PLAIN} WHERE l2_norm($1) > '0'::float8 $body$",
}


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    shop = imagine(ROWS)
    vector = HalfVector(shop.queries[0]).to_text()
    directory = make_temporary_directory("imgvec-planning-")
    with (
        LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True) as server,
        open_shop(server, shop) as connection,
    ):
        connection.prepare_threshold = None
        ways = {"by hand": BY_HAND, "near_item": CALLED.format("imgvec.near_item")}
        for number, (name, body) in enumerate(BODIES.items()):
            connection.execute(
                f"CREATE FUNCTION near_{number}(query halfvec) RETURNS TABLE (id bigint, distance double precision)"  # type: ignore[arg-type]
                f" LANGUAGE sql STABLE PARALLEL SAFE {body}"
            )
            ways[name] = CALLED.format(f"near_{number}")
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.runs):
            for name, statement in ways.items():
                started = time.perf_counter()
                connection.execute(statement.format(vector)).fetchall()  # type: ignore[arg-type]
                times[name].append(1e6 * (time.perf_counter() - started))
    shutil.rmtree(directory, ignore_errors=True)
    by_hand = statistics.median(times["by hand"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:34} {median:7.1f} us, {median - by_hand:+5.1f}")


if __name__ == "__main__":
    main()
