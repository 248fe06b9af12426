"""One training: its model, its steps, its checkpoints."""

import math
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tools.demo_model.augment import IMAGE_SIZE, augment, plain
from tools.demo_model.losses import Average, pictures_to_prototypes, pictures_to_words, words_to_pictures
from tools.demo_model.modelfolder import DIMENSIONS, build_model, encode_tokens
from tools.demo_model.prototypes import latent_semantics
from tools.demo_model.trainingdata import TrainingData
from tools.demo_model.wordtuning import tune_words

MAX_SCALE = math.log(60.0)
FIRST_IMAGE_SIZE = 40
FIRST_SHARE = 0.64


@dataclass(frozen=True)
class TrainingOptions:
    """What decides the result, beside the pictures."""

    epochs: int = 125
    batch_size: int = 96
    captions_each: int = 2
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    word_steps: int = 800
    """Steps of the last part, in which the text tower trains alone."""
    seed: int = 20261124

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.captions_each) < 1:
            raise ValueError(f"epochs, batch_size and captions_each must be at least 1, not {self}")


class Trainer:
    """Model, optimiser and the last seen embedding of every picture, name and weight."""

    def __init__(self, data: TrainingData, options: TrainingOptions) -> None:
        torch.manual_seed(options.seed)
        self.data, self.options = data, options
        self.model = build_model(data.tokenizer.vocabulary_size)
        self.prototypes = torch.nn.Parameter(latent_semantics(data.sampler.content(), DIMENSIONS))
        self.optimizer = torch.optim.AdamW(
            [*_parameter_groups(self.model, options), {"params": [self.prototypes], "weight_decay": 0.0}],
            lr=options.learning_rate,
        )
        self.average = Average(self.model.state_dict())
        self.bank = self.prototypes.detach().clone()
        self.epoch = self.step = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the pictures; the last, smaller one is dropped."""
        return max(1, len(self.data.pictures) // self.options.batch_size)

    @property
    def image_size(self) -> int:
        """Small pictures first, at less than half the cost; the network averages over whatever it gets."""
        return FIRST_IMAGE_SIZE if self.epoch < self.options.epochs * FIRST_SHARE else IMAGE_SIZE

    def train_epoch(self) -> list[float]:
        """Pass over all pictures once; return the mean of each loss. Seed and epoch decide all chance."""
        rng = random.Random(f"{self.options.seed}/{self.epoch}")  # noqa: S311
        generator = torch.Generator().manual_seed(self.options.seed + self.epoch)
        order = torch.randperm(len(self.data.pictures), generator=generator)
        self.model.train()
        size = min(self.options.batch_size, len(order))
        losses = [
            self._train_batch(order[first * size : (first + 1) * size], rng, generator)
            for first in range(self.steps_per_epoch)
        ]
        self.epoch += 1
        return [sum(parts) / len(parts) for parts in zip(*losses, strict=True)]

    def _train_batch(self, indices: Tensor, rng: random.Random, generator: torch.Generator) -> list[float]:
        data = self.data
        self._set_learning_rate()
        tokens, answers = data.captions_for(indices.tolist(), self.options.captions_each, rng)
        images = augment(data.cache[indices], data.may_flip[indices], generator, self.image_size)
        pictures = self.model.encode_image(images, normalize=True)
        texts = encode_tokens(self.model, tokens)
        scale = self.model.logit_scale.exp()
        bank = self.bank.clone().index_put((indices,), pictures)
        prototypes = functional.normalize(self.prototypes, dim=1)
        losses = (
            words_to_pictures(texts, bank, answers, scale),
            pictures_to_words(pictures, texts, answers[:, indices], scale),
            words_to_pictures(texts, prototypes, answers, scale),
            pictures_to_prototypes(pictures, prototypes, indices, scale),
        )
        loss = losses[0] + 0.5 * losses[1] + 0.5 * losses[2] + losses[3]
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, MAX_SCALE)
            self.bank[indices] = pictures.detach()
        self.average.update(self.model.state_dict(), self.step)
        self.step += 1
        return [float(part.detach()) for part in losses]

    def _set_learning_rate(self) -> None:
        """Warm up over 100 steps, then follow a cosine down to a hundredth."""
        total = self.options.epochs * self.steps_per_epoch
        share = min(1.0, self.step / total)
        factor = min(1.0, (self.step + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * factor

    def finish(self) -> dict[str, Tensor]:
        """Take the averaged weights, tune the text tower to them, and return the result."""
        self.model.load_state_dict(self.average.state)
        self.model.eval()
        with torch.no_grad():
            pictures = plain(self.data.cache)
            parts = (pictures[first : first + 256] for first in range(0, len(pictures), 256))
            bank = torch.cat([self.model.encode_image(part, normalize=True) for part in parts])
        tune_words(self.model, self.data, bank, self.options.word_steps, self.options.seed)
        state: dict[str, Tensor] = self.model.state_dict()
        return state

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all."""
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "options": asdict(self.options),
                "model": self.model.state_dict(),
                "average": self.average.state,
                "optimizer": self.optimizer.state_dict(),
                "prototypes": self.prototypes.detach(),
                "bank": self.bank,
                "epoch": self.epoch,
                "step": self.step,
            },
            partial,
        )
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same options.

        Raises:
            ValueError: It was written with other options, or for other pictures.
        """
        saved = torch.load(path, weights_only=True)
        if saved["options"] != asdict(self.options) or saved["bank"].shape != self.bank.shape:
            wanted = asdict(self.options)
            raise ValueError(f"{path} was made with {saved['options']}, not {wanted}: use another --out")
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average.state = saved["average"]
        with torch.no_grad():
            self.prototypes.copy_(saved["prototypes"])
        self.bank, self.epoch, self.step = saved["bank"], saved["epoch"], saved["step"]


def _parameter_groups(model: Any, options: TrainingOptions) -> list[dict[str, Any]]:  # noqa: ANN401
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
