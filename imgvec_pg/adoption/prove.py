"""Prove that a column of vectors is a model's own before any of it is taken over; changes nothing.

A sample says who made the column. Where some of it is another's, more rows are drawn, and a direction is looked for in which the
two differ; what is kept by it is sampled once more.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imgvec_pg.adoption.column import HeldVector, KeyRanges, VectorColumn, draw, order_keys
from imgvec_pg.adoption.identify import (
    MAJORITY,
    BoolArray,
    Candidate,
    Float64Array,
    Identification,
    VectorSample,
    agreement_limit,
    cosines,
    identify,
    prepare_pictures,
    shown,
)
from imgvec_pg.adoption.separate import Separation, find_outliers, find_runs, separate, unit
from imgvec_pg.database.connect import Connection
from imgvec_pg.embedding.golden import GOLDEN_COSINE
from imgvec_pg.embedding.load import load_variants
from imgvec_pg.embedding.torch_models.variants import ITSELF, ModelVariants
from imgvec_pg.errors import CollectionError, ImageError
from imgvec_pg.images.fetching.application_fetch import find_fetch, read_picture
from imgvec_pg.images.fetching.url import AllowedUrls
from imgvec_pg.images.reference import ImageReference
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key

READERS = 4
MORE_TIMES = 3
"""Rows drawn in addition where a column has two makers, for each of the sample."""
UNLABELLED = 4000
"""Vectors drawn without their pictures, for the covariance."""
STILL_WRONG = 0.04
"""Share of the last sample that may disagree: pictures that changed since their vectors were made."""


@dataclass(frozen=True)
class Proof:
    """What was found out about a column.

    Attributes:
        model: Who made it, the model of the collection.
        identification: Of the first sample.
        separation: What each of its vectors must pass to be taken over.
        ranges: Ranges of keys that are the model's, where the makers took turns; () for all keys.
        disagreeing: Keys met whose vectors are not the model's.
        sampled: Rows embedded again in all.
        confirmed: Of the last sample, drawn from what is kept, how many agree, and how many there were; None for no such.
    """

    model: str
    identification: Identification
    separation: Separation
    disagreeing: Sequence[Key]
    sampled: int
    confirmed: tuple[int, int] | None = None
    ranges: KeyRanges = ()


@dataclass(frozen=True)
class Column:
    """A column of a collection that is yet to be made, and how its pictures are read."""

    connection: Connection
    collection: Collection
    column: VectorColumn

    def draw(self, rows: int, **options: object) -> tuple[list[HeldVector], list[VectorSample]]:
        """Draw rows and read their pictures; those whose picture cannot be read are left out."""
        held = draw(self.connection, self.collection, self.column, rows, **options)  # type: ignore[arg-type]
        collection = self.collection
        root = None if collection.root is None else Path(collection.root)
        urls = AllowedUrls.of(collection.url_prefixes)
        fetch = find_fetch(collection.name)

        def read(row: HeldVector) -> bytes | None:
            try:
                return read_picture(
                    ImageReference(path=row.path, content=row.content), root, urls=urls, fetch=fetch
                )
            except ImageError:
                return None

        with ThreadPoolExecutor(READERS, thread_name_prefix="imgvec-adopt") as pool:
            pictures = list(pool.map(read, held))
        there = [(row, data) for row, data in zip(held, pictures, strict=True) if data is not None]
        return [row for row, _ in there], [VectorSample(data, row.vector) for row, data in there]


def prove(
    column: Column,
    models: Sequence[str],
    *,
    sample: int,
    device: str = "auto",
    least: float,
    told: Callable[[Identification], None] = lambda identification: None,
    progress: Callable[[str], None] = lambda line: None,
) -> Proof:
    """Say which model made a column, and what of it may be taken over.

    Args:
        models: One to be confirmed, or all that it may be.
        least: Least cosine by which a vector counts as a model's.
        told: Called with what the first sample was found to be, whatever follows from it.

    Raises:
        CollectionError: It was made otherwise than the model embeds, by another, or by two that cannot be told apart.
        ModelError: Too few pictures can be read, or a model cannot be loaded.
    """
    held, samples = column.draw(sample)
    found = identify(
        samples,
        models,
        rendering=column.collection.rendering,
        device=device,
        least=least,
        progress=lambda name: progress(f"comparing with {name}"),
    )
    told(found)
    model = _maker(found, column.column.shown)
    itself = found.itself(model)
    assert itself is not None  # noqa: S101 - each model is a candidate itself
    agrees: BoolArray = 1 - itself.cosines <= _limit(itself, found)
    rows = [held[position] for position in found.kept]
    vectors = unit([row.vector for row in rows])
    if agrees.all():
        return Proof(model, found, find_outliers(vectors), [], found.sampled)
    labelled = _Labelled([row.key for row in rows], vectors, found.own[model], agrees)
    return _Divided(column, model, found, device, progress).prove(labelled, held, sample)


def _maker(found: Identification, shown_column: str) -> str:
    """Return the model whose own vectors these are.

    Raises:
        CollectionError: There is none.
    """
    best = found.best
    if not found.is_known:
        raise CollectionError(
            f"{shown_column} is not adopted: made {found.line()}, at least {found.least} is asked for; name the model that made "
            "it with --model, or leave out --adopt to embed all rows"
        )
    itself = found.itself(best.model)
    assert itself is not None  # noqa: S101
    if best.variant != ITSELF and float((itself.cosines >= GOLDEN_COSINE).mean()) < MAJORITY:
        raise CollectionError(
            f"{shown_column} is not adopted: {found.line()}; {best.model} itself gives {shown(itself.median)}, so rows embedded "
            "from now on would not be comparable: leave out --adopt to embed all rows, or make a folder in OpenCLIP's format "
            "whose configuration says the same and name it --model local-dir:/path"
        )
    return best.model


def _limit(itself: Candidate, found: Identification) -> float:
    """Return how far from a cosine of 1 a vector of the model's own may be."""
    return max(agreement_limit(itself, found.least), 1 - GOLDEN_COSINE)


@dataclass(frozen=True)
class _Labelled:
    """Rows embedded again: keys, vectors and what the model gives, both (n, dimensions) of norm 1, and whether these agree."""

    keys: list[Key]
    vectors: Float64Array
    own: Float64Array
    agrees: BoolArray

    def __add__(self, more: "_Labelled") -> "_Labelled":
        return _Labelled(
            self.keys + more.keys,
            np.concatenate([self.vectors, more.vectors]),
            np.concatenate([self.own, more.own]),
            np.concatenate([self.agrees, more.agrees]),
        )

    @property
    def disagreeing(self) -> list[Key]:
        return [key for key, right in zip(self.keys, self.agrees, strict=True) if not right]


@dataclass(frozen=True)
class _Divided:
    """A column of which a part is not the model's."""

    column: Column
    model: str
    found: Identification
    device: str
    progress: Callable[[str], None]

    def prove(self, first: _Labelled, drawn: list[HeldVector], sample: int) -> Proof:
        """Find what keeps the model's own vectors.

        Args:
            first: The sample so far, of the rows drawn.

        Raises:
            CollectionError: They cannot be told from the others.
        """
        shown_column = self.column.column.shown
        loaded = load_variants(self.model, device=self.device)
        others = len(first.disagreeing)
        more = MORE_TIMES * sample
        self.progress(
            f"{others} of {self.found.sampled} disagree: embedding {more} more rows to tell the others"
        )
        known = [row.key for row in drawn]
        rows = first + self._embed(loaded, more, known=known)
        known = [*known, *rows.keys]
        separation, ranges, is_told = self._tell_apart(rows)
        sampled, others = len(rows.keys), len(rows.disagreeing)
        if not is_told and others / sampled > 1 - MAJORITY:
            raise CollectionError(
                f"{shown_column} is not adopted: {others} of {sampled} rows sampled are not by {self.model}, and neither their "
                "keys nor their vectors tell them from the others: where you know which rows are, adopt the column of a view of "
                "these with the source's key, or leave out --adopt to embed all rows"
            )
        if not is_told:
            # Pictures that changed since: rows all over the column, which only embedding them tells.
            return Proof(self.model, self.found, separation, rows.disagreeing, sampled)
        self.progress(f"embedding {sample} rows more, of those that would be adopted")
        along = (separation.direction, separation.least)
        last = self._embed(loaded, sample, known=known, along=along, within=ranges)
        wrong = len(last.disagreeing)
        if wrong > STILL_WRONG * len(last.keys):
            raise CollectionError(
                f"{shown_column} is not adopted: of the rows that look like {self.model}'s, {wrong} of {len(last.keys)} are not: "
                "leave out --adopt to embed all rows"
            )
        return Proof(
            self.model,
            self.found,
            separation,
            [*rows.disagreeing, *last.disagreeing],
            sampled + len(last.keys),
            (len(last.keys) - wrong, len(last.keys)),
            ranges,
        )

    def _tell_apart(self, rows: _Labelled) -> tuple[Separation, KeyRanges, bool]:
        """Return what keeps the model's own rows: a direction, ranges of keys, and whether either tells them apart."""
        where = self.column
        order = order_keys(where.connection, where.collection, rows.keys)
        right = rows.vectors[rows.agrees]
        runs = find_runs([bool(rows.agrees[place]) for place in order])
        if runs is not None:
            ranges = [(rows.keys[order[first]], rows.keys[order[last]]) for first, last in runs]
            return find_outliers(right), ranges, True
        unlabelled = draw(
            where.connection, where.collection, where.column, UNLABELLED, seed=1, with_pictures=False
        )
        differences = (rows.vectors - rows.own)[~rows.agrees]
        found = separate(
            right, rows.vectors[~rows.agrees], differences, unit([row.vector for row in unlabelled])
        )
        return (found, (), True) if found is not None else (find_outliers(right), (), False)

    def _embed(self, loaded: ModelVariants, rows: int, **options: object) -> _Labelled:
        """Draw rows, embed their pictures again and compare."""
        held, samples = self.column.draw(rows, seed=2, **options)
        kept, prepared = prepare_pictures(loaded, samples, self.column.collection.rendering)
        own = loaded.embed(loaded.variants[0], prepared).astype(np.float64)
        vectors = unit([held[position].vector for position in kept])
        itself = self.found.itself(self.model)
        assert itself is not None  # noqa: S101 - each model is a candidate itself
        agrees: BoolArray = 1 - cosines(own, vectors) <= _limit(itself, self.found)
        return _Labelled([held[position].key for position in kept], vectors, own, agrees)
