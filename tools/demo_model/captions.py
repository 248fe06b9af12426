"""Captions for training: names, keywords and new sentences made of them, sampled anew at every step.

A caption carries the words that it requires. Every picture that has all of them is a right answer to it, so
"red fruit" is taught with the apple, the strawberry and the cherries at once, and none of them is wrong.
"""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from imgvec_pg.demo.pictures import DemoPicture
from tools.demo_model.words import content_words, kind_words, words_of

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]

PROMPTS = (
    "a photo of {}",
    "a picture of {}",
    "picture of {}",
    "a drawing of {}",
    "an image of {}",
    "{} icon",
    "{} picture",
    "show me {}",
    "something like {}",
    "find {}",
)
ARTICLES = ("a ", "an ", "the ", "some ")
JOINERS = (" ", " ", " ", " and ", " with ", ", ", " of ", " in ", " on ")


def _content_of(texts: Iterable[str]) -> list[str]:
    return sorted(frozenset[str]().union(*map(content_words, texts)))


@dataclass(frozen=True)
class Caption:
    """A text, the picture it was made from, and the weight of every picture as its answer."""

    text: str
    source: int
    answers: FloatArray
    """Shape (pictures,), sums to 1."""


class CaptionSampler:
    """Makes captions for pictures; never one that contains an excluded query.

    Args:
        pictures: What the indices of `sample` refer to.
        colors: Names of each picture's main colours, as seen in its pixels.
        descriptions: Further phrases for each picture.
        kinds: Phrases that fit all pictures of its kind, for each picture.
        excluded: Queries held out of training, matched as substrings of the normalised caption.
    """

    def __init__(
        self,
        pictures: Sequence[DemoPicture],
        colors: Sequence[Sequence[str]] | None = None,
        descriptions: Sequence[Sequence[str]] | None = None,
        kinds: Sequence[Sequence[str]] | None = None,
        excluded: Collection[str] = (),
    ) -> None:
        self.pictures = pictures
        nothing: list[Sequence[str]] = [() for _ in pictures]
        self.colors = colors or nothing
        self.descriptions = descriptions or nothing
        self.kinds = kinds or nothing
        self.excluded = tuple(" ".join(words_of(query)) for query in excluded)
        self._content = [_content_of(self._own_words(i)) for i in range(len(pictures))]
        self._general = [_content_of(self._kind_words(i)) for i in range(len(pictures))]
        self._having: dict[str, BoolArray] = {}
        for index, (own, general) in enumerate(zip(self._content, self._general, strict=True)):
            for word in {*own, *general}:
                having = self._having.setdefault(word, np.zeros(len(pictures), dtype=np.bool_))
                having[index] = True

    def sample(self, index: int, rng: random.Random) -> Caption:
        """Make one caption for the picture at `index`."""
        for _ in range(20):
            text, required, own = self._compose(index, rng)
            if text and not self.is_excluded(text):
                return Caption(text, index, self._answers(index, required, own))
        # Only a picture whose every wording is excluded comes here; its category is never a held-out query.
        category = self.pictures[index].category.lower()
        return Caption(category, index, self._answers(index, content_words(category), own=0.0))

    def is_excluded(self, text: str) -> bool:
        """Say whether a caption contains a held-out query, whatever its case, spaces and punctuation."""
        normalised = " ".join(words_of(text))
        return any(query in normalised for query in self.excluded)

    def corpus(self) -> Iterable[str]:
        """Give every wording once, for learning merges and counting the vocabulary."""
        for index in range(len(self.pictures)):
            yield from self._own_words(index)
            yield from self._kind_words(index)

    def content(self) -> list[list[str]]:
        """List the words of every picture, its kind's included."""
        return [[*own, *general] for own, general in zip(self._content, self._general, strict=True)]

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Every word that a caption may contain."""
        parts = [*self.corpus(), *PROMPTS, *ARTICLES, *JOINERS]
        return frozenset(word for text in parts for word in words_of(text))

    def _own_words(self, index: int) -> list[str]:
        picture = self.pictures[index]
        return [picture.name, *picture.keywords, *self.colors[index], *self.descriptions[index]]

    def _kind_words(self, index: int) -> list[str]:
        picture = self.pictures[index]
        return [kind_words(picture), picture.category, *self.kinds[index]]

    def _compose(self, index: int, rng: random.Random) -> tuple[str, frozenset[str], float]:
        """Return a caption, the words that an answer must have, and the extra weight of the source itself."""
        picture, choice = self.pictures[index], rng.random()
        if choice < 0.26:
            return self._decorate(picture.name, rng, 0.25), content_words(picture.name), 0.6
        if choice < 0.34:
            keyword = rng.choice(picture.keywords or (picture.name,))
            return self._decorate(keyword, rng, 0.25), content_words(keyword), 0.0
        if choice < 0.56 and self.descriptions[index]:
            return self._describe(rng.choice(self.descriptions[index]), index, rng)
        if choice < 0.64:
            return self._combine(
                [rng.choice(self._kind_words(index)), *self._some(self._content[index], 1, rng)], rng
            )
        if choice < 0.78:
            parts = self._some(picture.keywords or (picture.name,), 3, rng)
            for more in ([picture.name], self.colors[index], self.descriptions[index]):
                if more and rng.random() < 0.3:
                    parts.append(rng.choice(more))
            return self._combine(parts, rng)
        words = self._some(self._content[index], 4, rng)
        if rng.random() < 0.35:
            words.append(rng.choice(self._general[index]))
        required = frozenset(words)
        if rng.random() < 0.3:
            words.append(self._distractor(index, rng))
        text, _, own = self._combine([self._inflect(word, rng) for word in words], rng)
        return text, required, own

    def _combine(self, parts: list[str], rng: random.Random) -> tuple[str, frozenset[str], float]:
        """Join parts in any order."""
        rng.shuffle(parts)
        text = rng.choice(JOINERS).join(parts)
        return self._decorate(text, rng, 0.1), content_words(text), 0.0

    @staticmethod
    def _some(parts: Sequence[str], limit: int, rng: random.Random) -> list[str]:
        return rng.sample(parts, min(len(parts), rng.randint(1, limit)))

    def _describe(self, phrase: str, index: int, rng: random.Random) -> tuple[str, frozenset[str], float]:
        """Use a description whole, or drop some of its words, or put it beside a keyword."""
        words = words_of(phrase)
        if len(words) > 2 and rng.random() < 0.5:
            words = [word for word in words if rng.random() < 0.7] or words
        if rng.random() < 0.2:
            words.insert(rng.choice((0, len(words))), rng.choice(self._content[index]))
        text = " ".join(words)
        return self._decorate(text, rng, 0.15), content_words(text), 0.2

    def _answers(self, index: int, required: frozenset[str], own: float) -> FloatArray:
        matching = np.ones(len(self.pictures), dtype=np.bool_)
        for word in required:
            having = self._having.get(word)
            if having is not None:
                matching = matching & having
        matching[index] = True
        answers = (1 - own) * matching.astype(np.float32) / float(matching.sum())
        answers[index] += own
        return answers

    def _distractor(self, index: int, rng: random.Random) -> str:
        """Pick a word of another picture of the same kind: people's words are not exactly the keywords."""
        other = rng.randrange(len(self.pictures))
        for _ in range(8):
            if self.pictures[other].kind == self.pictures[index].kind:
                break
            other = rng.randrange(len(self.pictures))
        return rng.choice(self._content[other])

    @staticmethod
    def _inflect(word: str, rng: random.Random) -> str:
        return word + "s" if word.isalpha() and not word.endswith("s") and rng.random() < 0.1 else word

    @staticmethod
    def _decorate(text: str, rng: random.Random, prompt_share: float) -> str:
        if rng.random() < 0.15:
            text = rng.choice(ARTICLES) + text
        if rng.random() < prompt_share:
            text = rng.choice(PROMPTS).format(text)
        return text
