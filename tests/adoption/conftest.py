"""A model, pictures, and the vectors that open_clip alone made of them, in three ways."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from outside_vectors import Float32Array, embed_outside, write_photos, write_quickgelu_model
from tinymodel import write_tiny_model

ROWS = 300


@dataclass(frozen=True)
class Outside:
    """What somebody else has: pictures and vectors; and the model that made them."""

    folder: Path
    photos: list[bytes]
    vectors: dict[str, Float32Array]

    @property
    def model(self) -> str:
        return f"local-dir:{self.folder}"


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Outside:
    place = tmp_path_factory.mktemp("outside")
    folder = write_quickgelu_model(place / "clip", write_tiny_model)
    photos = write_photos(place / "photos", ROWS)
    return Outside(folder, photos, embed_outside(folder, place / "photos", place / "vectors.npz"))
