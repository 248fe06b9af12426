"""What searches find where rows share pictures, and what the index costs: an earlier build beside this one, on the same vectors.

Run: python benchmarks/copies_search.py BASE [--case CASE] [--share S] [--sizes]; BASE is an earlier build's tree. Cases: `shop`
has 50,000 S rows over 15,551 S pictures (benchmarks/copies.py), `islands` 60 pictures of 400 S rows each, `distinct` 20,000 S
rows without a copy (benchmarks/copies_absent.py asks both builds in turns), `bursts` 20,000 S rows beside bursts of 10, 50, 200
and 1,000 pictures of cosine >= 0.995 to each other; `build` compares the CPU time and size of an index over the shop's rows and
over its pictures by themselves. Vectors have 512 dimensions, around 500 centres. Each query is a near copy of a picture (cosine
0.98), asked at the default ef_search; the exact answers are computed outside PostgreSQL. `own` is the share of queries whose
picture is among the ten rows found, `recall` that of the ten nearest rows. Churn updates, deletes and inserts a fifteenth of the
rows each, 64 a statement. With --sizes nothing is asked. The tables printed are kept in benchmarks/results/copies_search.txt.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from copies import repeats

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory

HERE = Path(__file__).resolve().parents[1]
DIMENSIONS, CENTRES, QUERIES, K = 512, 500, 400, 10
CREATE = """
import sys
from imgvec_pg.database.connect import connect
try:
    from imgvec_pg.store.collection_ddl import create_collection
    from imgvec_pg.store.spec import CollectionSpec
    spec = CollectionSpec(name="shop", source="product", image=("photo",), model="bench/512", dimensions=512, has_text=False,
                          root="/srv/photos")
except ModuleNotFoundError:  # d784fbe
    from imgvec_pg.store.newcollection import CollectionRequest
    from imgvec_pg.store.collections import create_collection
    spec = CollectionRequest("shop", "product", ("photo",), "bench/512", 512, False, "/srv/photos")
with connect(sys.argv[1]) as connection:
    create_collection(connection, spec)
"""
CALLS = {
    "near": "SELECT id, distance FROM imgvec.near_shop('{q}'::halfvec) ORDER BY distance LIMIT 10",
    "search": "SELECT id, distance FROM imgvec.search_shop('{q}'::halfvec, 10)",
    "exact": "SELECT id, distance FROM imgvec.near_shop('{q}'::halfvec) ORDER BY distance + 0 LIMIT 10",
    "filter": "SELECT id, distance FROM imgvec.near_shop('{q}'::halfvec) JOIN product USING (id) WHERE price < 10"
    " ORDER BY distance + 0 LIMIT 10",
}
SIZES = """
    SELECT coalesce(sum(pg_relation_size(i.indexrelid)) FILTER (WHERE a.amname = 'hnsw'), 0)::float8 / 1e6,
           (SELECT sum(pg_total_relation_size(c.oid))::float8 / 1e6 FROM pg_class AS c
            WHERE c.relname IN ('shop_embedding', 'shop_picture'))
    FROM pg_index AS i JOIN pg_class AS k ON k.oid = i.indexrelid JOIN pg_am AS a ON a.oid = k.relam
"""
Vectors = npt.NDArray[np.float32]


@dataclass
class Shop:
    """Rows, each with a picture: vectors of shape (pictures, DIMENSIONS), and the picture of each row's key."""

    vectors: Vectors
    rows: dict[int, int]
    asked: Sequence[int]
    draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    def queries(self) -> Vectors:
        """Near copies of the pictures asked for."""
        noise = self.draw.standard_normal((len(self.asked), DIMENSIONS)).astype(np.float32)
        return unit(self.vectors[list(self.asked)] + 0.2 * unit(noise))

    def exact(self, queries: Vectors) -> list[float]:
        """The distance of the K-th nearest row to each query."""
        counts = np.bincount(list(self.rows.values()), minlength=len(self.vectors))
        distances = 1 - queries @ self.vectors.T
        found = []
        for row in distances:
            order = np.argsort(row)[: 40 * K]
            place = int(np.searchsorted(np.cumsum(counts[order]), K))
            found.append(float(row[order[place]]))
        return found


def unit(vectors: npt.NDArray[np.floating]) -> Vectors:
    """Scale to length 1, as halves hold them."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


def make_shop(case: str, share: float) -> Shop:
    """Draw the pictures of a case, and who has them."""
    draw = np.random.default_rng(7)
    bursts = [int(size) for size in (10, 50, 200, 1000)] if case == "bursts" else []
    times = {
        "shop": lambda: repeats(share),
        "islands": lambda: [int(400 * share)] * 60,
        "distinct": lambda: [1] * int(20_000 * share),
        "bursts": lambda: [1] * (int(20_000 * share) + sum(bursts)),
    }[case]()
    centres = draw.standard_normal((CENTRES, DIMENSIONS))
    vectors = unit(centres[np.arange(len(times)) % CENTRES] + draw.standard_normal((len(times), DIMENSIONS)))
    begin = 0
    for size in bursts:
        members = 0.05 * unit(draw.standard_normal((size, DIMENSIONS)))
        vectors[begin : begin + size] = unit(vectors[begin] + members)
        begin += size
    pictures = [number for number, count in enumerate(times) for _ in range(count)]
    random.Random(3).shuffle(pictures)
    alike = np.arange(len(times)) if case != "bursts" else np.arange(begin)
    asked = draw.permutation(alike)[:QUERIES].tolist()
    return Shop(vectors, dict(enumerate(pictures)), asked)


def text(vector: Vectors) -> str:
    """Return a vector as SQL has it."""
    return "[" + ",".join(f"{x:.6g}" for x in vector) + "]"


def write(connection: Connection, shop: Shop, keys: Sequence[int]) -> None:
    """Write the embeddings of rows, in one statement."""
    connection.execute(
        "INSERT INTO imgvec.shop_embedding (id, embedding, version, content_hash, precision)"
        " SELECT u.id, u.v::halfvec, 1, sha256(u.p::text::bytea), 'fp32'"
        " FROM unnest(%s::integer[], %s::text[], %s::integer[]) AS u (id, v, p)"
        " ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding, content_hash = excluded.content_hash,"
        " version = shop_embedding.version + 1",
        [list(keys), [text(shop.vectors[shop.rows[key]]) for key in keys], [shop.rows[key] for key in keys]],
    )


def churn(connection: Connection, shop: Shop) -> Shop:
    """Delete, update and insert rows."""
    random.seed(9)
    keys, part = sorted(shop.rows), len(shop.rows) // 15
    random.shuffle(keys)
    rows = dict(shop.rows)
    gone, changed, new = keys[:part], keys[part : 2 * part], range(10**6, 10**6 + part)
    for key in gone:
        del rows[key]
    for key in (*changed, *new):
        rows[key] = rows[random.choice(keys[2 * part :])]
    after = Shop(shop.vectors, rows, [p for p in shop.asked if p in set(rows.values())])
    connection.execute("DELETE FROM product WHERE id = ANY (%s)", [gone])
    connection.execute(
        "INSERT INTO product SELECT i, 'x', i %% 1000 FROM unnest(%s::integer[]) AS i", [list(new)]
    )
    moved = [*changed, *new]
    for begin in range(0, len(moved), 64):
        write(connection, after, moved[begin : begin + 64])
    return after


def command(tree: Path, *arguments: str) -> None:
    """Run Python with the build in this tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=tree, check=True, stdout=subprocess.DEVNULL
    )


def ask(connection: Connection, shop: Shop, call: str, asked: int) -> tuple[float, float, float]:
    """Return own picture found, recall and the median milliseconds of a call."""
    queries = shop.queries()[:asked]
    exact = shop.exact(queries)
    own, recall, seconds = [], [], []
    for query, picture, last in zip(queries, shop.asked, exact, strict=False):
        statement = CALLS[call].format(q=text(query))
        began = time.monotonic()
        found = connection.execute(statement).fetchall()  # type: ignore[arg-type]
        seconds.append(time.monotonic() - began)
        own.append(any(shop.rows[key] == picture for key, _ in found))
        recall.append(sum(distance <= last + 1e-4 for _, distance in found) / K)
    return statistics.mean(own), statistics.mean(recall), 1000 * statistics.median(seconds)


def prepare(tree: Path, server: LocalServer, shop: Shop) -> tuple[str, float]:
    """Fill and index a new database by the build in this tree, and return its name and the seconds that the index took."""
    database = f"copies_{time.time_ns()}"
    with connect(server.dsn()) as connection:
        connection.execute(f"CREATE DATABASE {database}")
    dsn = server.dsn(database)
    with connect(dsn) as connection:
        connection.execute("CREATE TABLE product (id integer PRIMARY KEY, photo text, price integer)")
        connection.execute(
            "INSERT INTO product SELECT i, 'x', i %% 1000 FROM unnest(%s::integer[]) AS i", [list(shop.rows)]
        )
    command(tree, "-m", "imgvec_pg", "migrate", "--dsn", dsn)
    command(tree, "-c", CREATE, dsn)
    with connect(dsn) as connection:
        keys = list(shop.rows)
        for begin in range(0, len(keys), 1000):
            write(connection, shop, keys[begin : begin + 1000])
        connection.execute("VACUUM ANALYZE")
        began = time.monotonic()
        command(tree, "-m", "imgvec_pg", "index", "create", "shop", "--dsn", dsn)
        return database, time.monotonic() - began


def measure(tree: Path, name: str, server: LocalServer, shop: Shop, *, with_churn: bool, asks: bool) -> None:
    """Fill and index a new database by the build in this tree, ask it, and print."""
    database, taken = prepare(tree, server, shop)
    with connect(server.dsn(database)) as connection:
        index, total = connection.execute(SIZES).fetchone() or (0, 0)
        built = connection.execute(
            "SELECT obj_description(i.oid, 'pg_class') FROM pg_class AS i WHERE i.relname LIKE 'shop%hnsw'"
        ).fetchone()
        print(f"{name:<9}{taken:>9.1f}{index:>10.1f}{total:>10.1f}   {built and built[0]}", flush=True)
        if asks:
            ask_all(connection, name, shop, with_churn=with_churn)
    with connect(server.dsn()) as connection:
        connection.execute(f"DROP DATABASE {database}")


def ask_all(connection: Connection, name: str, shop: Shop, *, with_churn: bool) -> None:
    """Ask by each call, before and after churn, and print."""
    for state in ("before", "after") if with_churn else ("before",):
        if state == "after":
            shop = churn(connection, shop)
        for call in CALLS:
            own, recall, ms = ask(connection, shop, call, 60 if call in ("exact", "filter") else QUERIES)
            shown = f"{own:>9.3f}{recall:>9.3f}" if call != "filter" else f"{'':>18}"
            print(f"{name:<9}{state:<8}{call:<8}{shown}{ms:>9.2f} ms", flush=True)


def compare_builds(server: LocalServer, shop: Shop) -> None:
    """Build an HNSW index over the rows and one over the pictures, by one process each, and print CPU seconds and sizes."""
    with connect(server.dsn()) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("SET maintenance_work_mem = '1GB'; SET max_parallel_maintenance_workers = 0")
        process = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert process is not None
        for table, pictures in (
            ("rows", list(shop.rows.values())),
            ("pictures", sorted(set(shop.rows.values()))),
        ):
            connection.execute(f"CREATE TABLE {table} (v halfvec({DIMENSIONS}) NOT NULL)")
            with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                for picture in pictures:
                    copy.write_row((text(shop.vectors[picture]),))
            before = cpu_seconds(process[0])
            connection.execute(f"CREATE INDEX {table}_hnsw ON {table} USING hnsw (v halfvec_cosine_ops)")
            taken = cpu_seconds(process[0]) - before
            size = connection.execute(f"SELECT pg_relation_size('{table}_hnsw')::float8 / 1e6").fetchone()
            print(
                f"{table:<9}{len(pictures):>9,}{taken:>8.1f} s of CPU{size[0] if size else 0:>8.1f} MB",
                flush=True,
            )


def cpu_seconds(process: int) -> float:
    """Return the CPU time that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("--case", choices=["shop", "islands", "distinct", "bursts", "build"], default="shop")
    parser.add_argument("--share", type=float, default=1)
    parser.add_argument("--sizes", action="store_true", help="indexes and tables only")
    options = parser.parse_args()
    base = options.base.resolve()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=base, check=True, capture_output=True, text=True
    ).stdout.strip()
    shop = make_shop("shop" if options.case == "build" else options.case, options.share)
    print(
        f"{options.case}: {len(shop.rows):,} rows over {len(shop.vectors):,} pictures; load {os.getloadavg()[0]:.1f}, "
        f"{os.cpu_count()} cores; earlier build {commit}"
    )
    print(
        f"{'build':<9}{'create s':>9}{'HNSW MB':>10}{'all MB':>10}   built;   then: own picture found, recall@10, median"
    )
    directory = make_temporary_directory("imgvec-benchmark-")
    settings = {"fsync": "off", "shared_buffers": "512MB", "jit": "off"}
    try:
        with LocalServer(directory, settings=settings, die_with_parent=True) as server:
            if options.case == "build":
                compare_builds(server, shop)
                return
            for name, tree in (("earlier", base), ("this", HERE)):
                with_churn = options.case in ("shop", "islands")
                measure(tree, name, server, shop, with_churn=with_churn, asks=not options.sizes)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
