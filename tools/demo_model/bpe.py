"""Byte-pair merges of the demo model's own words, in the file format of OpenCLIP's SimpleTokenizer."""

import gzip
import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

Merge = tuple[str, str]
# SimpleTokenizer's pattern (open_clip 3.3 tokenizer.py) without the `regex` package: digits stand alone.
WORD_PATTERN = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+")
STRAIGHT_QUOTES = str.maketrans("‘’“”", "''\"\"")


@cache
def byte_symbols() -> dict[int, str]:
    """Map every byte to the printable character that stands for it in a merges file (GPT-2's table)."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def split_words(text: str) -> list[str]:
    """Split lower-cased text as SimpleTokenizer does, which has ftfy straighten quotation marks first."""
    return WORD_PATTERN.findall(text.lower().translate(STRAIGHT_QUOTES))


def count_words(texts: list[str]) -> Counter[str]:
    """Count the words of all texts."""
    return Counter(word for text in texts for word in split_words(text))


def symbols_of(word: str) -> tuple[str, ...]:
    """Split a word into byte symbols, the last one marked as its end."""
    characters = [byte_symbols()[byte] for byte in word.encode()]
    return (*characters[:-1], characters[-1] + "</w>")


def learn_merges(word_counts: Mapping[str, int], limit: int) -> list[Merge]:
    """Learn at most `limit` merges, the most frequent pair first, ties in alphabetical order."""
    words = [(list(symbols_of(word)), count) for word, count in sorted(word_counts.items())]
    pair_counts: Counter[Merge] = Counter()
    words_with: defaultdict[Merge, set[int]] = defaultdict(set)
    for index, (symbols, count) in enumerate(words):
        for pair in pairwise(symbols):
            pair_counts[pair] += count
            words_with[pair].add(index)
    merges: list[Merge] = []
    made: set[str] = set()
    while len(merges) < limit and pair_counts:
        best = max(pair_counts, key=lambda pair: (pair_counts[pair], pair))
        if pair_counts[best] <= 0:
            break
        # SimpleTokenizer's numbers go wrong where two merges make one string.
        if "".join(best) in made:
            pair_counts[best] = -sum(word_counts.values())
            continue
        made.add("".join(best))
        merges.append(best)
        for index in words_with.pop(best):
            symbols, count = words[index]
            for pair in pairwise(symbols):
                pair_counts[pair] -= count
            symbols[:] = apply_merge(symbols, best)
            for pair in pairwise(symbols):
                pair_counts[pair] += count
                words_with[pair].add(index)
        del pair_counts[best]
    return merges


def apply_merge(symbols: list[str], merge: Merge) -> list[str]:
    """Join every occurrence of a pair, from the left."""
    joined: list[str] = []
    for symbol in symbols:
        if joined and (joined[-1], symbol) == merge:
            joined[-1] += symbol
        else:
            joined.append(symbol)
    return joined


def write_merges(merges: list[Merge], path: Path) -> None:
    """Write SimpleTokenizer's file: gzip, one line of header, then one merge a line."""
    text = "\n".join(["#version: imgvec demo", *(" ".join(merge) for merge in merges)])
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def read_merges(path: Path) -> list[Merge]:
    """Read such a file."""
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1:]
    return [(first, second) for first, second in (line.split(" ") for line in lines)]


class DropoutTokenizer:
    """The model's tokenizer, which sometimes skips merges, so that pieces of words learn a meaning too.

    (BPE-dropout, Provilkov et al. 2020.) Unknown words are cut into the same pieces at search time.
    """

    def __init__(self, merges: list[Merge], dropout: float) -> None:
        alphabet = list(byte_symbols().values())
        vocabulary = [*alphabet, *(c + "</w>" for c in alphabet), *("".join(m) for m in merges)]
        self._numbers = {symbol: number for number, symbol in enumerate(vocabulary)}
        self._ranks = {merge: rank for rank, merge in enumerate(merges)}
        self._whole: dict[str, list[int]] = {}
        self.start, self.end = len(self._numbers), len(self._numbers) + 1
        self.vocabulary_size = self.end + 1
        self.dropout = dropout

    def encode(self, text: str, rng: random.Random | None = None) -> list[int]:
        """Number the pieces of a text, with start and end; without `rng` no merge is skipped."""
        numbers = [self.start]
        for word in split_words(text):
            if rng is not None and rng.random() < self.dropout:
                numbers += self._split(word, rng)
            else:
                if word not in self._whole:
                    self._whole[word] = self._split(word, None)
                numbers += self._whole[word]
        return [*numbers, self.end]

    def _split(self, word: str, rng: random.Random | None) -> list[int]:
        symbols = list(symbols_of(word))
        while len(symbols) > 1:
            pairs = set(pairwise(symbols))
            known = [p for p in pairs if p in self._ranks and (rng is None or rng.random() > 0.15)]
            if not known:
                break
            symbols = apply_merge(symbols, min(known, key=self._ranks.__getitem__))
        return [self._numbers[symbol] for symbol in symbols]
