"""search_* and search() over the grid of filters against the forced ways."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import sqlalchemy as sa
from generator import Vectors
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from imgvec_pg.database.connect import Connection
from imgvec_pg.sqlalchemy.executor import search
from searching.shop import KINDS, SELECTIVITIES, Filter, K, Shop, recall
from searching.target import Target

EF_SEARCH = 200
"""What reaches recall 0.99 without a filter at 100,000 rows; `imgvec index tune` would store it."""
FORMS = {"search_*": (0,), "search()": (1, 2, 3)}
"""What is asked, and with how many tables in the select."""
FORCED = {
    "strict": ("strict_order", "n.distance"),
    "relaxed": ("relaxed_order", "n.distance"),
    "exact": ("strict_order", "n.distance + 0"),
}
METADATA = sa.MetaData()
ITEM = sa.Table(
    "item",
    METADATA,
    sa.Column("id", sa.BigInteger),
    sa.Column("category_id", sa.Integer),
    sa.Column("brand_id", sa.Integer),
    sa.Column("share", sa.REAL),
)
CATEGORY = sa.Table("category", METADATA, sa.Column("id", sa.Integer), sa.Column("code", sa.Integer))
BRAND = sa.Table("brand", METADATA, sa.Column("id", sa.Integer), sa.Column("name", sa.Text))


@dataclass(frozen=True)
class Measured:
    """Median milliseconds, the share of the rows wanted that came back in the worst case, and the mean recall."""

    ms: float
    rows: float
    recall: float


def measure(
    dsn: str,
    connection: Connection,
    shop: Shop,
    queries: int,
    forms: Sequence[str] = tuple(FORMS),
    *,
    by_cpu: bool = False,
) -> Iterator[Target]:
    """Time each cell's ways in turn and give the targets.

    Args:
        forms: Which of FORMS.
        by_cpu: Take the processor time of the server's process and of this one, not the clock's: what other work takes
            of the machine is then in no figure.
    """
    register_vector(connection)
    connection.execute("UPDATE imgvec.collection SET ef_search = %s", [EF_SEARCH])
    connection.execute(TIMED)  # type: ignore[arg-type]
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    size = f"{len(shop.stored):,} x {shop.stored.shape[1]}"
    for name, joins in FORMS.items():
        if name not in forms:
            continue
        regrets, recalls, rows = [], [], []
        for kind in KINDS:
            for selectivity in SELECTIVITIES:
                asked = [(q, shop.filter(kind, selectivity, q)) for q in shop.queries[:queries]]
                for join in joins:
                    with ways(connection, engine, join, by_cpu=by_cpu) as ask:
                        found = {way: collect(ask, way, shop, asked) for way in ("ours", *FORCED)}
                    fit = [
                        m.ms for way, m in found.items() if way != "ours" and m.recall >= 0.99 and m.rows >= 1
                    ]
                    ours = found["ours"]
                    regrets.append(ours.ms / min(fit))
                    recalls.append(ours.recall)
                    rows.append(ours.rows)
                    cells = " ".join(
                        f"{way} {m.ms:.2f} ms {m.rows:.2f} {m.recall:.3f}," for way, m in found.items()
                    )
                    print(
                        f"  {name} {size} {kind} {selectivity:.2%} joins {join}: {cells} regret {regrets[-1]:.2f}",
                        flush=True,
                    )
        yield Target("grid", f"{name}, {size}: least share of the rows wanted", min(rows), 1.0, False)
        yield Target("grid", f"{name}, {size}: recall@10, mean of the worst cell", min(recalls), 0.99, False)
        yield Target("grid", f"{name}, {size}: regret, median of the cells", float(np.median(regrets)), 1.3)
        yield Target("grid", f"{name}, {size}: regret, worst cell", max(regrets), 2.0)
    engine.dispose()


Ask = Callable[[str, Vectors, Filter, list[int]], tuple[float, list[int]]]


def collect(ask: Ask, way: str, shop: Shop, asked: list[tuple[Vectors, Filter]]) -> Measured:
    """Ask every question twice by one way and keep the fastest."""
    times, rows, recalls = [], [], []
    for query, chosen in asked:
        keys = shop.matching(chosen)
        distance = 1 - shop.stored[np.array(keys) - 1] @ query
        truth = [keys[n] for n in np.argsort(distance)[:K]]
        runs = [ask(way, query, chosen, keys) for _ in range(2)]
        times.append(min(ms for ms, _ in runs))
        rows.append(len(runs[0][1]) / len(truth))
        recalls.append(recall(runs[0][1], truth))
    return Measured(float(np.median(times)), min(rows), float(np.mean(recalls)))


# On the server: sending 50,000 keys takes a client longer than any search.
TIMED = """
CREATE OR REPLACE FUNCTION timed(statement text, query halfvec, keys bigint[], OUT ms float8, OUT ids bigint[])
LANGUAGE plpgsql AS $$
DECLARE started timestamptz := clock_timestamp();
BEGIN
    EXECUTE statement INTO ids USING query, keys;
    ms := 1000 * extract(epoch FROM clock_timestamp() - started);
END $$"""


@contextmanager
def ways(connection: Connection, engine: sa.Engine, joins: int, *, by_cpu: bool) -> Iterator[Ask]:
    """Give what asks one question: keys on the server without joins, a select through SQLAlchemy with them."""
    own = connection.info.backend_pid

    def ask_keys(way: str, query: Vectors, _: Filter, keys: list[int]) -> tuple[float, list[int]]:
        inner = f"SELECT n.id FROM imgvec.search_item($1, {K}, $2) AS n"
        with connection.transaction():
            if way != "ours":
                scan, order = FORCED[way]
                force(lambda n, v: connection.execute("SELECT set_config(%s, %s, true)", [n, v]), way, scan)
                inner = f"SELECT n.id FROM imgvec.near_item($1) AS n WHERE n.id = ANY ($2) ORDER BY {order} LIMIT {K}"
            values = [f"SELECT array_agg(id) FROM ({inner}) AS f", HalfVector(query), keys]
            started = run_seconds(own) if by_cpu else 0.0
            # With the keys' way into the server, where it is the processor time: the same for each way.
            row = connection.execute("SELECT ms, ids FROM timed(%s, %s, %s)", values).fetchone()
            taken = 1000 * (run_seconds(own) - started) if by_cpu else None
        assert row is not None
        return row[0] if taken is None else taken, row[1] or []

    with engine.connect() as opened:
        driver: Any = opened.connection.driver_connection
        its = driver.info.backend_pid

        def seconds() -> float:
            return time.process_time() + run_seconds(its) if by_cpu else time.perf_counter()

        if joins:
            opened.execute(sa.text("SELECT '[1]'::halfvec"))

        def ask_select(way: str, query: Vectors, chosen: Filter, _: list[int]) -> tuple[float, list[int]]:
            statement = select(chosen, joins)
            with opened.begin_nested():
                if way == "ours":
                    started = seconds()
                    found = [row[0] for row in search(opened, statement, "item", query, K).rows]
                    return 1000 * (seconds() - started), found
                scan, order = FORCED[way]
                force(lambda n, v: opened.execute(sa.select(sa.func.set_config(n, v, True))), way, scan)
                # Made within the time, as search() makes its own.
                started = seconds()
                vector = sa.cast(HalfVector(query).to_text(), HALFVEC)
                near = (
                    sa.func.imgvec.near_item(vector)
                    .table_valued(sa.column("id"), sa.column("distance", sa.Double))
                    .alias("n")
                )
                by_hand = (
                    statement.add_columns(near.c.distance)
                    .where(near.c.id == ITEM.c.id)
                    .order_by(sa.literal_column(order))
                    .limit(K)
                )
                found = [row[0] for row in opened.execute(by_hand)]
                return 1000 * (seconds() - started), found

        yield ask_select if joins else ask_keys


def run_seconds(process: int) -> float:
    """Return the processor time of a process to the nanosecond (Linux: schedstat)."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def force(set_local: Callable[[str, str], Any], way: str, scan: str) -> None:
    """Force the index, or leave the plan of an exact search to PostgreSQL."""
    for name, value in {"hnsw.iterative_scan": scan, "hnsw.ef_search": str(EF_SEARCH)}.items():
        set_local(name, value)
    for node in ("sort", "seqscan", "bitmapscan", "hashjoin", "mergejoin"):
        set_local(f"enable_{node}", "on" if way == "exact" else "off")


class _Halfvec(sa.types.UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name."""
        return "halfvec"


HALFVEC = _Halfvec()


def select(chosen: Filter, joins: int) -> sa.Select[Any]:
    """Return the filter as a select over item with one to three tables."""
    columns = [ITEM.c.id, CATEGORY.c.code, BRAND.c.name][:joins]
    statement = sa.select(*columns).select_from(ITEM)
    if joins >= 2:
        statement = statement.join(CATEGORY, CATEGORY.c.id == ITEM.c.category_id)
    if joins >= 3:
        statement = statement.join(BRAND, BRAND.c.id == ITEM.c.brand_id)
    statement = statement.where(ITEM.c.share < chosen.share)
    if chosen.categories is not None:
        column, first = (CATEGORY.c.code, 1000) if joins >= 2 else (ITEM.c.category_id, 0)
        codes = [first + number for number in chosen.categories]
        # As one array: IN with 200 values takes SQLAlchemy longer to write than the search takes.
        statement = statement.where(column == sa.any_(sa.literal(codes, sa.ARRAY(sa.Integer))))
    return statement
