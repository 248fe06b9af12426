"""Every row within a distance, `imgvec.within_<collection>`, beside the same answer through a narrow table of coordinates.

Run: python -m benchmarks.within [--rows N] [--questions N]. Vectors: benchmarks/duplicates.py's "spectrum", 512 dimensions, and
`generator.py`'s clusters, in PostgreSQL. "all rows": `within_photo`, which compares every row. "coordinates": a table holds
each row's coordinates along 32 principal axes and the length of what they leave out (vector, 33 floats); by the bound of
`duplicates/projection.py` no row within the distance lies further away in it, so a scan of it leaves candidates, of which the
stored vectors tell. Both answer the same questions in turns; the rows must be the same. Printed: medians of milliseconds in the
server (EXPLAIN ANALYZE's execution time) without and with parallel workers, the median of each question's ratio, and candidates
a question. The table is kept in benchmarks/results/within.txt.
"""

import argparse
import os
import statistics

import numpy as np
from psycopg import sql

from benchmarks.duplicates import DIMENSIONS, Halves, make
from benchmarks.following_duplicates import embed, make_table, private_database
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.duplicates.projection import Axes, principal_axes, project, slack

AXES = 32
DISTANCE = 0.05
ALL_ROWS = "SELECT w.id, w.distance FROM imgvec.within_photo({query}::halfvec, {distance}) AS w"
COORDINATES = """
SELECT e.id, e.distance
FROM (SELECT c.id FROM public.coordinates AS c WHERE c.place <-> {place}::vector <= {most}) AS c
CROSS JOIN LATERAL (
    SELECT e.id, e.embedding <=> {query}::halfvec AS distance FROM imgvec.photo_embedding AS e WHERE e.id = c.id OFFSET 0
) AS e
WHERE e.distance <= {distance}
"""


def fill(connection: Connection, vectors: Halves) -> tuple[Axes, float]:
    """Store vectors and, in another table, coordinates; returns the axes and the largest squared distance from the centre."""
    make_table(connection)
    embed(connection, range(len(vectors)), vectors, 1)
    rows = np.arange(len(vectors))
    axes = principal_axes(vectors, rows, AXES)
    (places,), largest = project(vectors, rows, axes, (AXES,))
    connection.execute(
        sql.SQL("CREATE TABLE public.coordinates (id bigint PRIMARY KEY, place vector({}) NOT NULL)").format(
            sql.Literal(AXES + 1)
        )
    )
    header = np.array([AXES + 1, 0], dtype=">i2").tobytes()
    with connection.cursor().copy("COPY public.coordinates FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int8", "bytea"])
        for row, place in enumerate(places.astype(">f4")):
            copy.write_row((row, header + place.tobytes()))
    connection.execute("VACUUM ANALYZE imgvec.photo_embedding")
    connection.execute("VACUUM ANALYZE public.coordinates")
    return axes, largest


def milliseconds(connection: Connection, statement: sql.Composed) -> float:
    """Run a statement and return how long its execution took in the server."""
    row = connection.execute(sql.SQL("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ") + statement).fetchone()
    assert row is not None
    return float(row[0][0]["Execution Time"])


def count(connection: Connection, statement: sql.Composable) -> int:
    """Return what a statement that counts gives."""
    row = connection.execute(statement).fetchone()
    assert row is not None
    return int(row[0])


def measure(kind: str, rows: int, questions: int) -> None:
    """Print the lines of one kind of vectors."""
    vectors = make(kind, rows)
    with private_database() as dsn, connect(dsn) as connection:
        axes, largest = fill(connection, vectors)
        most = float(np.sqrt(2 * DISTANCE + slack(AXES, 1.01 * largest)))
        asked = np.random.default_rng(5).choice(rows, questions, replace=False)
        (places,), _ = project(vectors, asked, axes, (AXES,))
        candidates = []
        for workers in (0, 2):
            connection.execute(
                sql.SQL("SET max_parallel_workers_per_gather = {}").format(sql.Literal(workers))
            )
            times = []
            for row, place in zip(asked.tolist(), places, strict=True):
                values = {
                    "query": sql.Literal(str(vectors[row].astype(float).tolist())),
                    "place": sql.Literal(str(place.tolist())),
                    "distance": sql.Literal(DISTANCE),
                    "most": sql.Literal(most),
                }
                ways = [sql.SQL(text).format(**values) for text in (ALL_ROWS, COORDINATES)]
                found = [sorted(connection.execute(way).fetchall()) for way in ways]
                if found[0] != found[1]:
                    raise SystemExit(f"the rows differ: {len(found[0])} and {len(found[1])}")
                times.append([milliseconds(connection, way) for way in ways])
                near = sql.SQL(
                    "SELECT count(*) FROM public.coordinates AS c WHERE c.place <-> {place}::vector <= {most}"
                )
                candidates.append(count(connection, near.format(**values)))
            whole, narrow = (statistics.median(column) for column in zip(*times, strict=True))
            ratio = statistics.median(one / other for one, other in times)
            print(
                f"{kind:<10}{rows:>10,}{workers:>9}{whole:>10.1f}{narrow:>13.1f}{ratio:>8.1f}{statistics.mean(candidates):>12,.1f}",
                flush=True,
            )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=15)
    arguments = parser.parse_args()
    print(
        f"distance {DISTANCE}, {AXES} axes of {DIMENSIONS} dimensions, {os.cpu_count()} processors, "
        f"load {os.getloadavg()[0]:.1f} at the start, medians of {arguments.questions} questions, ms"
    )
    print(
        f"{'vectors':<10}{'rows':>10}{'workers':>9}{'all rows':>10}{'coordinates':>13}{'ratio':>8}{'candidates':>12}"
    )
    for kind in ("spectrum", "generator"):
        measure(kind, arguments.rows, arguments.questions)


if __name__ == "__main__":
    main()
