"""Measure the demo's model: `python -m tools.demo_model.evaluate`, with --dsn in SQL, in the shop that `imgvec demo` left.

Names were seen in training, so their figures only say that it was learned. The held-out queries were written
before training by somebody who did not train, and no caption contained one. Word overlap searches names and
keywords alone; the model was also trained on descriptions.
"""

import argparse
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pgvector import HalfVector
from pgvector.psycopg import register_vector
from PIL.Image import Image

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.demo.pictures import DemoPicture, load_images, read_manifest
from imgvec_pg.embedding.catalog import DEMO_FOLDER
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import load_embedder
from tools.demo_model.alterations import ALTERATIONS
from tools.demo_model.captions import CaptionSampler
from tools.demo_model.colors import PALETTE
from tools.demo_model.descriptions import (
    describe_kinds,
    describe_pictures,
    read_descriptions,
    split_validation,
)
from tools.demo_model.measures import (
    Float32Array,
    LabeledQuery,
    Ranking,
    find_questions,
    hit_rate,
    overlap_hit_rate,
    rank_among,
    simple_words,
)

UNSEEN = "held out, with unseen words"
HELDOUT_FILE = Path(__file__).parents[2] / "tests" / "demo" / "heldout_queries.json"


@dataclass(frozen=True)
class Measurement:
    """One line of the table; shares are 0 to 1, None where they make no sense."""

    what: str
    count: int
    at_1: float
    at_10: float
    overlap_at_10: float | None = None
    """The same by plain word-overlap search over names and keywords."""


def evaluate(
    embedder: Embedder,
    entries: Sequence[dict[str, Any]],
    copies_every: int = 1,
    rank: Ranking | None = None,
) -> list[Measurement]:
    """Measure a model on all shipped pictures.

    Args:
        embedder: The model, with a text tower.
        entries: Held-out queries as in heldout_queries.json.
        copies_every: Alter only every so many-th picture; all pictures are candidates nevertheless.
        rank: The search over all pictures in the order of the manifest; None embeds them and searches in memory.
    """
    pictures = read_manifest()
    images = load_images(pictures)
    rank = rank or rank_among(embedder.embed_images(images))
    names = [LabeledQuery(picture.name, frozenset([index])) for index, picture in enumerate(pictures)]
    questions = {"own name": names, **split_by_words(find_questions(entries, pictures), pictures)}
    measurements = [
        _measure_words(what, asked, embedder, rank, pictures) for what, asked in questions.items() if asked
    ]
    return [*measurements, *_measure_copies(embedder, rank, images, copies_every)]


def rank_products(connection: Connection) -> Ranking:
    """Return the search through near_product_demo; products are numbered from 1 as in the manifest."""

    def rank(queries: Float32Array, k: int) -> list[list[int]]:
        statement = load_sql("demo/nearest_products.sql")
        found = [
            connection.execute(statement, {"vector": HalfVector(query), "k": k}).fetchall()
            for query in queries
        ]
        return [[number - 1 for (number,) in rows] for rows in found]

    register_vector(connection)
    return rank


def split_by_words(
    questions: list[LabeledQuery], pictures: list[DemoPicture]
) -> dict[str, list[LabeledQuery]]:
    """Sort held-out questions by where their words occur; each is in one group."""
    phrases = read_descriptions()
    kept, _ = split_validation(describe_pictures(pictures, phrases))
    every_color = [tuple(PALETTE) for _ in pictures]
    trained = CaptionSampler(pictures, every_color, kept, describe_kinds(pictures, phrases)).vocabulary
    known = {
        "held out, words of names, keywords": simple_words(
            *(t for p in pictures for t in (p.name, *p.keywords))
        ),
        "held out, words of descriptions": simple_words(*trained),
    }
    groups: dict[str, list[LabeledQuery]] = {what: [] for what in (*known, UNSEEN)}
    for question in questions:
        own = simple_words(question.query)
        groups[next((what for what, words in known.items() if own <= words), UNSEEN)].append(question)
    return groups


def _measure_words(
    what: str, questions: list[LabeledQuery], embedder: Embedder, rank: Ranking, pictures: list[DemoPicture]
) -> Measurement:
    nearest = rank(embedder.embed_texts([question.query for question in questions]), 10)
    relevant = [question.relevant for question in questions]
    at_1, at_10 = (hit_rate(nearest, relevant, k) for k in (1, 10))
    return Measurement(what, len(questions), at_1, at_10, overlap_hit_rate(questions, pictures, 10))


def _measure_copies(embedder: Embedder, rank: Ranking, images: list[Image], every: int) -> list[Measurement]:
    altered = range(0, len(images), every)
    originals = [frozenset([index]) for index in altered]
    measurements = []
    for what, alter in ALTERATIONS.items():
        nearest = rank(embedder.embed_images([alter(images[index]) for index in altered]), 10)
        at_1, at_10 = (hit_rate(nearest, originals, k) for k in (1, 10))
        measurements.append(Measurement(f"copy, {what}", len(originals), at_1, at_10))
    return measurements


def format_table(measurements: Sequence[Measurement]) -> str:
    """Lay the figures out in columns."""
    lines = [f"{'query':<36}{'queries':>8}{'R@1':>8}{'R@10':>8}{'word overlap R@10':>20}"]
    for m in measurements:
        overlap = "" if m.overlap_at_10 is None else f"{m.overlap_at_10:.3f}"
        lines.append(f"{m.what:<36}{m.count:>8}{m.at_1:>8.3f}{m.at_10:>8.3f}{overlap:>20}".rstrip())
    return "\n".join(lines)


def read_heldout(path: Path = HELDOUT_FILE) -> list[dict[str, Any]]:
    """Read the held-out queries; none where the file is not there (an installed wheel has no tests)."""
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return entries


def main() -> None:
    """Print the table, or the same as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=DEMO_FOLDER, help="folder of the model")
    parser.add_argument("--heldout", type=Path, default=HELDOUT_FILE)
    parser.add_argument("--dsn", help="search through SQL in a database that imgvec demo has filled")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    embedder = load_embedder(f"local-dir:{options.model}", device="cpu")
    with connect(options.dsn) if options.dsn else nullcontext() as connection:
        rank = rank_products(connection) if connection else None
        measurements = evaluate(embedder, read_heldout(options.heldout), rank=rank)
    if options.json:
        rows = [asdict(measurement) for measurement in measurements]
        print(json.dumps({"fingerprint": embedder.fingerprint, "measurements": rows}))
    else:
        print("R@k: share of queries with a right picture among the first k of all pictures.")
        print(format_table(measurements))


if __name__ == "__main__":
    main()
