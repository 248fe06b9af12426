"""Starting points for what both towers should say of each picture, from its words alone.

Two untrained towers that have only each other to learn from stand still for long: after 15 epochs of plain
contrastive training 4 % of the names found their picture among the first ten. So each picture gets a
prototype, at first the latent semantic analysis of its words; both towers are pulled towards it, it moves
with them, and it is dropped at the end.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def latent_semantics(words: Sequence[Sequence[str]], dimensions: int) -> Tensor:
    """Embed pictures by their words: tf-idf, then the leading singular vectors.

    Returns:
        Shape (n, dimensions), float32, rows of norm 1.
    """
    numbers = {word: number for number, word in enumerate(sorted({word for row in words for word in row}))}
    counts = torch.zeros(len(words), len(numbers))
    for row, own in zip(counts, words, strict=True):
        for word in own:
            row[numbers[word]] += 1
    weighted = functional.normalize(counts * (len(words) / counts.gt(0).sum(dim=0)).log(), dim=1)
    left, values, _ = torch.linalg.svd(weighted, full_matrices=False)
    # The square root keeps rare meanings from drowning in the few common ones.
    vectors = left[:, :dimensions] * values[:dimensions].sqrt()
    if vectors.shape[1] < dimensions:
        vectors = functional.pad(vectors, (0, dimensions - vectors.shape[1]))
    return functional.normalize(vectors + 0.01 * torch.randn(vectors.shape), dim=1)
