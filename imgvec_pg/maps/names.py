"""Names for clusters: words of the collection's model, else a column's most telling value, else numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from imgvec_pg.maps.clusters import Labels
from imgvec_pg.maps.layout import Floats

WORDS_OF_A_NAME = 2
SECOND_SHARE = 0.6
"""A second word joins the name where it fits so much as well as the first."""
MOST_VALUES = 500
"""Different values of a column that names clusters; one with more tells rows apart, not kinds of rows."""
LONGEST = 60
"""Characters of a name."""


def names_of_words(vectors: Floats, labels: Labels, words: Sequence[str], word_vectors: Floats) -> list[str]:
    """Name clusters by words.

    How well a word suits a picture, its cosine, is compared with how it suits all pictures: in standard deviations. A cluster is
    called by the words whose mean over its pictures is highest, so that words which suit every picture name none.

    Args:
        vectors: A sample of the pictures, shape (n, d), each of norm 1.
        labels: Their clusters.
        word_vectors: Shape (words, d), each of norm 1.

    Returns:
        A name a cluster, up to the largest label; "" for one that no row of the sample is in.
    """
    suits = vectors @ word_vectors.T
    suits -= suits.mean(axis=0)
    suits /= np.maximum(suits.std(axis=0), 1e-6)
    means = _sums(suits, labels) / np.maximum(np.bincount(labels), 1)[:, None]
    return _unique_names(means, words)


def names_of_values(values: Sequence[str | None], labels: Labels) -> tuple[list[str], float]:
    """Name clusters by a column: by the value whose share of the cluster, times the logarithm of how much more that is than its
    share of all, is highest (the term of the Kullback-Leibler divergence).

    Args:
        values: Of rows, None where there is none.
        labels: Their clusters.

    Returns:
        Names, "" for a cluster without any value; and how much values tell of clusters: mutual information in nats, 0 where the
        column is of no use.
    """
    different = sorted({value for value in values if value})
    if not 2 <= len(different) <= MOST_VALUES:
        return [""] * _count(labels), 0.0
    number = {value: place for place, value in enumerate(different)}
    table = np.zeros((_count(labels), len(different)))
    for value, label in zip(values, labels.tolist(), strict=True):
        if value:
            table[label, number[value]] += 1
    in_cluster = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    overall = table.sum(axis=0) / table.sum()
    terms = in_cluster * np.log(np.where(table > 0, in_cluster / overall, 1.0))
    told = float((terms.sum(axis=1) * table.sum(axis=1)).sum() / table.sum())
    has_values: list[bool] = (table.sum(axis=1) > 0).tolist()
    names = [
        different[int(np.argmax(row))] if seen else "" for row, seen in zip(terms, has_values, strict=True)
    ]
    return [name[:LONGEST] for name in names], told


def names_of_best_column(
    columns: Mapping[str, Sequence[str | None]], labels: Labels
) -> tuple[str | None, list[str]]:
    """Return the column whose values tell most of the clusters, and the names it gives; None where none tells anything."""
    found = {column: names_of_values(values, labels) for column, values in columns.items()}
    best = max(found, key=lambda column: found[column][1], default=None)
    if best is None or found[best][1] <= 0:
        return None, [""] * _count(labels)
    return best, found[best][0]


def numbered(names: Sequence[str], count: int) -> list[str]:
    """Fill in what has no name, and tell equal names apart: "cluster 3", "Flags", "Flags (2)"."""
    seen: dict[str, int] = {}
    told = []
    for place, name in enumerate([*names, *[""] * (count - len(names))]):
        shown = " ".join(name.split()) or f"cluster {place}"
        seen[shown] = seen.get(shown, 0) + 1
        told.append(shown if seen[shown] == 1 else f"{shown} ({seen[shown]})")
    return told


def _count(labels: Labels) -> int:
    return int(labels.max()) + 1 if len(labels) else 0


def _sums(values: Floats, labels: Labels) -> npt.NDArray[np.float64]:
    sums = np.zeros((_count(labels), values.shape[1]))
    np.add.at(sums, labels, values)
    return sums


def _unique_names(means: npt.NDArray[np.float64], words: Sequence[str]) -> list[str]:
    """Name each cluster by the best words that together name no earlier one."""
    taken: set[str] = set()
    names = []
    for row in means:
        order = [place for place in np.argsort(-row).tolist() if row[place] > 0]
        name = ""
        for start in range(len(order)):
            chosen = [order[start]]
            for place in order[start + 1 :]:
                if len(chosen) == WORDS_OF_A_NAME or row[place] < SECOND_SHARE * row[order[start]]:
                    break
                if not any(_is_part(words[place], words[other]) for other in chosen):
                    chosen.append(place)
            name = ", ".join(words[place] for place in chosen)[:LONGEST]
            if name not in taken:
                break
        taken.add(name)
        names.append(name)
    return names


def _is_part(word: str, other: str) -> bool:
    """Whether one word says the other again: "clock" and "o'clock"."""
    return word.lower() in other.lower() or other.lower() in word.lower()
