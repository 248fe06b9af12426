"""What SQLAlchemy costs: near() over the same SQL by psycopg, and bulk writes over executemany. A table; exit code 1 on a miss.

Usage: python benchmarks/orm.py [--rows 10000] [--runs 201] [--json FILE]. The ways are run in turn; medians.

The ORM's own row cost is measured by itself: a select of as many entities by their keys, over the ORM less by psycopg.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import sqlalchemy as sa
from searching.target import Target
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.sqlalchemy import EmbeddingMixin, Row, near, write_embeddings
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.spec import CollectionSpec

DIMENSIONS = 512
K = 10


class Base(DeclarativeBase):
    metadata = sa.MetaData(schema="shop")


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    name: Mapped[str]
    price: Mapped[int]
    file: Mapped[str]


class ProductClip(EmbeddingMixin, Base):
    __source__ = Product
    __collection__ = "product_clip"


def main() -> int:
    """Measure both and print them beside their targets."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=201)
    parser.add_argument("--json", type=Path, help="file for the figures and their targets")
    options = parser.parse_args()
    directory = make_temporary_directory("imgvec-orm-")
    try:
        with LocalServer(
            directory, settings={"fsync": "off", "shared_buffers": "512MB"}, die_with_parent=True
        ) as server:
            targets = measure(server.dsn(), options.rows, options.runs)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    machine = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
    print(f"rows {options.rows}, dimensions {DIMENSIONS}, runs {options.runs}, {machine}")
    for target in targets:
        print(target.line())
    if options.json:
        options.json.write_text(json.dumps([asdict(target) for target in targets]))
    return 1 if any(target.verdict == "missed" for target in targets) else 0


def measure(dsn: str, rows: int, runs: int) -> list[Target]:
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    vectors = np.random.default_rng(7).normal(size=(rows, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with connect(dsn) as connection:
        engine.connect().close()  # the pool holds its one connection from now on
        migrations.upgrade(connection)
        connection.execute("CREATE SCHEMA shop")
        Base.metadata.create_all(engine)
        connection.execute(
            "INSERT INTO shop.product SELECT i, 'name ' || i, i %% 100, i || '.jpg' FROM generate_series(1, %s) AS i",
            [rows],
        )
        request = CollectionSpec(
            "product_clip", "shop.product", ["file"], "bench/512", DIMENSIONS, True, root="/srv"
        )
        collection = create_collection(connection, request)
        targets = writes(connection, engine, vectors)
        build_index(connection, collection)
        connection.execute("VACUUM ANALYZE")
        connection.execute(
            "INSERT INTO imgvec.text_embedding SELECT c.model_id, 'red shoes', e.embedding FROM imgvec.collection AS c,"
            " imgvec.product_clip_embedding AS e WHERE e.id = 7"
        )
    questions = {"words": "red shoes", "a row": Row(7), "a vector": vectors[6]}
    for name, question in questions.items():
        targets += overhead(engine, dsn, name, question, runs)
    engine.dispose()
    return targets


def writes(connection: Connection, engine: sa.Engine, vectors: np.ndarray) -> list[Target]:
    """Write the same rows by each way, the table emptied before."""
    keys = list(range(1, len(vectors) + 1))
    columns = ("id", "embedding", "version", "content_hash", "precision")
    values = [
        dict(zip(columns, (key, vector, 0, b"", "fp32"), strict=True))
        for key, vector in zip(keys, vectors, strict=True)
    ]
    insert = (
        "INSERT INTO imgvec.product_clip_embedding (id, embedding, version, content_hash, precision)"
        " VALUES (%(id)s, %(embedding)s, %(version)s, %(content_hash)s, %(precision)s)"
    )

    def executemany() -> None:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(
                insert, [{**row, "embedding": str(row["embedding"].tolist())} for row in values]
            )

    def orm_insert() -> None:
        with Session(engine) as session:
            session.execute(sa.insert(ProductClip), values)
            session.commit()

    def helper() -> None:
        with Session(engine) as session:
            assert write_embeddings(session, ProductClip, keys, vectors) == len(keys)
            session.commit()

    seconds: dict[str, list[float]] = {"executemany": [], "insert(ProductClip)": [], "write_embeddings": []}
    processor: dict[str, list[float]] = {name: [] for name in seconds}
    for _ in range(3):
        for name, way in zip(seconds, (executemany, orm_insert, helper), strict=True):
            connection.execute("TRUNCATE imgvec.product_clip_embedding")
            before = processor_seconds(connection)
            seconds[name].append(timed(way))
            processor[name].append(processor_seconds(connection) - before)
    median = {name: float(np.median(times)) for name, times in seconds.items()}
    told = ", ".join(f"{name} {len(vectors) / time:,.0f} rows/s" for name, time in median.items())
    over = {name: median["executemany"] / time for name, time in median.items()}
    spent = {name: float(np.median(times)) for name, times in processor.items()}
    told_spent = ", ".join(f"{name} {1e6 * time / len(vectors):.0f} us" for name, time in spent.items())
    less = spent["executemany"] / spent["write_embeddings"]
    return [
        Target(
            "write",
            "write_embeddings over executemany, rows a second",
            over["write_embeddings"],
            1.9,
            False,
            told,
        ),
        Target(
            "write",
            "processor time a row, client and server: executemany over it",
            less,
            None,
            True,
            told_spent,
        ),
        Target("write", "insert(ProductClip) over executemany, rows a second", over["insert(ProductClip)"]),
    ]


def processor_seconds(connection: psycopg.Connection[Any]) -> float:
    """Return the processor time of this process and of all sessions' backends, free of what else a machine does."""
    total = time.process_time()
    for (pid,) in connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    ).fetchall():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def overhead(engine: sa.Engine, dsn: str, name: str, question: object, runs: int) -> list[Target]:
    """Compare near() with its own SQL by psycopg, and the ORM's row cost with a select of as many rows by key."""
    captured: list[tuple[str, object]] = []
    sa.event.listen(
        engine,
        "before_cursor_execute",
        lambda c, cur, text, values, ctx, many: captured.append((text, values)),
    )
    with Session(engine) as session, psycopg.connect(dsn) as plain:
        ids = [row[0].id for row in session.execute(near(sa.select(Product), question, K))]
        near_sql = captured[-1]

        def by_key() -> sa.Select[Product, float]:
            distance = sa.literal(0.5, sa.Double()).label("distance")
            return sa.select(Product, distance).where(Product.id.in_(ids)).order_by(Product.id).limit(K)

        session.execute(by_key()).all()
        key_sql = captured[-1]
        captured.clear()
        ways: dict[str, Callable[[], object]] = {
            "near": lambda: session.execute(near(sa.select(Product), question, K)).all(),
            "near by psycopg": lambda: plain.execute(*near_sql).fetchall(),  # type: ignore[call-overload]
            "rows": lambda: session.execute(by_key()).all(),
            "rows by psycopg": lambda: plain.execute(*key_sql).fetchall(),  # type: ignore[call-overload]
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for run in range(runs + 20):
            for way in sorted(ways, reverse=bool(run % 2)):
                session.expunge_all()
                elapsed = timed(ways[way])
                if run >= 20:
                    times[way].append(elapsed)
        spent = {}
        for way, run_it in ways.items():
            before = processor_seconds(plain)
            for _ in range(runs):
                session.expunge_all()
                run_it()
            spent[way] = (processor_seconds(plain) - before) / runs * 1000
    p50 = {way: float(np.median(found)) * 1000 for way, found in times.items()}
    what = f"near() by {name}, less the ORM's row cost, over the same SQL by psycopg"
    return [
        Target("overhead", what, beyond_rows(p50), 1.15, True, note(p50)),
        Target(
            "overhead",
            "the same in processor time, client and server",
            beyond_rows(spent),
            None,
            True,
            note(spent),
        ),
    ]


def beyond_rows(milliseconds: dict[str, float]) -> float:
    """Return near() less what the ORM takes for as many rows in any case, over the same SQL by psycopg."""
    row_cost = milliseconds["rows"] - milliseconds["rows by psycopg"]
    return (milliseconds["near"] - row_cost) / milliseconds["near by psycopg"]


def note(milliseconds: dict[str, float]) -> str:
    return ", ".join(f"{way} {value:.3f} ms" for way, value in milliseconds.items())


def timed(way: Callable[[], object]) -> float:
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
