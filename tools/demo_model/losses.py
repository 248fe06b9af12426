"""Contrastive losses against all pictures, not only those of the batch."""

import torch
from torch import Tensor
from torch.nn import functional


def words_to_pictures(texts: Tensor, bank: Tensor, answers: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of each text over all pictures.

    Args:
        texts: Shape (t, d), norm 1.
        bank: Shape (n, d): the last seen embedding of every picture, those of this batch with their gradient.
        answers: Shape (t, n): weight of every picture as the text's answer, rows sum to 1.
        scale: Multiplier of cosine similarities.
    """
    return functional.cross_entropy(scale * texts @ bank.T, answers)


def pictures_to_words(pictures: Tensor, texts: Tensor, answers: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of each picture over the batch's texts, every text that it answers being right.

    Args:
        pictures: Shape (b, d), norm 1.
        texts: Shape (t, d), norm 1.
        answers: Shape (t, b): weight of the batch's pictures as answers.
        scale: Multiplier of cosine similarities.
    """
    right = answers.T / answers.T.sum(dim=1, keepdim=True).clamp_min(1e-6)
    return functional.cross_entropy(scale * pictures @ texts.T, right)


def pictures_to_prototypes(pictures: Tensor, prototypes: Tensor, indices: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of each picture over the prototypes of all pictures, slightly smoothed.

    Args:
        pictures: Shape (b, d), norm 1.
        prototypes: Shape (n, d), norm 1.
        indices: Shape (b,): which picture each row shows.
        scale: Multiplier of cosine similarities.
    """
    return functional.cross_entropy(scale * pictures @ prototypes.T, indices, label_smoothing=0.05)


class Average:
    """An exponential moving average of a model's weights and buffers."""

    def __init__(self, state: dict[str, Tensor], decay: float = 0.998) -> None:
        self.state = {name: tensor.detach().clone() for name, tensor in state.items()}
        self.decay = decay

    @torch.no_grad()
    def update(self, state: dict[str, Tensor], step: int) -> None:
        """Move towards the present weights; faster in the first steps, with nothing worth keeping yet."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in state.items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, 1 - decay)
            else:
                self.state[name].copy_(tensor)
