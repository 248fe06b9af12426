from pathlib import Path

import torch

from tools.demo_model.augment import augment, plain
from tools.demo_model.trainingdata import TrainingData


def test_augmented_pictures_repeat_with_the_same_seed(few: tuple[TrainingData, Path]) -> None:
    data, _ = few
    first, again = (augment(data.cache, data.may_flip, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (len(data.pictures), 3, 64, 64)


def test_some_pictures_stay_as_they_are(few: tuple[TrainingData, Path]) -> None:
    data, _ = few
    changed = augment(data.cache, data.may_flip, torch.Generator().manual_seed(3))
    distances = (changed - plain(data.cache)).abs().mean(dim=(1, 2, 3))
    assert 0 < int((distances < 0.05).sum()) < len(distances) / 2


def test_fruits_may_be_mirrored_and_faces_not(few: tuple[TrainingData, Path]) -> None:
    data, _ = few
    flippable = {p.name for p, may in zip(data.pictures, data.may_flip.tolist(), strict=True) if may}
    assert "banana" in flippable
    assert not [p for p in data.pictures if p.category == "Smileys & People" and p.name in flippable]
