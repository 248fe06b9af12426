"""Models of the hub by name: fetched once, all of one commit, and told in one line where they cannot be had."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from fakehub import COMMIT, fake_hub
from PIL import Image
from tinymodel import write_tiny_model

from imgvec_pg.cli.main import cli
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.download import fetch_model
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import ModelError, ModelNotFoundError

OFFLINE = "http://127.0.0.1:9"
ORG = "acme/tiny-clip"
CARD = b"---\nlicense: other\nlicense_name: acme-research\n---\n# Tiny\n"


@pytest.fixture(scope="module")
def open_clip_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = write_tiny_model(tmp_path_factory.mktemp("hub") / "tiny")
    return {f"{ORG}/{path.name}": path.read_bytes() for path in folder.iterdir()} | {f"{ORG}/README.md": CARD}


@pytest.fixture(scope="module")
def vit_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    import torch

    from imgvec_pg.embedding.runtime import import_transformers

    transformers = import_transformers("a test")
    folder = tmp_path_factory.mktemp("vit")
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = transformers.Dinov2Config(**tower, image_size=28, patch_size=14)
    transformers.Dinov2Model(config).save_pretrained(folder)
    transformers.BitImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    ).save_pretrained(folder)
    return {f"acme/dino/{path.name}": path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give what points this process at a hub; its cache begins empty. The constants are read once, as it is imported."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)

    def point(endpoint: str) -> None:
        template = "{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{endpoint}/{template}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", endpoint == OFFLINE)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1" if endpoint == OFFLINE else "0")

    return point


def show(name: str, *options: str) -> str:
    done = CliRunner().invoke(cli, ["model", "show", name, *options], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def load(name: str) -> str:
    embedder = load_embedder(name, device="cpu", precision="fp32")
    assert embedder.embed_images([Image.radial_gradient("L").convert("RGB")]).shape == (1, 32)
    if embedder.has_text:
        assert embedder.embed_texts(["a cat"]).shape == (1, 32)
    return embedder.fingerprint


def test_open_clips_repository_is_shown_and_loaded_of_one_commit(
    at: Callable[[str], None], open_clip_files: dict[str, bytes]
) -> None:
    asked: list[str] = []
    with fake_hub(open_clip_files, asked=asked) as endpoint:
        at(endpoint)
        shown = show(f"hf-hub:{ORG}")
        assert "licence      acme-research" in shown
        assert f"commit       {COMMIT}" in shown
        assert "weights      not on this machine; acme/tiny-clip on the hub, fetched at first use" in shown
        # Whoever only declares a collection need not have the weights.
        assert not any("safetensors" in path for path in asked)
        fingerprint = load(f"hf-hub:{ORG}")
    at(OFFLINE)  # what is here needs no hub
    assert load(f"hf-hub:{ORG}") == fingerprint
    assert load(f"hf-hub:{ORG}@{COMMIT}") == fingerprint
    assert json.loads(show(f"hf-hub:{ORG}", "--json"))["revision"] == COMMIT


def test_transformers_repository_is_shown_and_loaded(
    at: Callable[[str], None], vit_files: dict[str, bytes]
) -> None:
    with fake_hub(vit_files) as endpoint:
        at(endpoint)
        shown = show("transformers:acme/dino")
        assert "licence      its card names none" in shown
        assert "vector       class token" in shown
        assert "pictures     prepared by BitImageProcessor" in shown
        fingerprint = load("transformers:acme/dino")
    at(OFFLINE)
    assert load("transformers:acme/dino") == fingerprint


def test_pickles_alone_are_refused_before_anything_is_fetched(
    at: Callable[[str], None], vit_files: dict[str, bytes]
) -> None:
    pickled = {
        name.replace("model.safetensors", "pytorch_model.bin"): body for name, body in vit_files.items()
    }
    asked: list[str] = []
    with fake_hub(pickled, asked=asked) as endpoint:
        at(endpoint)
        with pytest.raises(ModelError, match=r"has its weights as a pickle only \(pytorch_model\.bin\)"):
            load("transformers:acme/dino")
    assert not any("pytorch_model.bin" in path for path in asked)


@pytest.mark.parametrize(
    ("name", "is_offline", "told"),
    [
        ("transformers:acme/dino", True, "run 'hf download acme/dino' and carry the cache folder"),
        ("hf-hub:acme/dino@v2", True, "run 'hf download acme/dino --revision v2' and carry the cache folder"),
        (
            "transformers:acme/nothing",
            False,
            "the hub has no repository acme/nothing, or not for you: check the name",
        ),
        ("transformers:acme/dino@v2", False, "acme/dino has no revision 'v2' on the hub"),
        ("hf-hub:acme/dino", False, "so it is no model of OpenCLIP: try transformers:acme/dino"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(
    name: str, is_offline: bool, told: str, at: Callable[[str], None], vit_files: dict[str, bytes]
) -> None:
    with fake_hub(vit_files) as endpoint:
        at(OFFLINE if is_offline else endpoint)
        with pytest.raises(ModelError) as caught:
            load(name)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_transformers_name_of_a_model_of_open_clip_is_told(
    at: Callable[[str], None], open_clip_files: dict[str, bytes]
) -> None:
    with fake_hub(open_clip_files) as endpoint:
        at(endpoint)
        with pytest.raises(ModelNotFoundError, match="it is a model of OpenCLIP, hf-hub:acme/tiny-clip"):
            load(f"transformers:{ORG}")


def test_command_says_in_one_line_that_a_hub_cannot_be_reached(tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    hub = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "imgvec_pg", "model", "show", "transformers:acme/dino"],
        env=clean | hub,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 1
    assert "transformers:acme/dino is not on this machine (the hub did not give acme/dino" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_fetch_says_where_these_are_kept(
    at: Callable[[str], None], tmp_path: Path, vit_files: dict[str, bytes]
) -> None:
    with fake_hub(vit_files) as endpoint:
        at(endpoint)
        with pytest.raises(ModelError, match="is kept in the hub's own cache: run 'hf download acme/dino'"):
            fetch_model(describe_model("transformers:acme/dino"), tmp_path / "to")
    assert not (tmp_path / "to").exists()
