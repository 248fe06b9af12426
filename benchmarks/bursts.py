"""What searches find inside and beside bursts of near copies, where an HNSW scan can get caught, and what noticing them costs.

Run: python benchmarks/bursts.py [--rows N] [--dimensions D]; a minute with the defaults, 10,000 rows of 256 dimensions. Beside
these, which lie around 200 centres, there are bursts of 10, 50, 200 and 1,000 pictures of cosine >= 0.995 to each other, and 40
pictures at cosine 0.75 to 0.96 beside each. Asked is, at the default ef_search, with a near copy of what lies inside (cosine
0.9998) and beside (0.98), and of rows far from any burst (`elsewhere`). `own` is the share of queries whose picture is among the
ten rows found, `recall` that of the ten nearest, from exact answers computed outside PostgreSQL (rows 1e-4 further than the
tenth count: an index keeps no more, and inside a burst that decides which are the ten); `wider` and `exact` are the
shares of searches that went on, `looked` that of those from Python that asked the index for the vectors of its list. Milliseconds
are medians. The table printed is kept in benchmarks/results/bursts.txt.
"""

import argparse
import os
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import psycopg
import sqlalchemy as sa

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.search.nearest import find_nearest
from imgvec_pg.sqlalchemy.executor import search
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.pictures.bursts import ListHead
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec

SIZES = {10: 20, 50: 8, 200: 4, 1000: 4}
"""Pictures of a burst, and how many such bursts there are."""
BESIDE, CENTRES, K, ASKED = 40, 200, 10, 160
PHOTO = sa.table("photo", sa.column("id", sa.BigInteger), schema="public")
Vectors = npt.NDArray[np.float64]
Answer = tuple[list[tuple[int, float]], str]


def unit(vectors: Vectors) -> Vectors:
    """Scale to length 1, in halves as PostgreSQL keeps them."""
    scaled = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled.astype(np.float16).astype(np.float64)


@dataclass
class Scene:
    """Vectors by key, and which keys lie where."""

    vectors: Vectors
    places: dict[tuple[int, str], list[int]] = field(default_factory=dict)


def make_scene(rows: int, dimensions: int, draw: np.random.Generator) -> Scene:
    """Draw the rows, the bursts and what lies beside them."""

    def noise(count: int) -> Vectors:
        return unit(draw.standard_normal((count, dimensions)))

    centres = draw.standard_normal((CENTRES, dimensions))
    parts = [unit(centres[np.arange(rows) % CENTRES] + draw.standard_normal((rows, dimensions)))]
    scene = Scene(parts[0], {(0, "elsewhere"): draw.permutation(rows)[:ASKED].tolist()})
    end = rows
    for size, count in SIZES.items():
        for _ in range(count):
            middle = unit(centres[draw.integers(CENTRES)] + draw.standard_normal(dimensions))
            parts.append(unit(middle + 0.05 * noise(size)))
            parts.append(unit(middle + draw.uniform(0.3, 0.8, (BESIDE, 1)) * noise(BESIDE)))
            scene.places.setdefault((size, "inside"), []).extend(range(end, end + size))
            scene.places.setdefault((size, "beside"), []).extend(range(end + size, end + size + BESIDE))
            end += size + BESIDE
    scene.vectors = np.concatenate(parts)
    return scene


def text(vector: Vectors) -> str:
    """Return a vector as SQL has it."""
    return "[" + ",".join(f"{x:.6g}" for x in vector) + "]"


def fill(connection: Connection, scene: Scene, draw: np.random.Generator) -> Collection:
    """Make the collection, its rows in random order, and its index."""
    dimensions = scene.vectors.shape[1]
    connection.execute("CREATE TABLE photo (id bigint PRIMARY KEY, file text)")
    connection.execute(
        "INSERT INTO photo SELECT i, 'x' FROM generate_series(0, %s) AS i", [len(scene.vectors) - 1]
    )
    spec = CollectionSpec(
        name="photo",
        source="photo",
        image=("file",),
        model=f"bench/{dimensions}",
        dimensions=dimensions,
        has_text=False,
        root="/srv/photos",
    )
    collection = create_collection(connection, spec)
    columns = "id, embedding, version, content_hash, precision"
    with connection.cursor().copy(f"COPY imgvec.photo_embedding ({columns}) FROM STDIN") as copy:
        for key in draw.permutation(len(scene.vectors)).tolist():
            copy.write_row((key, text(scene.vectors[key]), 1, key.to_bytes(32, "big"), "fp32"))
    build_index(connection, collection)
    connection.execute("VACUUM ANALYZE")
    return get_collection(connection, "photo")


class Looks:
    """Counts how often a search from Python asked for its list's vectors."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "Looks":
        real = ListHead.is_burst

        def counted(head: ListHead, *, by_picture: bool) -> bool:
            self.count += 1
            return real(head, by_picture=by_picture)

        self.real = real
        ListHead.is_burst = counted  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        ListHead.is_burst = self.real  # type: ignore[method-assign]


def ways(
    connection: Connection, engine_connection: sa.Connection, collection: Collection
) -> dict[str, Callable[[Vectors], Answer]]:
    """Return the ways to ask, each of which gives keys with distances and the strategy told."""

    def near(query: Vectors) -> Answer:
        call = "SELECT id, distance FROM imgvec.near_photo(%s::halfvec) ORDER BY distance LIMIT 10"
        return connection.execute(call, [text(query)]).fetchall(), "index"

    def by_search(query: Vectors) -> Answer:
        rows = connection.execute("SELECT * FROM imgvec.search_photo(%s::halfvec)", [text(query)]).fetchall()
        told = connection.execute("SELECT imgvec.last_search_strategy()").fetchone()
        return rows, str(told and told[0])

    def by_python(query: Vectors) -> Answer:
        found = find_nearest(connection, collection, query.astype(np.float32))
        return [(int(row.key["id"]), row.distance) for row in found.rows], found.strategy

    def by_sqlalchemy(query: Vectors) -> Answer:
        found = search(engine_connection, sa.select(PHOTO.c.id), "photo", query, K, key=[PHOTO.c.id])
        return [(row[0], row[1]) for row in found.rows], found.strategy

    return {
        "near_*": near,
        "search_*": by_search,
        "find_nearest()": by_python,
        "SQLAlchemy's search()": by_sqlalchemy,
    }


def ask(scene: Scene, find: Callable[[Vectors], Answer], keys: Sequence[int], queries: Vectors) -> str:
    """Ask with each query; return the figures as text."""
    exact = np.sort(1 - queries @ scene.vectors.T, axis=1)[:, K - 1]
    own, recall, seconds, told = [], [], [], Counter[str]()
    with Looks() as looks:
        for key, query, last in zip(keys, queries, exact, strict=True):
            began = time.perf_counter()
            rows, way = find(query)
            seconds.append(time.perf_counter() - began)
            own.append(any(found == key for found, _ in rows))
            recall.append(sum(distance <= last + 1e-4 for _, distance in rows) / K)
            told[way] += 1
    share = {name: told[name] / len(keys) for name in ("index, wider", "index, then exact")}
    return (
        f"{statistics.mean(own):>8.3f}{statistics.mean(recall):>8.3f}{share['index, wider']:>8.3f}"
        f"{share['index, then exact']:>8.3f}{looks.count / len(keys):>8.3f}{1000 * statistics.median(seconds):>8.2f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=256)
    options = parser.parse_args()
    draw = np.random.default_rng(7)
    scene = make_scene(options.rows, options.dimensions, draw)
    directory = make_temporary_directory("imgvec-benchmark-")
    settings = {"fsync": "off", "shared_buffers": "512MB", "jit": "off"}
    try:
        with (
            LocalServer(directory, settings=settings, die_with_parent=True) as server,
            connect(server.dsn()) as connection,
        ):
            upgrade(connection)
            collection = fill(connection, scene, draw)
            print(
                f"{len(scene.vectors):,} rows of {options.dimensions} dimensions; load {os.getloadavg()[0]:.1f}, "
                f"{os.cpu_count()} cores"
            )
            print("burst  where      by                        own  recall   wider   exact  looked      ms")
            engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(server.dsn()))
            with engine.connect() as engine_connection:
                report(scene, ways(connection, engine_connection, collection), draw)
            engine.dispose()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def report(scene: Scene, by: dict[str, Callable[[Vectors], Answer]], draw: np.random.Generator) -> None:
    """Print a line for each place and way."""
    for (size, where), keys in scene.places.items():
        asked = draw.permutation(keys)[:ASKED].tolist()
        noise = unit(draw.standard_normal((len(asked), scene.vectors.shape[1])))
        queries = unit(scene.vectors[asked] + (0.02 if where == "inside" else 0.2) * noise)
        for name, find in by.items():
            print(
                f"{size or '':>5}  {where:<9}  {name:<22}{ask(scene, find, asked, queries)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
