"""A model's files run no code: pickles are refused by their name, and what only calls itself safetensors by its content."""

import pickle
from pathlib import Path

import pytest

from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import ModelError

NAME = "ViT-B-32/laion2b_s34b_b79k"


class Bomb:
    """A pickle that makes a file when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    "name", ["open_clip_pytorch_model.bin", "model.pt", "model.ckpt", "model.safetensors"]
)
def test_weights_that_are_a_pickle_are_refused_unopened(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    bomb = pickle.dumps(Bomb(mark))
    pickle.loads(bomb)  # noqa: S301 - it works
    mark.unlink()
    file = tmp_path / name
    file.write_bytes(bomb)
    reason = "no safetensors file" if name.endswith("safetensors") else "a pickle, which can run any code"
    with pytest.raises(ModelError, match=reason):
        load_embedder(NAME, weights=file, device="cpu")
    assert not mark.exists()
