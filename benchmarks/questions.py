"""Recommend, classify, page and matrix over 100,000 rows: latency; and what disliked rows should weigh.

Run: python benchmarks/questions.py [--rows 100000] [--repeat 20]. No table is kept. Data: benchmarks/generator.py for the
latency (labels are held-out vectors in the cache of texts); for the weight the demo model's vectors of its 1,886 pictures:
three liked of one kind, three disliked of another kind of the same category, and the kinds of the ten found. There is no
target; read the figures beside plain search's.
"""

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np
from generator import DIMENSIONS, Vectors, copy_embeddings, describe, generate
from pgvector import HalfVector

from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.demo.pictures import load_images, read_manifest
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec

WEIGHTS = (0.0, 0.15, 0.25, 0.33, 0.5, 0.75, 1.0)
DRAWS, SHOWN, SMALLEST_KIND = 3000, 10, 8
LABELS = ("'label 1', 'label 2', 'label 3'", ", ".join(f"'label {n}'" for n in range(1, 21)))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=20)
    options = parser.parse_args()
    stored, held_out = generate(options.rows, 20)
    print(describe(stored), flush=True)
    directory = make_temporary_directory("imgvec-questions-")
    settings = {"fsync": "off", "shared_buffers": "1GB", "maintenance_work_mem": "1GB"}
    try:
        with LocalServer(directory, settings=settings, die_with_parent=True) as server:
            measure_latency(server.dsn(), stored, held_out, options.repeat)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    measure_weights()
    return 0


def measure_latency(dsn: str, stored: Vectors, labels: Vectors, repeat: int) -> None:
    """Load, index and time each question."""
    with connect(dsn, prepare_threshold=5) as connection:
        migrations.upgrade(connection)
        connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, picture bytea)")
        connection.execute("INSERT INTO item SELECT g FROM generate_series(1, %s) g", [len(stored)])
        create_collection(
            connection, CollectionSpec("item", "item", ["picture"], "generated", DIMENSIONS, True)
        )
        collection = get_collection(connection, "item")
        copy_embeddings(connection, collection, stored)
        build_index(connection, collection)
        connection.execute("VACUUM ANALYZE imgvec.item_embedding")
        connection.execute("UPDATE imgvec.model SET logit_scale = 100")
        for number, label in enumerate(labels, 1):
            connection.execute(
                "INSERT INTO imgvec.text_embedding (model_id, text, embedding) VALUES (%s, %s, %s)",
                [collection.model_id, f"label {number}", HalfVector(label)],
            )
        print(f"\n{'question':72}{'median ms':>10}{'slowest':>10}   (of {repeat}, {len(stored):,} rows)")

        def keys(first: int, count: int) -> str:
            return f"ARRAY(SELECT generate_series({first}, {first + count - 1}))"

        for question, statement, times in (
            ("search, 10 rows near a row", "search_item(imgvec.embedding_of('item', 7), 10)", repeat),
            ("recommend, 2 liked", "recommend_item(ARRAY[7, 8])", repeat),
            (
                "recommend, 10 liked, 10 disliked",
                f"recommend_item({keys(7, 10)}, {keys(17, 10)})",
                repeat,
            ),
            (
                "search by the mean of 1,000 rows",
                f"search_item(imgvec.mean_embedding('item', {keys(1, 1000)}), 10)",
                repeat,
            ),
            ("duplicates of a row within 0.01", "duplicates_of_item(7, 0.01)", repeat),
            (
                "matrix of 100 rows",
                f"similarity_matrix('item', {keys(1, 100)})",
                repeat,
            ),
            (
                "classify 100 rows by 3 labels",
                f"classify_item(ARRAY[{LABELS[0]}], {keys(1, 100)})",
                repeat,
            ),
            ("classify all rows by 3 labels", f"classify_item(ARRAY[{LABELS[0]}])", 3),
            ("classify all rows by 20 labels", f"classify_item(ARRAY[{LABELS[1]}])", 3),
            ("page of 10, the first", "page_item(imgvec.embedding_of('item', 7), 10)", 5),
            (
                "page of 10, after the distance 0.9",
                "page_item(imgvec.embedding_of('item', 7), 10, 0.9, 0)",
                5,
            ),
        ):
            found = seconds(connection, f"SELECT count(*) FROM imgvec.{statement}", times)
            print(
                f"{question:72}{1000 * statistics.median(found):10.1f}{1000 * max(found):10.1f}", flush=True
            )


def seconds(connection: Connection, statement: str, repeat: int) -> list[float]:
    """Run a statement once to warm up, then time it."""
    found = []
    for _ in range(repeat + 1):
        began = time.perf_counter()
        connection.execute(statement.encode())
        found.append(time.perf_counter() - began)
    return found[1:]


def measure_weights() -> None:
    """Recommend by kind for several weights; the rows liked and disliked are left out."""
    pictures = read_manifest()
    embedder = load_embedder("demo")
    images = load_images(pictures)
    vectors = np.concatenate([embedder.embed_images(images[n : n + 64]) for n in range(0, len(images), 64)])
    kinds = np.array([picture.kind for picture in pictures])
    rows = {kind: np.flatnonzero(kinds == kind) for kind in sorted(set(kinds))}
    usual = [kind for kind, found in rows.items() if len(found) >= SMALLEST_KIND]
    pairs = [(a, b) for a in usual for b in usual if a != b and a.split("-")[0] == b.split("-")[0]]
    print(
        f"\nweight of disliked rows: {DRAWS:,} draws from {len(pairs)} pairs of kinds; share of the first {SHOWN}"
    )
    print("weight  of the liked kind  of the disliked kind")
    for weight in WEIGHTS:
        liked, disliked = recommend_by_kind(vectors, kinds, rows, pairs, weight)
        print(f"{weight:6.2f}{liked:19.3f}{disliked:22.3f}")


def recommend_by_kind(
    vectors: Vectors,
    kinds: "np.ndarray[tuple[int], np.dtype[np.str_]]",
    rows: dict[str, "np.ndarray[tuple[int], np.dtype[np.intp]]"],
    pairs: Sequence[tuple[str, str]],
    weight: float,
) -> tuple[float, float]:
    """Return the mean share of the liked and of the disliked kind among the first found."""
    random = np.random.default_rng(7)
    shares = []
    for _ in range(DRAWS):
        like, dislike = pairs[random.integers(len(pairs))]
        liked = random.choice(rows[like], 3, replace=False)
        disliked = random.choice(rows[dislike], 3, replace=False)
        score = vectors @ (vectors[liked].mean(0) - weight * vectors[disliked].mean(0))
        score[[*liked, *disliked]] = -np.inf
        first = kinds[np.argpartition(-score, SHOWN)[:SHOWN]]
        shares.append(((first == like).mean(), (first == dislike).mean()))
    liked_share, disliked_share = np.mean(shares, axis=0)
    return float(liked_share), float(disliked_share)


if __name__ == "__main__":
    sys.exit(main())
