"""A model, pictures, and the vectors that open_clip alone made of them, in three ways."""

import pytest
from outside_vectors import ROWS, Outside, embed_outside, write_photos, write_quickgelu_model


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Outside:
    place = tmp_path_factory.mktemp("outside")
    folder = write_quickgelu_model(place / "clip")
    photos = write_photos(place / "photos", ROWS)
    return Outside(folder, photos, embed_outside(folder, place / "photos", place / "vectors.npz"))
