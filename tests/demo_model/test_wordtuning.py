from pathlib import Path

import torch
from torch.nn import functional

from tools.demo_model.losses import words_to_pictures
from tools.demo_model.modelfolder import build_model, encode_tokens
from tools.demo_model.trainingdata import TrainingData, pad
from tools.demo_model.wordtuning import tune_words


def test_tuning_fits_words_to_pictures_and_leaves_the_picture_tower(few: tuple[TrainingData, Path]) -> None:
    data, _ = few
    torch.manual_seed(2)
    model = build_model(data.tokenizer.vocabulary_size).eval()
    count = len(data.pictures)
    bank = functional.normalize(torch.randn(count, model.text_projection.shape[1]), dim=1)
    names = pad([data.tokenizer.encode(picture.name) for picture in data.pictures])

    def loss() -> float:
        with torch.no_grad():
            return float(
                words_to_pictures(encode_tokens(model, names), bank, torch.eye(count), torch.tensor(20.0))
            )

    before, visual = loss(), {name: tensor.clone() for name, tensor in model.visual.state_dict().items()}
    tune_words(model, data, bank, steps=10, seed=1)
    assert loss() < before
    assert all(torch.equal(tensor, visual[name]) for name, tensor in model.visual.state_dict().items())
