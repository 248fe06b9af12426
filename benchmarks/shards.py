"""Search over shards beside one server that holds all rows: time, recall, filters, joins, a slow network, a shard away.

Run: python benchmarks/shards.py [--rows N] [--dimensions D] [--queries N] [--rounds N] [--fill-rows N]. Three servers of a third
of the rows each, one with all rows and a coordinator, private ones on this machine, over TCP on loopback. Vectors:
benchmarks/millions/vectors.py. In turns; p50 of the client's time for one statement. The table printed is kept in
benchmarks/results/shards.txt.
"""

import argparse
import shutil
import socket
import statistics
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from millions.vectors import QUERY_BLOCK, Generator
from psycopg import sql
from psycopg.conninfo import make_conninfo
from shards_fill import compare_fills

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.shards.coordinator import span_collection
from imgvec_pg.shards.servers import add_shard
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec

Vectors = npt.NDArray[np.float32]
Servers = Mapping[str, tuple[LocalServer, int]]

SHARDS = ("a", "b", "c")
PASSWORD = "benchmark"  # noqa: S105 - of a server that ends with this run
DELAY_MS = 5.0
SETTINGS = {"shared_buffers": "1GB", "maintenance_work_mem": "2GB", "fsync": "off", "max_wal_size": "4GB"}


def make_vectors(rows: int, dimensions: int, block: int) -> Vectors:
    """Return unit vectors, shape (rows, dimensions): one block of those that other benchmarks of many rows search."""
    return Generator(dimensions).block(block, rows).astype(np.float32)


def fill(dsn: str, keys: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32]) -> None:
    """Make the table and its collection, with vectors as they are, and build the index."""
    with connect(dsn) as connection:
        migrations.upgrade(connection)
        connection.execute(
            "CREATE TABLE item (id bigint PRIMARY KEY, picture bytea, tenant integer);"
            "ALTER TABLE item ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY tenant ON item USING (tenant = current_setting('app.tenant')::integer);"
            f"CREATE ROLE reader LOGIN IN ROLE imgvec_reader PASSWORD '{PASSWORD}'; GRANT SELECT ON item TO reader"
        )
        with connection.cursor().copy("COPY item FROM STDIN") as copy:
            for key in keys:
                copy.write_row((int(key), "x", int(key) % 10))
        spec = CollectionSpec("item_test", "item", ["picture"], "test/vectors", vectors.shape[1], True)
        made = create_collection(connection, spec)
        with connection.cursor().copy(
            sql.SQL("COPY {} (id, embedding, version, content_hash, precision) FROM STDIN").format(
                sql.Identifier("imgvec", made.embedding_table)
            )
        ) as copy:
            for key, vector in zip(keys, vectors, strict=True):
                copy.write_row((int(key), str(vector.tolist()), 1, "", "fp32"))
        build_index(connection, get_collection(connection, made.name))
        connection.execute("ANALYZE")


class Proxy:
    """Passes bytes on between a client and a server, DELAY_MS later in each direction."""

    def __init__(self, port: int, delay_ms: float) -> None:
        self._port, self._delay = port, delay_ms / 1000
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            for here, there in ((client, server), (server, client)):
                here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass, args=(here, there), daemon=True).start()

    def _pass(self, here: socket.socket, there: socket.socket) -> None:
        while True:
            try:
                data = here.recv(1 << 16)
                if not data:
                    there.shutdown(socket.SHUT_WR)
                    return
                time.sleep(self._delay)
                there.sendall(data)
            except OSError:
                return


@contextmanager
def server(stack: ExitStack) -> Iterator[tuple[LocalServer, int]]:
    """Give a private server and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = make_temporary_directory("imgvec-shards-")
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    made = stack.enter_context(LocalServer(directory, settings=SETTINGS, die_with_parent=True, port=port))
    with connect(made.dsn()) as connection:
        connection.execute(f"CREATE ROLE asker LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    yield made, port


def p50(ask: Callable[[int], Any], queries: int) -> float:
    """Return the median milliseconds of a call."""
    times = []
    for place in range(queries):
        began = time.perf_counter()
        ask(place)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


STOPS = 20
RECALL = 0.995
LADDER = (10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 600, 800, 1000)
FILTERS = {"none": None, "50 %": 2, "1 %": 100, "0.01 %": 10_000}


def ask_with(
    connection: Connection, queries: list[str], every: int | None, k: int = 10
) -> Callable[[int], list[Any]]:
    """Return a call that asks the k nearest among the rows whose key a number divides."""

    def ask(place: int) -> list[Any]:
        if every is None:
            return connection.execute(
                f"SELECT id, distance FROM imgvec.search_item_test(%s, {k})", [queries[place % len(queries)]]
            ).fetchall()
        return connection.execute(
            f"SELECT id, distance FROM imgvec.search_item_test(%s, {k}, %s)",
            [queries[place % len(queries)], connection.keys[every]],  # type: ignore[attr-defined]
        ).fetchall()

    return ask


def truth(
    vectors: npt.NDArray[np.float32],
    query: npt.NDArray[np.float32],
    every: int | None,
    k: int,
    owner: int | None = None,
) -> set[int]:
    """Return the keys, from 1, of the k nearest, of a tenant's own where one is given."""
    distances = 1 - vectors @ query
    keys = np.arange(1, len(vectors) + 1)
    if owner is not None:
        distances, keys = distances[keys % 10 == owner], keys[keys % 10 == owner]
    if every is not None:
        distances, keys = distances[keys % every == 0], keys[keys % every == 0]
    return set(keys[np.argsort(distances, kind="stable")[:k]].tolist())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--fill-rows", type=int, default=3_000, help="pictures of each shard that are embedded; 0 for none"
    )
    given = parser.parse_args()
    vectors = make_vectors(given.rows, given.dimensions, 2)
    asked = make_vectors(given.queries, given.dimensions, QUERY_BLOCK)
    queries = [str(query.tolist()) for query in asked]
    keys = np.arange(1, given.rows + 1)
    with ExitStack() as stack:
        whole, _ = stack.enter_context(server(stack))
        here, _ = stack.enter_context(server(stack))
        shards = {name: stack.enter_context(server(stack)) for name in SHARDS}
        began = time.perf_counter()
        fill(whole.dsn(), keys, vectors)
        print(
            f"{given.rows:,} rows of {given.dimensions} dimensions; one server filled in {time.perf_counter() - began:.0f} s"
        )
        began = time.perf_counter()
        for place, (made, _) in enumerate(shards.values()):
            fill(made.dsn(), keys[place::3], vectors[place::3])
        print(f"three shards filled one after the other in {time.perf_counter() - began:.0f} s")
        proxies = {name: Proxy(port, DELAY_MS) for name, (_, port) in shards.items()}
        with connect(here.dsn()) as coordinator:
            migrations.upgrade(coordinator)
            for name, (_, port) in shards.items():
                login = make_conninfo(
                    "", host="127.0.0.1", port=port, dbname="postgres", user="asker", password=PASSWORD
                )
                add_shard(coordinator, name, login)
            span_collection(coordinator, "item_test", SHARDS)
        with connect(whole.dsn()) as one, connect(here.dsn()) as many:
            for connection in (one, many):
                connection.keys = {n: keys[keys % n == 0].tolist() for n in FILTERS.values() if n}  # type: ignore[attr-defined]
            compare(one, many, queries, asked, vectors, given.rounds)
            many.execute("SET statement_timeout = '5s'")
            print(
                "the coordinator's session with statement_timeout = '5s', which spares looking for answers:"
            )
            compare(one, many, queries, asked, vectors, given.rounds, only=("none", "0.01 %"))
            goal = RECALL
            for connection, which in ((one, "one server"), (many, "shards")):
                ef_search, goal = widen(connection, queries, asked, vectors, goal)
                print(f"hnsw.ef_search of {which}: {ef_search}, for a recall of {goal:.3f}")
            compare(one, many, queries, asked, vectors, given.rounds)
            on_its_own_machine(one, many, queries, given.rounds)
        joins(whole.dsn(), here.dsn(), queries)
        hidden(whole.dsn(), here, queries, asked, vectors, given.rounds)
        slow_network(here.dsn(), proxies, shards, queries)
        stopped(here.dsn(), shards, queries)
    if given.fill_rows:
        compare_fills(given.fill_rows)


def compare(
    one: Connection,
    many: Connection,
    queries: list[str],
    asked: Vectors,
    vectors: Vectors,
    rounds: int,
    *,
    only: Collection[str] = (),
    owner: int | None = None,
) -> None:
    """Print times and recall by filter, in turns.

    Args:
        only: Filters; none for all.
        owner: A tenant whose rows alone are seen.
    """
    print(
        f"{'among':8} {'one p50':>9} {'shards p50':>11} {'ratio':>6} {'one recall':>11} {'recall':>7} {'short':>6}"
    )
    for label, every in FILTERS.items():
        if only and label not in only:
            continue
        first, second = ask_with(one, queries, every), ask_with(many, queries, every)
        ratios, times = [], []
        for _ in range(rounds):
            pair = p50(first, len(queries)), p50(second, len(queries))
            times.append(pair)
            ratios.append(pair[1] / pair[0])
        hits, short = [0, 0], 0
        wanted = 0
        for place, query in enumerate(asked):
            expected = truth(vectors, query, every, 10, owner)
            wanted += len(expected)
            for which, ask in enumerate((first, second)):
                found = [row[0] for row in ask(place)]
                hits[which] += len(expected & set(found))
                short += which == 1 and len(found) < len(expected)
        print(
            f"{label:8} {statistics.median(t[0] for t in times):6.2f} ms {statistics.median(t[1] for t in times):8.2f} ms "
            f"{statistics.median(ratios):6.2f} {hits[0] / max(wanted, 1):11.3f} {hits[1] / max(wanted, 1):7.3f} {short:6}",
            flush=True,
        )


def widen(
    connection: Connection, queries: list[str], asked: Vectors, vectors: Vectors, goal: float
) -> tuple[int, float]:
    """Set the smallest hnsw.ef_search of that recall for half of the queries; return it and the recall, at most the goal."""
    expected = [truth(vectors, query, None, 10) for query in asked[::2]]
    ask = ask_with(connection, queries, None)
    for ef_search in LADDER:
        connection.execute(f"SET hnsw.ef_search = {ef_search}")
        hits = sum(len(wanted & {row[0] for row in ask(2 * place)}) for place, wanted in enumerate(expected))
        recall = hits / (10 * len(expected))
        if recall >= goal:
            break
    return ef_search, min(recall, goal)


def on_its_own_machine(one: Connection, many: Connection, queries: list[str], rounds: int) -> None:
    """Print what the coordinator and one of the shards take: what all take where each has processors of its own.

    Asking and merging the answers of one shard instead of all is left out of it.
    """
    span_collection(many, "item_test", SHARDS[:1])
    pairs = []
    for _ in range(rounds):
        pairs.append([p50(ask_with(connection, queries, None), len(queries)) for connection in (one, many)])
    span_collection(many, "item_test", SHARDS)
    alone, through = (statistics.median(pair[place] for pair in pairs) for place in (0, 1))
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    print(
        f"the coordinator and one shard, so that no two share a core: {alone:.2f} ms, {through:.2f} ms, {ratio:.2f}",
        flush=True,
    )


def joins(whole: str, here: str, queries: list[str]) -> None:
    """Print what a join with a table of the coordinator's takes beside the same join in one server."""
    with connect(whole) as one, connect(here) as many:
        for connection in (one, many):
            connection.execute(
                "CREATE TABLE offer AS SELECT i::bigint AS id, (i % 100)::integer AS shelf FROM generate_series(1, 1000000) AS i;"
                "CREATE UNIQUE INDEX ON offer (id); ANALYZE offer; SET hnsw.iterative_scan = 'strict_order'"
            )
        for label, condition in (
            ("no condition", ""),
            ("half", "WHERE o.shelf < 50"),
            ("5 %", "WHERE o.shelf < 5"),
        ):
            statement = (
                "SELECT n.id FROM imgvec.near_item_test(%s) AS n JOIN offer AS o USING (id) "
                f"{condition} ORDER BY n.distance LIMIT 10"
            )
            calls = [
                lambda place, c=connection, s=statement: c.execute(
                    s, [queries[place % len(queries)]]
                ).fetchall()
                for connection in (one, many)
            ]
            times = [p50(call, len(queries)) for call in calls]
            short = sum(len(calls[1](place)) < 10 for place in range(len(queries)))
            print(
                f"near_* joined, {label}: {times[0]:.2f} ms, shards {times[1]:.2f} ms, {times[1] / times[0]:.2f}; {short} short",
                flush=True,
            )


def hidden(
    whole: str, here: LocalServer, queries: list[str], asked: Vectors, vectors: Vectors, rounds: int
) -> None:
    """Print the same for a role that sees one tenant's rows, a tenth, by policies that read a setting."""
    with connect(here.dsn()) as admin:
        span_collection(admin, "item_test", SHARDS, passed_settings=["app.tenant"])
        admin.execute(f"CREATE ROLE reader LOGIN IN ROLE imgvec_reader PASSWORD '{PASSWORD}'")
        for name in SHARDS:
            admin.execute(
                f"CREATE USER MAPPING FOR reader SERVER imgvec_shard_{name} OPTIONS (user 'reader', password '{PASSWORD}')"
            )
    login = {"user": "reader", "password": PASSWORD}
    with connect(make_conninfo(whole, **login)) as one, connect(make_conninfo(here.dsn(), **login)) as many:
        for connection in (one, many):
            connection.execute("SELECT set_config('app.tenant', '3', false)")
            connection.keys = {2: list(range(3, len(vectors) + 1, 20))}  # type: ignore[attr-defined]
        print("row-level security, a tenth of the rows seen:")
        compare(one, many, queries, asked, vectors, rounds, only=("none",), owner=3)
    with connect(here.dsn()) as admin:
        span_collection(admin, "item_test", SHARDS)


def slow_network(dsn: str, proxies: Mapping[str, Proxy], shards: Servers, queries: list[str]) -> None:
    """Print what a delay on each connection adds: once, or once a shard."""
    with connect(dsn) as admin:
        near = p50(ask_with(admin, queries, None), len(queries))
        for name in shards:
            admin.execute(f"ALTER SERVER imgvec_shard_{name} OPTIONS (SET port '{proxies[name].port}')")
    with connect(dsn) as far:
        slow = p50(ask_with(far, queries, None), len(queries))
    added = (slow - near) / (2 * DELAY_MS)
    print(f"{2 * DELAY_MS:.0f} ms there and back: {near:.2f} -> {slow:.2f} ms, {added:.2f} of it added")
    with connect(dsn) as admin:
        for name, (_, port) in shards.items():
            admin.execute(f"ALTER SERVER imgvec_shard_{name} OPTIONS (SET port '{port}')")


def stopped(dsn: str, shards: Servers, queries: list[str]) -> None:
    """Print how long a stopped shard takes to be told, what partial gives, and whether answers are whole afterwards."""
    with connect(dsn) as asker:
        ask = ask_with(asker, queries, None)
        expected = [ask(place) for place in range(len(queries))]
        made, _ = shards["b"]
        took, told, whole = [], set(), 0
        for stop in range(STOPS):
            made.stop()
            began = time.perf_counter()
            try:
                ask(0)
                told.add("NOT TOLD")
            except Exception as error:
                told.add(str(error).splitlines()[0])
            took.append(time.perf_counter() - began)
            if stop == 0:
                partial = asker.execute(
                    "SELECT * FROM imgvec.search_item_test(%s, 10, partial => true)", [queries[0]]
                ).fetchall()
                way = asker.execute("SELECT imgvec.last_search_strategy()").fetchone()
            made.start()
            whole += ask(stop % len(queries)) == expected[stop % len(queries)]
        print(
            f"a shard stopped {STOPS} times: told after {max(took):.3f} s at most: {', '.join(sorted(told))}"
        )
        print(f"partial: {len(partial)} rows, {way and way[0]}")
        print(f"started again: {whole} of {STOPS} next answers whole, as before")
        same = sum(ask(place % len(queries)) == expected[place % len(queries)] for place in range(1000))
        print(f"then {same} of 1,000 answers whole")


if __name__ == "__main__":
    main()
