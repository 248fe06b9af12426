"""A handful of the shipped pictures, prepared as for training."""

from pathlib import Path

import pytest

from imgvec_pg.demo.pictures import load_images, read_manifest
from tools.demo_model.trainingdata import TrainingData, prepare_data


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingData, Path]:
    folder = tmp_path_factory.mktemp("training")
    pictures = [p for p in read_manifest() if p.kind == "food-fruit"] + read_manifest()[:20]
    return prepare_data(pictures, load_images(pictures), ["red apple"], 300, folder), folder
