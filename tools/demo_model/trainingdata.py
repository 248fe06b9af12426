"""Everything a training step draws from: cached pictures, captions, tokens."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from imgvec_pg.demo.pictures import DemoPicture
from tools.demo_model.augment import cache_pictures, find_background, plain
from tools.demo_model.bpe import DropoutTokenizer, Merge, count_words, learn_merges, read_merges, write_merges
from tools.demo_model.captions import PROMPTS, CaptionSampler
from tools.demo_model.colors import name_colors
from tools.demo_model.descriptions import (
    describe_kinds,
    describe_pictures,
    read_descriptions,
    split_validation,
)
from tools.demo_model.modelfolder import CONTEXT_LENGTH, MERGES_NAME

# Groups whose pictures mean something else in a mirror: hands, arrows, clocks, letters, flags, moons.
ONE_SIDED_CATEGORIES = frozenset({"Symbols", "Flags", "Smileys & People"})
ONE_SIDED_KINDS = frozenset({"time", "sky & weather"})
WORD_DROPOUT = 0.1


@dataclass
class TrainingData:
    """Pictures and their words, ready for batches."""

    pictures: list[DemoPicture]
    cache: Tensor
    may_flip: Tensor
    sampler: CaptionSampler
    tokenizer: DropoutTokenizer

    def captions_for(self, indices: list[int], each: int, rng: random.Random) -> tuple[Tensor, Tensor]:
        """Sample captions: tokens (t, length) and the weight of every picture as answer (t, n)."""
        captions = [self.sampler.sample(index, rng) for index in indices for _ in range(each)]
        tokens = pad([self.tokenizer.encode(caption.text, rng) for caption in captions])
        return tokens, torch.from_numpy(np.stack([caption.answers for caption in captions]))


def prepare_data(
    pictures: list[DemoPicture], images: list[Image.Image], excluded: Sequence[str], merges: int, folder: Path
) -> TrainingData:
    """Read colours and masks off the pictures; learn the merges, or read those already in `folder`."""
    backgrounds = [find_background(image) for image in images]
    colors = [name_colors(*both) for both in zip(images, backgrounds, strict=True)]
    phrases = read_descriptions()
    kept, aside = split_validation(describe_pictures(pictures, phrases))
    held_out = [*excluded, *(phrase for phrase, _ in aside)]
    sampler = CaptionSampler(pictures, colors, kept, describe_kinds(pictures, phrases), held_out)
    learned = _merges_for(sampler, merges, folder / MERGES_NAME)
    cache = cache_pictures(images, backgrounds)
    return TrainingData(
        pictures, cache, find_flippable(pictures, cache), sampler, DropoutTokenizer(learned, WORD_DROPOUT)
    )


def _merges_for(sampler: CaptionSampler, limit: int, path: Path) -> list[Merge]:
    if not path.exists():  # a training that continues must not number its words anew
        path.parent.mkdir(parents=True, exist_ok=True)
        counts = count_words([*sampler.corpus(), *(prompt.format("") for prompt in PROMPTS)])
        write_merges(learn_merges(counts, limit), path)
    return read_merges(path)


def find_flippable(pictures: Sequence[DemoPicture], cache: Tensor) -> Tensor:
    """Say which pictures keep their meaning in a mirror: shape (n,), bool."""
    by_words = [
        picture.category not in ONE_SIDED_CATEGORIES
        and picture.kind not in ONE_SIDED_KINDS
        and not any(side in picture.name for side in ("left", "right", "facing"))
        for picture in pictures
    ]
    small = functional.avg_pool2d(plain(cache), 4)
    distances = torch.cdist(small.flip(3).flatten(1), small.flatten(1)) / small[0].numel() ** 0.5
    distances.fill_diagonal_(float("inf"))
    unlike_all_others: Tensor = distances.min(dim=1).values > 0.15
    return torch.tensor(by_words) & unlike_all_others


def pad(sequences: Sequence[Sequence[int]]) -> Tensor:
    """Stack token numbers, cut to the context length with the end kept, padded with 0."""
    cut = [s if len(s) <= CONTEXT_LENGTH else [*s[: CONTEXT_LENGTH - 1], s[-1]] for s in sequences]
    tokens = torch.zeros(len(cut), max(map(len, cut)), dtype=torch.long)
    for row, numbers in zip(tokens, cut, strict=True):
        row[: len(numbers)] = torch.tensor(numbers)
    return tokens
