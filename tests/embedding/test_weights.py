"""Where weights are looked for, and what is said when they are nowhere."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pytest
from tinymodel import tiny_config

from imgvec_pg.embedding.catalog import CATALOGUE, describe_model
from imgvec_pg.embedding.hub import hub_files as hub
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.weights import find_weights
from imgvec_pg.errors import ModelError, WeightsMissingError

MODEL = CATALOGUE["ViT-B-32/laion2b_s34b_b79k"]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from a machine without a network, a model folder or anything in the hub's cache."""
    monkeypatch.delenv("IMGVEC_MODEL_DIR", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub, "cached_file", lambda *_: None)


def test_missing_weights_name_the_model_and_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a connection was tried although HF_HUB_OFFLINE is set")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(WeightsMissingError) as caught:
        load_embedder(MODEL.name, device="cpu")
    message = str(caught.value)
    for part in (
        MODEL.name,
        "HF_HUB_OFFLINE",
        "imgvec model fetch ViT-B-32/laion2b_s34b_b79k --to DIR",
        "IMGVEC_MODEL_DIR",
        "--weights",
    ):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize("hub_state", ["refuses", "hangs"])
def test_unreachable_hub_ends_soon_in_the_same_error(hub_state: str, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if hub_state == "hangs":
            listener.listen()
        script = (
            "from imgvec_pg.embedding.hub import hub_files as hub\n"
            "from imgvec_pg.embedding.catalog import describe_model\n"
            "from imgvec_pg.embedding.weights import find_weights\n"
            "hub.CONNECT_SECONDS = 1.0\n"
            f"find_weights(describe_model({MODEL.name!r}))\n"
        )
        environment = {
            **{key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
            "HF_ENDPOINT": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "HF_HOME": str(tmp_path),
            "HF_HUB_OFFLINE": "0",
        }
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
    assert time.monotonic() - started < 60
    last = done.stderr.splitlines()[-1]
    assert last.startswith("imgvec_pg.errors.WeightsMissingError: the weights of ViT-B-32/laion2b_s34b_b79k")
    assert "Retrying" not in done.stderr


def test_weights_given_come_first(tmp_path: Path) -> None:
    given = tmp_path / "mine.safetensors"
    given.touch()
    assert find_weights(MODEL, given) == given
    with pytest.raises(WeightsMissingError, match="there is no weights file"):
        find_weights(MODEL, tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt"])
def test_pickles_are_refused_unopened(tmp_path: Path, suffix: str) -> None:
    given = tmp_path / f"mine{suffix}"
    given.touch()
    with pytest.raises(ModelError, match=r"is a pickle.*convert it once") as caught:
        find_weights(MODEL, given)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    given = tmp_path / "mine.npz"
    given.touch()
    with pytest.raises(ModelError, match=r"is not a \.safetensors file"):
        find_weights(MODEL, given)


def test_model_directory_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_MODEL_DIR", str(tmp_path))
    with pytest.raises(WeightsMissingError):
        find_weights(MODEL)
    pickle = tmp_path / "ViT-B-32--laion2b_s34b_b79k.bin"
    pickle.touch()
    with pytest.raises(ModelError, match="is a pickle"):
        find_weights(MODEL)
    file = tmp_path / "ViT-B-32--laion2b_s34b_b79k.safetensors"
    file.touch()
    assert find_weights(MODEL) == file
    folder = tmp_path / "ViT-B-32--laion2b_s34b_b79k"
    folder.mkdir()
    with pytest.raises(WeightsMissingError, match="put the weights there"):
        find_weights(MODEL)
    (folder / "open_clip_model.safetensors").touch()
    assert find_weights(MODEL) == folder / "open_clip_model.safetensors"


def test_model_directory_that_is_none_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_MODEL_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="which is no folder"):
        find_weights(MODEL)


def test_folder_under_a_models_name_must_be_that_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_MODEL_DIR", str(tmp_path))
    folder = tmp_path / "ViT-B-32--laion2b_s34b_b79k"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(tiny_config()))
    with pytest.raises(ModelError, match=r"states mean .* embed_dim 32 instead of 512"):
        find_weights(MODEL)


def test_hubs_cache_is_used_without_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "open_clip_model.safetensors"
    monkeypatch.setattr(hub, "cached_file", lambda *_: str(cached))
    assert find_weights(MODEL) == cached


def test_local_weights_get_the_named_tags_preprocessing(tiny_folder: Path) -> None:
    file = tiny_folder / "open_clip_model.safetensors"
    shutil.copy(file, tiny_folder.parent / "other.safetensors")
    # open_clip alone would take OpenAI's mean and std for a file; here the tag decides, and a file needs one.
    assert describe_model("ViT-L-14/laion2b_s32b_b82k").preprocessing != MODEL.preprocessing
    with pytest.raises(ModelError, match=r"does not fit ViT-B-32/laion2b_s34b_b79k"):
        load_embedder(MODEL.name, weights=tiny_folder.parent / "other.safetensors", device="cpu")
    with pytest.raises(ModelError, match=r"ViT-B-32 is an architecture, not a model.*--weights"):
        load_embedder("ViT-B-32", weights=file)
