"""Tell which model made vectors, by embedding their pictures again: `identify` takes both, wherever they are from.

Each candidate is a model or one of its variants (embedding/variants.py). All embed a few pictures, the nearest then the whole
sample, so that a sample of 50 costs about 100 pictures of each model and 8 of each variant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from imgvec_pg.embedding.golden import GOLDEN_COSINE
from imgvec_pg.embedding.load import load_variants
from imgvec_pg.embedding.torch_models.variants import ITSELF, ModelVariants
from imgvec_pg.errors import ImageError, ModelError
from imgvec_pg.images.decoding.sandbox import decode_sandboxed
from imgvec_pg.images.rendering.version import NEWEST

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SCREENED = 8
"""Pictures by which candidates are compared first."""
COMPARED = 4
"""Candidates that embed the whole sample, besides each model itself."""
MADE_BY = 0.99
"""Least cosine by which a vector counts as a candidate's: other decoders and half precision stay above."""
FEWEST = 4
"""Rows below which nothing is said."""
DISTINCT = 2.0
"""How many times nearer a variant must be than the model itself to be taken for the maker: pictures that are square already are
the same squashed and cropped."""
NEGLIGIBLE = 1e-6
"""Distance from a cosine of 1 that float32 and half-precision storage leave; below it no candidate is nearer than another."""


@dataclass(frozen=True)
class VectorSample:
    """A picture and the vector that somebody has of it.

    Attributes:
        picture: The encoded bytes.
        vector: Shape (dimensions,), any norm but 0.
    """

    picture: bytes
    vector: npt.NDArray[np.floating]


@dataclass(frozen=True)
class Candidate:
    """A model or variant, and how near its vectors are to those of the sample.

    Attributes:
        model: The model's name.
        variant: "" for the model itself, else how it was run: "without quickgelu".
        cosines: Of the whole sample, shape (n,), or of its first SCREENED.
    """

    model: str
    variant: str
    cosines: Float64Array

    @property
    def title(self) -> str:
        """What to call it."""
        return f"{self.model} {self.variant}".rstrip()

    @property
    def median(self) -> float:
        """Median cosine."""
        return float(np.median(self.cosines))

    @property
    def nearness(self) -> float:
        """Distance from a cosine of 1 of the nearest quarter, so that a column of two makers still tells of both."""
        return float(np.quantile(1 - self.cosines, 0.25))


@dataclass(frozen=True)
class Identification:
    """What a sample of vectors was found to be.

    Attributes:
        candidates: All of them, the nearest first.
        sampled: Pictures compared.
        unreadable: Pictures of the sample that cannot be decoded; they count for nothing.
        norms: Of the vectors, shape (n,).
        kept: Positions in the sample that were compared.
        own: What each model itself gives for the sample: shape (n, dimensions), by the model's name.
        fingerprints: Of the models, by their names.
        least: Least cosine by which a vector counts as a candidate's.
    """

    candidates: Sequence[Candidate]
    sampled: int
    unreadable: int
    norms: Float64Array
    kept: Sequence[int]
    own: dict[str, Float64Array] = field(repr=False, default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    least: float = MADE_BY

    @property
    def best(self) -> Candidate:
        """The nearest candidate; of equally near ones a model itself."""
        first = self.candidates[0]
        near = max(DISTINCT * first.nearness, first.nearness + NEGLIGIBLE)
        same = [
            item
            for item in self.candidates
            if item.variant == ITSELF and item.nearness <= near and len(item.cosines) == self.sampled
        ]
        return same[0] if same else first

    @property
    def is_known(self) -> bool:
        """Whether the nearest candidate made at least a quarter of the vectors."""
        return 1 - self.best.nearness >= self.least

    def agreeing(self, candidate: Candidate) -> BoolArray:
        """Whether each vector is a candidate's: shape (n,)."""
        return 1 - candidate.cosines <= agreement_limit(candidate, self.least)

    def itself(self, model: str) -> Candidate | None:
        """Return the candidate that is this model as its weights want it; None where it was none."""
        return next((c for c in self.candidates if c.model == model and c.variant == ITSELF), None)

    @property
    def second(self) -> Candidate | None:
        """The candidate that made most of the vectors that the best did not, None where no other made any."""
        rest = ~self.agreeing(self.best)
        limit = agreement_limit(self.best, self.least)
        others = [
            (int((1 - item.cosines[rest] <= limit).sum()), item)
            for item in self.candidates
            if len(item.cosines) == self.sampled
        ]
        count, found = max(others, key=lambda pair: pair[0], default=(0, self.best))
        return found if count else None

    def line(self) -> str:
        """Say it in one line."""
        best, n = self.best, self.sampled
        if not self.is_known:
            return f"by none of {len(self.candidates)} candidates; best {shown(best.median)} ({best.title})"
        agrees = self.agreeing(best)
        if agrees.mean() >= MAJORITY:
            return f"made by {best.title}, {shown(best.median)} (median of {n})"
        first = f"{agrees.sum()} of {n} made by {best.title}, {shown(float(np.median(best.cosines[agrees])))}"
        second = self.second
        if second is None:
            return f"{first}; the other {(~agrees).sum()} by none of {len(self.candidates)} candidates"
        by_second = (1 - second.cosines <= agreement_limit(best, self.least)) & ~agrees
        left = int((~agrees & ~by_second).sum())
        line = f"{first}; {by_second.sum()} by {second.title}, {shown(float(np.median(second.cosines[by_second])))}"
        return f"{line}; {left} by none of {len(self.candidates)} candidates" if left else line


MAJORITY = 0.95
"""Share of a sample that one candidate made where the others are taken for pictures that changed since."""


def agreement_limit(candidate: Candidate, least: float = MADE_BY) -> float:
    """Return the largest distance from a cosine of 1 of a vector that counts as a candidate's.

    Twenty times that of its nearest quarter, within what precision and decoders explain: where all others are the candidate's
    to the sixth digit, one at 0.998 is not.
    """
    return float(np.clip(20 * candidate.nearness, 1 - GOLDEN_COSINE, 2 * (1 - least)))


def shown(cosine: float) -> str:
    """Write a cosine down, rounded towards less: what is 1.0000 is not 0.99996."""
    return f"{np.floor(cosine * 1e4 + 1e-2) / 1e4:.4f}"


def identify(
    samples: Sequence[VectorSample],
    models: Sequence[str],
    *,
    rendering: int = NEWEST,
    device: str = "auto",
    least: float = MADE_BY,
    progress: Callable[[str], None] = lambda model: None,
) -> Identification:
    """Embed the pictures of a sample under each model and its variants, and compare.

    Args:
        samples: At least FEWEST pictures that can be decoded, with vectors of one length.
        models: Names of models of as many dimensions, loaded one after the other.
        rendering: Version of the rules by which pictures are decoded.
        progress: Called with each model's name before it is loaded.

    Raises:
        ModelError: There is no model to compare with, one cannot be loaded, or too few pictures can be decoded.
        As load_embedder.
    """
    if not models:
        raise ModelError(
            "there is no model to compare the vectors with: name one whose weights are here, see imgvec model list"
        )
    candidates: list[Candidate] = []
    own: dict[str, Float64Array] = {}
    fingerprints: dict[str, str] = {}
    kept: list[int] = []
    vectors: Float64Array = np.empty((0, 0))
    for name in models:
        progress(name)
        loaded = load_variants(name, device=device)
        kept, prepared = prepare_pictures(loaded, samples, rendering)
        vectors = np.stack([np.asarray(samples[position].vector, dtype=np.float64) for position in kept])
        if vectors.shape[1] != loaded.embedder.dimensions:
            raise ModelError(
                f"the vectors have {vectors.shape[1]} dimensions, {name} gives {loaded.embedder.dimensions}: name the model "
                "that made them"
            )
        found, own[name] = _compare(name, loaded, prepared, vectors)
        candidates += found
        fingerprints[name] = loaded.embedder.fingerprint
    # Only what was embedded as a whole can be compared as a whole.
    candidates.sort(key=lambda item: (len(item.cosines) < len(kept), item.nearness))
    norms = np.linalg.norm(vectors, axis=1)
    return Identification(
        candidates, len(kept), len(samples) - len(kept), norms, kept, own, fingerprints, least
    )


def prepare_pictures(
    loaded: ModelVariants, samples: Sequence[VectorSample], rendering: int
) -> tuple[list[int], list[dict[str, object]]]:
    """Decode and prepare pictures one by one, and return the positions of those that can be.

    Raises:
        ModelError: Fewer than FEWEST can.
    """
    kept: list[int] = []
    prepared = []
    problem: ImageError | None = None
    for position, sample in enumerate(samples):
        try:
            image = decode_sandboxed(sample.picture, rendering=rendering)
        except ImageError as error:
            problem = error
            continue
        prepared.append(loaded.prepare(image))
        kept.append(position)
    if len(kept) < FEWEST:
        raise ModelError(
            f"{len(kept)} of {len(samples)} sampled pictures can be decoded, at least {FEWEST} are needed to tell who made "
            f"their vectors{f' ({problem})' if problem else ''}: sample more rows"
        )
    return kept, prepared


def _compare(
    name: str, loaded: ModelVariants, prepared: Sequence[dict[str, object]], vectors: Float64Array
) -> tuple[list[Candidate], Float64Array]:
    """Return a model's candidates, and what the model itself gives."""
    first = loaded.variants[0]
    own = loaded.embed(first, prepared).astype(np.float64)
    found = [Candidate(name, first.label, cosines(own, vectors))]
    screened = [
        (Candidate(name, v.label, cosines(loaded.embed(v, prepared[:SCREENED]), vectors[:SCREENED])), v)
        for v in loaded.variants[1:]
    ]
    screened.sort(key=lambda pair: pair[0].nearness)
    for place, (candidate, variant) in enumerate(screened):
        if place < COMPARED:
            candidate = Candidate(name, variant.label, cosines(loaded.embed(variant, prepared), vectors))
        found.append(candidate)
    return found, own


def cosines(ours: npt.NDArray[np.floating], theirs: Float64Array) -> Float64Array:
    """Return the cosine of each pair of rows: shapes (n, d), (n, d) to (n,); ours are of norm 1."""
    rows = ours[: len(theirs)].astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(theirs, axis=1)
    products: Float64Array = (rows * theirs).sum(axis=1) / lengths
    return np.clip(products, -1.0, 1.0)
