"""What `imgvec browse` takes at the server: first results, a changed filter, a click to similar pictures, by size and filter.

Usage: python benchmarks/browse.py [--rows 1000000] [--rounds 20] [--server DIR, kept for the next run] [--json FILE]. Generated
vectors (benchmarks/generator.py) by COPY, an HNSW index, and for pictures those of the demo, repeated. Each figure is a whole
request of the page through Flask's test client (session, filters from the catalogue, search, SQL, template): the median and the
highest of the rounds in ms by the clock, and the median of processor time of this process. Every round asks with another vector
or row. The table is kept in benchmarks/results/browse.txt.
"""

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

from flask.testing import FlaskClient
from generator import DIMENSIONS, copy_embeddings, generate
from psycopg import sql

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.demo.pictures import read_manifest, unpack_pictures
from imgvec_pg.pages.application import pages_app
from imgvec_pg.search.query_types import vector_text
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec

TOKEN = "benchmark"  # noqa: S105 - of a server that ends with the run
FILTERS = {
    "no filter": {},
    "50 %": {"max:price": "500"},
    "5 %": {"max:price": "50"},
    "0.1 %": {"max:price": "1"},
}
LIMITS_MS = {"first results": 300, "filter change": 300, "click to similar": 150, "scrolling on": 300}


def main() -> None:
    """Make the shop and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--server", type=Path)
    parser.add_argument("--json", type=Path, help="file for the medians, in ms")
    options = parser.parse_args()
    directory = options.server or make_temporary_directory("imgvec-browse-")
    settings = {"fsync": "off", "shared_buffers": "4GB", "maintenance_work_mem": "4GB"}
    try:
        with LocalServer(directory, settings=settings, die_with_parent=True) as server:
            dsn = server.dsn()
            photos = directory / "photos"
            with connect(dsn) as connection:
                seconds = fill(connection, photos, options.rows)
                warm(connection)
            print(f"{options.rows:,} rows, {DIMENSIONS} dimensions; filled and indexed in {seconds:.0f} s")
            medians = report(dsn, options.rows, options.rounds)
    finally:
        if options.server is None:
            shutil.rmtree(directory, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(medians))


def fill(connection: Connection, photos: Path, rows: int) -> float:
    """Make table, collection, vectors and index where they are missing; return the seconds that it took."""
    row = connection.execute("SELECT to_regclass('public.item')").fetchone()
    if row is not None and row[0] is not None:
        return 0.0
    began = time.perf_counter()
    upgrade(connection)
    files = [picture.file for picture in read_manifest()]
    photos.mkdir(exist_ok=True)
    unpack_pictures(photos)
    connection.execute(
        "CREATE TABLE item (id bigint PRIMARY KEY, name text, shade text, price numeric, in_stock boolean, made date, file text)"
    )
    # Price in thousandths of the rows, in an order of its own, so that a filter is not a range of keys.
    connection.execute(
        "INSERT INTO item SELECT i, 'item ' || i, (ARRAY['red', 'green', 'blue', 'white'])[1 + i %% 4],"
        " 1 + (i::bigint * 7919) %% 1000, i %% 3 <> 0, date '2020-01-01' + (i %% 2000)::int,"
        " (%s::text[])[1 + i %% %s] FROM generate_series(1, %s) AS i",
        [files, len(files), rows],
    )
    connection.execute("CREATE INDEX ON item (price)")
    collection = create_collection(
        connection,
        CollectionSpec(
            name="item",
            source="item",
            image="file",
            model="test/512",
            dimensions=DIMENSIONS,
            has_text=True,
            root=str(photos),
        ),
    )
    connection.execute("ALTER TABLE imgvec.item_embedding DISABLE TRIGGER USER")
    copy_embeddings(connection, collection, generate(rows)[0])
    # Pictures that differ, as the library's own rows have them.
    connection.execute("UPDATE imgvec.item_embedding SET content_hash = sha256(id::text::bytea)")
    connection.execute("VACUUM (ANALYZE) imgvec.item_embedding")
    connection.execute("VACUUM (ANALYZE) item")
    build_index(connection, collection)
    keep_words(connection, collection, generate(rows, 200)[1])
    return time.perf_counter() - began


def keep_words(connection: Connection, collection: Collection, vectors: object) -> None:
    """Put words into the cache of texts, so that the search is timed and not the model."""
    for number, vector in enumerate(vectors):  # type: ignore[arg-type,var-annotated]
        connection.execute(
            sql.SQL("INSERT INTO imgvec.text_embedding (model_id, text, embedding) VALUES (%s, %s, %s)"),
            [collection.model_id, f"words {number}", vector_text(vector)],
        )


def warm(connection: Connection) -> None:
    """Read tables and indexes into the server's memory."""
    connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
    collection = get_collection(connection, "item")
    for (relation,) in connection.execute(
        "SELECT c.oid FROM pg_class AS c WHERE c.relname LIKE 'item%%' AND c.relkind IN ('r', 'i')"
    ).fetchall():
        connection.execute("SELECT pg_prewarm(%s::oid::regclass)", [relation])
    assert collection.name == "item"


def visit(client: FlaskClient, query: dict[str, str], part: str = "results") -> tuple[float, float]:
    """Make a request; return its ms by the clock and of this process's processor time."""
    began, used = time.perf_counter(), time.process_time()
    answer = client.get(f"/?{urlencode(query)}", headers={"X-Imgvec-Part": part} if part else {})
    taken = 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - used)
    assert answer.status_code == 200, answer.text[-2000:]
    assert 'class="card' in answer.text
    return taken


def questions(
    rows: int, filters: dict[str, str]
) -> Iterator[tuple[str, Callable[[int], dict[str, str]], str]]:
    """Give each kind of request: its name, its query by round, the part of the page it asks for."""
    yield "first results", lambda number: filters, ""
    yield "filter change", lambda number: {"q": f"words {number % 200}", **filters}, "results"
    yield "click to similar", lambda number: {"like": str(1 + number * 7919 % rows), **filters}, "results"


def report(dsn: str, rows: int, rounds: int) -> dict[str, float]:
    """Print medians for each filter, and return those by the clock, in ms."""
    medians: dict[str, float] = {}
    client = pages_app(dsn, TOKEN, "item").test_client()
    client.get(f"/?token={TOKEN}")
    print(f"{'request':<20}{'filter':<12}{'median ms':>10}{'highest':>10}{'our CPU ms':>12}{'wanted':>8}")
    for name, filters in FILTERS.items():
        for kind, query, part in questions(rows, filters):
            visit(client, query(rounds + 1), part)
            taken = [visit(client, query(number), part) for number in range(rounds)]
            clock, processor = zip(*taken, strict=True)
            medians[f"{kind}, {name}"] = statistics.median(clock)
            print(
                f"{kind:<20}{name:<12}{statistics.median(clock):>10.0f}{max(clock):>10.0f}"
                f"{statistics.median(processor):>12.0f}{LIMITS_MS[kind]:>8}",
                flush=True,
            )
    again = [visit(client, {"q": "words 7", "seen": str(seen)}, "cards") for seen in (0, 48, 96, 144, 192)]
    medians["scrolling on, highest"] = max(clock for clock, _ in again)
    print(f"scrolling on, highest of five pages: {medians['scrolling on, highest']:.0f} ms")
    return medians


if __name__ == "__main__":
    main()
