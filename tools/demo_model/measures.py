"""How good a search is: shares of questions answered, for embeddings and for plain word overlap."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from imgvec_pg.demo.pictures import DemoPicture
from tools.demo_model.words import content_words

Float32Array = npt.NDArray[np.float32]
Ranking = Callable[[Float32Array, int], list[list[int]]]
"""From queries, shape (q, d), rows of norm 1, and k to the indices of the k nearest pictures of each."""
VARIATION_SELECTOR = "FE0F"


@dataclass(frozen=True)
class LabeledQuery:
    """Words, and the indices of the pictures that answer them."""

    query: str
    relevant: frozenset[int]


def find_questions(entries: Sequence[dict[str, Any]], pictures: Sequence[DemoPicture]) -> list[LabeledQuery]:
    """Point held-out queries to pictures by code points; those without an answer here are left out."""
    by_codepoints = {_bare(picture.codepoints): index for index, picture in enumerate(pictures)}
    questions = []
    for entry in entries:
        relevant = map(_bare, entry["relevant"])
        indices = frozenset(by_codepoints[cp] for cp in relevant if cp in by_codepoints)
        if indices:
            questions.append(LabeledQuery(entry["query"], indices))
    return questions


def _bare(codepoints: str) -> str:
    return "-".join(cp for cp in codepoints.split("-") if cp != VARIATION_SELECTOR)


def rank_among(images: Float32Array) -> Ranking:
    """Return the exact search over embedded pictures in memory.

    Args:
        images: Shape (n, d), rows of norm 1.
    """

    def rank(queries: Float32Array, k: int) -> list[list[int]]:
        nearest: list[list[int]] = np.argsort(-(queries @ images.T), axis=1, kind="stable")[:, :k].tolist()
        return nearest

    return rank


def hit_rate(nearest: Sequence[Sequence[int]], relevant: Sequence[frozenset[int]], k: int) -> float:
    """Compute the share of queries with at least one right picture among the k nearest.

    Args:
        nearest: The indices of at least k pictures for each query, nearest first.
        relevant: The right pictures of each query.
        k: How many pictures are looked at.
    """
    pairs = zip(relevant, nearest, strict=True)
    return float(np.mean([not right.isdisjoint(found[:k]) for right, found in pairs]))


def overlap_hit_rate(questions: Sequence[LabeledQuery], pictures: Sequence[DemoPicture], k: int) -> float:
    """Compute the same for ranking by the number of words shared with name and keywords.

    Pictures with equally many shared words come in random order: the expected share is returned.
    """
    having: dict[str, list[int]] = {}
    for index, picture in enumerate(pictures):
        for word in content_words(" ".join([picture.name, *picture.keywords])):
            having.setdefault(word, []).append(index)
    return float(np.mean([_overlap_chance(question, having, len(pictures), k) for question in questions]))


def _overlap_chance(question: LabeledQuery, having: dict[str, list[int]], pictures: int, k: int) -> float:
    shared = np.zeros(pictures, dtype=np.int64)
    for word in content_words(question.query):
        shared[having.get(word, [])] += 1
    best = int(max(shared[index] for index in question.relevant))
    if best == 0:
        return 0.0  # nothing found at all
    above, tied = int((shared > best).sum()), int((shared == best).sum())
    right = sum(int(shared[index]) == best for index in question.relevant)
    places = k - above
    if places <= 0:
        return 0.0
    if places >= tied:
        return 1.0
    return 1.0 - comb(tied - right, places) / comb(tied, places)


def simple_words(*texts: str) -> set[str]:
    """Split into words as the held-out file counts them: [a-z0-9]+ of the lower-cased text."""
    return {word for text in texts for word in re.findall(r"[a-z0-9]+", text.lower())}
