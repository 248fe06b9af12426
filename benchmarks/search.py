"""Search in SQL against its targets: a table, or --json; exit code 1 when one is missed or a peer is missing.

Usage: python benchmarks/search.py [--only overhead,grid,pictures,hidden,storage,peers,words,standby]
[--rows 10000,100000,1000000] [--queries N a cell of the grid, else 40, of 100,000 rows 20 and of a million 10] [--json]
[--server DIR, kept for the next run] [--forms 'search_*,search()' of the grid] [--cpu: the grid by processor time, beside other
work]. 100,000 rows, or the size next below, serve hidden, storage and peers; a million rows
take a quarter to half an hour to index. Ratios compare ways that ran in turn.
"""

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

from generator import describe
from searching import grid, hidden, overhead, peers, pictures, standby, storage, words
from searching.shop import Shop, imagine, open_shop
from searching.target import Target

from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory

PARTS = ("overhead", "grid", "pictures", "hidden", "storage", "peers", "words", "standby")
MIDDLE = 100_000
QUERIES = ((20_000, 40), (MIDDLE, 20), (float("inf"), 10))
"""Of a cell, for shops up to so many rows: with ten, whether a forced way reaches recall 0.99 is chance."""


@dataclasses.dataclass(frozen=True)
class GridOptions:
    """How the grid is measured: queries a cell (None: by size), which forms, whether by processor time."""

    queries: int | None
    forms: list[str]
    by_cpu: bool


def main() -> int:
    """Measure the parts asked for and print every target beside its figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--rows", default="10000,100000")
    parser.add_argument("--queries", type=int, help="a cell of the grid")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--server", type=Path)
    parser.add_argument("--forms", default=",".join(grid.FORMS))
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    directory = options.server or make_temporary_directory("imgvec-search-")
    settings = {"fsync": "off", "shared_buffers": "4GB"}
    with redirect_stdout(sys.stderr if options.json else sys.stdout):
        try:
            with LocalServer(directory, settings=settings, die_with_parent=True) as server:
                sizes = sorted(map(int, options.rows.split(",")))
                of_grid = GridOptions(options.queries, options.forms.split(","), options.cpu)
                targets = list(measure(server, options.only.split(","), sizes, of_grid))
        finally:
            if options.server is None:
                shutil.rmtree(directory, ignore_errors=True)
    if options.json:
        print(json.dumps([{**dataclasses.asdict(t), "verdict": t.verdict} for t in targets], indent=2))
    else:
        print()
        for target in targets:
            print(target.line())
    return 1 if any(target.verdict in ("missed", "not measured") for target in targets) else 0


def measure(
    server: LocalServer, parts: list[str], sizes: list[int], options: GridOptions
) -> Iterator[Target]:
    """Run the parts; data is made only where one needs it."""
    if "overhead" in parts:
        yield from overhead.measure(server)
    if "words" in parts:
        yield from words.measure()
    if "standby" in parts:
        yield from standby.measure()
    if "pictures" in parts:
        yield from measure_grid(server, "pictures", pictures.imagine_pictures(), options)
    if not {"grid", "hidden", "storage", "peers"} & set(parts):
        return
    middle = max([rows for rows in sizes if rows <= MIDDLE], default=sizes[0])
    for rows in sizes:
        shop = imagine(rows)
        if "grid" in parts:
            yield from measure_grid(server, str(rows), shop, options)
        if rows != middle:
            continue
        with open_shop(server, shop) as connection:
            if "hidden" in parts:
                yield from hidden.measure(connection, shop)
            if "storage" in parts:
                yield from storage.measure(connection, shop)
            if "peers" in parts:
                yield from peers.measure(connection, shop)


def measure_grid(server: LocalServer, name: str, shop: Shop, options: GridOptions) -> Iterator[Target]:
    """Run the grid over one shop."""
    print(describe(shop.stored), flush=True)
    queries = options.queries or next(count for rows, count in QUERIES if len(shop.stored) <= rows)
    with open_shop(server, shop, name) as connection:
        dsn = server.dsn(f"shop_{name}")
        yield from grid.measure(dsn, connection, shop, queries, options.forms, by_cpu=options.by_cpu)


if __name__ == "__main__":
    sys.exit(main())
