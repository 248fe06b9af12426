"""Searches of one tenant: partitions by tenant beside one table with one HNSW index and the same filter.

Run: python benchmarks/tenants.py [--largest N] [--tenants N] [--queries N] [--json FILE]. Tenants have rows by Zipf's law, from
--largest (100,000) down to 10; 256 dimensions, as benchmarks/generator.py makes them, every tenant's rows around all centres.
The same rows lie in two collections over one source with the key (tenant_id, id): `parts` made with --partition-by tenant_id,
whose tenants of 10,000 rows and more then get partitions by `imgvec collection partition`'s own steps, and `whole`, one table
with one index. Small tenants are those below 1,000 rows, large ones those with a partition.

Printed: for each way to ask the 10 nearest rows of one tenant, in turns, the p50 and p99 of the client's milliseconds, recall@10
beside comparing all of the tenant's rows, and the share of answers with fewer than min(10, its rows). Then what comparing costs
beside the index, by the tenant's size, from which the rule of 10,000 rows comes; and how long writers waited for each move.
The table is kept in benchmarks/results/tenants.txt.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from following_duplicates import private_database

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec
from imgvec_pg.tenants.split import TenantSplit
from imgvec_pg.tenants.survey import LARGE_ROWS, survey

DIMENSIONS, INNER, CENTRES, K = 256, 24, 400, 10
LEAST_ROWS, MIDDLE_ROWS = 10, 1000
Halves = npt.NDArray[np.float16]
EXACT = (
    "SELECT id FROM imgvec.parts_embedding WHERE tenant_id = %(tenant)s"
    " ORDER BY (embedding <=> %(query)s::halfvec) + 0, id LIMIT 10"
)
NEAR = "SELECT id FROM imgvec.near_{}(%(query)s::halfvec) WHERE tenant_id = %(tenant)s ORDER BY distance LIMIT 10"
WAYS = {
    "parts: near_*": ("", NEAR.format("parts")),
    "parts: search_tenant_*": (
        "",
        "SELECT id FROM imgvec.search_tenant_parts(%(query)s::halfvec, 10, tenant => %(tenant)s)",
    ),
    "whole: near_*": ("", NEAR.format("whole")),
    "whole: near_*, iterative scan": ("strict_order", NEAR.format("whole")),
    "whole: search_*, among": (
        "",
        "SELECT id FROM imgvec.search_whole(%(query)s::halfvec, 10, among => ARRAY(SELECT ROW(tenant_id, id)::imgvec.whole_key"
        " FROM photo WHERE tenant_id = %(tenant)s))",
    ),
}


@dataclass(frozen=True)
class Asked:
    """One question's milliseconds, how many of the nearest it found, and how many there are."""

    milliseconds: float
    found: int
    right: int
    wanted: int


def zipf(largest: int, tenants: int) -> list[int]:
    """Return the tenants' rows: `largest` / rank ** s, with s so that the last has 10."""
    exponent = np.log(largest / LEAST_ROWS) / np.log(tenants)
    return [max(LEAST_ROWS, round(largest / rank**exponent)) for rank in range(1, tenants + 1)]


def make_vectors(rows: int, seed: int) -> Halves:
    """Return unit vectors, shape (rows, 256)."""
    fixed, random = np.random.default_rng(7), np.random.default_rng(seed)
    centres = fixed.normal(size=(CENTRES, INNER))
    rotation = np.linalg.qr(fixed.normal(size=(DIMENSIONS, INNER)))[0].T
    inner = centres[random.integers(CENTRES, size=rows)] + random.normal(size=(rows, INNER)) / 3
    found = inner @ rotation + random.normal(size=(rows, DIMENSIONS)) / 100
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def fill(connection: Connection, sizes: Sequence[int]) -> None:
    """Make the source, both collections, and their vectors; none has an index yet."""
    connection.execute(
        "CREATE TABLE photo (tenant_id int, id int, picture bytea, PRIMARY KEY (tenant_id, id))"
    )
    connection.execute(
        "INSERT INTO photo SELECT t.tenant, i, 'x' FROM unnest(%s::int[]) WITH ORDINALITY AS t (rows, tenant),"
        " generate_series(1, t.rows) AS i",
        [list(sizes)],
    )
    for name, column in (("parts", "tenant_id"), ("whole", None)):
        spec = CollectionSpec(name, "photo", "picture", "test/256", DIMENSIONS, True, partition_by=column)
        create_collection(connection, spec)
    header = np.array([DIMENSIONS, 0], dtype=">i2").tobytes()
    columns = "(tenant_id, id, embedding, version, content_hash, precision)"
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY imgvec.parts_embedding {columns} FROM STDIN (FORMAT binary)") as copy,
    ):
        copy.set_types(["int4", "int4", "bytea", "int8", "bytea", "text"])
        for tenant, rows in enumerate(sizes, 1):
            for key, vector in enumerate(make_vectors(rows, 1000 + tenant).astype(">f2"), 1):
                copy.write_row((tenant, key, header + vector.tobytes(), 1, b"%d %d" % (tenant, key), "fp16"))
    connection.execute(
        f"INSERT INTO imgvec.whole_embedding {columns} SELECT {columns[1:-1]} FROM imgvec.parts_embedding"
    )
    for table in ("photo", "imgvec.parts_embedding", "imgvec.whole_embedding"):
        connection.execute(f"VACUUM ANALYZE {table}")  # type: ignore[arg-type]


def split(connection: Connection, least_rows: int) -> list[dict[str, float]]:
    """Give large tenants partitions; return rows, seconds, and seconds that writers waited."""
    collection = get_collection(connection, "parts")
    moved = []
    for tenant in survey(connection, collection, least_rows=least_rows).large:
        began = time.monotonic()
        done = TenantSplit(connection, collection, tenant).run()
        seconds = time.monotonic() - began
        moved.append({"rows": done.rows, "seconds": seconds, "locked_ms": 1000 * done.locked_seconds})
    connection.execute("VACUUM ANALYZE imgvec.parts_embedding")
    return moved


def ask(connection: Connection, statement: str, query: str, tenant: int) -> tuple[float, list[int]]:
    """Return the milliseconds of one statement, and its keys."""
    began = time.perf_counter()
    rows = connection.execute(statement, {"query": query, "tenant": tenant}).fetchall()  # type: ignore[arg-type]
    return 1000 * (time.perf_counter() - began), [row[0] for row in rows]


def draw(sizes: Sequence[int], queries: int, least_rows: int) -> Iterator[tuple[str, int]]:
    """Give questions' tenants, as many of each class, drawn evenly among its tenants."""
    random = np.random.default_rng(3)
    classes = {
        "small": [t for t, rows in enumerate(sizes, 1) if rows < MIDDLE_ROWS],
        "middle": [t for t, rows in enumerate(sizes, 1) if MIDDLE_ROWS <= rows < least_rows],
        "large": [t for t, rows in enumerate(sizes, 1) if rows >= least_rows],
    }
    for _ in range(queries):
        for name, tenants in classes.items():
            if tenants:
                yield name, int(random.choice(tenants))


def compare(
    connection: Connection, sizes: Sequence[int], queries: int, least_rows: int
) -> dict[tuple[str, str], list[Asked]]:
    """Ask each question in each way, in turns."""
    asked = defaultdict(list)
    for place, (name, tenant) in enumerate(draw(sizes, queries, least_rows)):
        query = str(make_vectors(1, 500_000 + place)[0].tolist())
        _, nearest = ask(connection, EXACT, query, tenant)
        ways = list(WAYS.items())
        for way, (iterative, statement) in ways[place % len(ways) :] + ways[: place % len(ways)]:
            with setting(connection, iterative):
                milliseconds, found = ask(connection, statement, query, tenant)
            right = len(set(found) & set(nearest))
            asked[name, way].append(Asked(milliseconds, len(found), right, len(nearest)))
    return asked


@contextmanager
def setting(connection: Connection, iterative: str) -> Iterator[None]:
    """Have pgvector's scans go on under a filter."""
    if iterative:
        connection.execute(f"SET hnsw.iterative_scan = {iterative}")  # type: ignore[arg-type]
    yield
    if iterative:
        connection.execute("RESET hnsw.iterative_scan")


def report(asked: dict[tuple[str, str], list[Asked]]) -> dict[str, float]:
    """Print the table and return its figures."""
    figures: dict[str, float] = {}
    print(f"{'tenants':8} {'way':30} {'p50 ms':>8} {'p99 ms':>8} {'recall':>7} {'short':>6}")
    for name, way in ((name, way) for name in ("small", "middle", "large") for way in WAYS):
        questions = asked[name, way]
        if not questions:
            continue
        times = [question.milliseconds for question in questions]
        p50, p99 = np.quantile(times, [0.5, 0.99])
        recall = sum(q.right for q in questions) / sum(q.wanted for q in questions)
        short = sum(q.found < q.wanted for q in questions) / len(questions)
        print(f"{name:8} {way:30} {p50:8.2f} {p99:8.2f} {recall:7.3f} {100 * short:5.0f}%")
        figures |= {
            f"{name}, {way}: {what}": float(x)
            for what, x in (("p50", p50), ("p99", p99), ("recall", recall), ("short", short))
        }
    return figures


def crossover(connection: Connection, sizes: Sequence[int]) -> None:
    """Print what comparing all rows of a tenant takes, and its partition's index where it has one."""
    print("rows of the tenant: ms of comparing all, of the index (medians of 15)")
    for rows in (300, 1000, 3000, 10_000, 30_000, 100_000):
        tenant = 1 + int(np.argmin([abs(np.log(size / rows)) for size in sizes]))
        median: Callable[[str], float] = lambda way, tenant=tenant: float(  # noqa: E731
            np.median(
                [
                    ask(connection, way, str(make_vectors(1, 900_000 + i)[0].tolist()), tenant)[0]
                    for i in range(15)
                ]
            )
        )
        has_index = sizes[tenant - 1] >= LARGE_ROWS
        shown = f"{median(NEAR.format('parts')):8.2f}" if has_index else "       -"
        print(f"{sizes[tenant - 1]:8,} {median(EXACT):8.2f} {shown}")


def main() -> None:
    """Make both, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--largest", type=int, default=100_000)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=200, help="of each class")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = zipf(options.largest, options.tenants)
    print(
        f"{options.tenants:,} tenants, {sum(sizes):,} rows, the largest {sizes[0]:,}, the smallest {sizes[-1]:,}"
    )
    with private_database() as dsn, connect(dsn) as connection:
        fill(connection, sizes)
        moved = split(connection, LARGE_ROWS)
        for move in moved:
            print(
                f"moved {move['rows']:8,} rows in {move['seconds']:6.1f} s, all others waited {move['locked_ms']:6.0f} ms"
            )
        began = time.monotonic()
        build_index(connection, get_collection(connection, "whole"))
        print(f"one index over all rows: {time.monotonic() - began:.1f} s")
        figures = report(compare(connection, sizes, options.queries, LARGE_ROWS))
        crossover(connection, sizes)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
