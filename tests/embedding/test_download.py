"""Weights that are fetched once, carried in a folder and checked at each load."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fakehub import fake_hub
from PIL import Image
from safetensors.torch import save
from tinymodel import write_tiny_siglip

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.embedding.benchmark import choose_batch_size
from imgvec_pg.embedding.embedder import SimpleEmbedder
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.runtime import import_timm
from imgvec_pg.embedding.torch_models import throughput
from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder
from imgvec_pg.errors import ModelError

NAME = "timm/test_vit.r160_in1k"
FILE = f"{NAME}/model.safetensors"
CATALOGUED = "timm/efficientnet_b0.ra_in1k"  # fetched without importing torch, in a tenth of the time


@pytest.fixture(scope="module")
def weights() -> bytes:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = import_timm().create_model("test_vit", pretrained=False)
    return save(network.state_dict())


def imgvec(home: Path, endpoint: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "imgvec_pg", *arguments],
        env={**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert "Traceback" not in done.stderr
    return done


def test_fetched_weights_are_carried_and_checked(
    tmp_path: Path, weights: bytes, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    with fake_hub({FILE: weights}) as endpoint:
        done = imgvec(tmp_path / "home", endpoint, "model", "fetch", NAME, "--to", str(folder))
    assert done.returncode == 0, done.stderr
    assert f"export IMGVEC_MODEL_DIR={folder}" in done.stdout
    carried = folder / "timm--test_vit.r160_in1k"
    assert sorted(path.name for path in carried.iterdir()) == ["SHA256SUMS", "model.safetensors"]
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=carried, check=True, capture_output=True
    )

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("IMGVEC_MODEL_DIR", str(folder))
    embedder = load_embedder(NAME, device="cpu", precision="fp32")
    embedded = embedder.embed_images(photos)
    assert embedded.shape == (len(photos), embedder.dimensions)
    assert np.linalg.norm(embedded, axis=1) == pytest.approx(1.0, abs=1e-6)

    file = carried / "model.safetensors"
    file.write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ModelError, match=r"has the SHA-256 .*, recorded is .*fetch it again"):
        load_embedder(NAME, device="cpu")
    (carried / "SHA256SUMS").write_text("nonsense\n")
    with pytest.raises(ModelError, match="no list of SHA-256 sums"):
        load_embedder(NAME, device="cpu")


def test_weights_that_arrive_damaged_are_refused(tmp_path: Path, weights: bytes) -> None:
    file = f"{CATALOGUED}/model.safetensors"
    with fake_hub({file: weights}, damaged=frozenset({file})) as endpoint:
        done = imgvec(
            tmp_path / "home", endpoint, "model", "fetch", CATALOGUED, "--to", str(tmp_path / "models")
        )
    assert done.returncode == 1
    assert "is damaged or was replaced" in done.stderr
    assert not (tmp_path / "models").exists()


def test_a_hub_out_of_reach_is_told_in_a_line(tmp_path: Path) -> None:
    done = imgvec(
        tmp_path / "home", "http://127.0.0.1:9", "model", "fetch", CATALOGUED, "--to", str(tmp_path)
    )
    assert done.returncode == 1
    assert f"the weights of {CATALOGUED} are not on this machine" in done.stderr
    assert "Retrying" not in done.stderr


def test_siglip_comes_with_its_tokenizer(tmp_path: Path) -> None:
    siglip = write_tiny_siglip(tmp_path / "siglip")
    hub = {
        "timm/ViT-B-16-SigLIP2/open_clip_model.safetensors": save({"any": torch.ones(1)}),
        "timm/ViT-B-16-SigLIP2/tokenizer.json": (siglip / "tokenizer.json").read_bytes(),
        "timm/ViT-B-16-SigLIP2/tokenizer_config.json": (siglip / "tokenizer_config.json").read_bytes(),
    }
    with fake_hub(hub) as endpoint:
        fetch = ("model", "fetch", "ViT-B-16-SigLIP2/webli", "--to", str(tmp_path / "models"), "--json")
        done = imgvec(tmp_path / "home", endpoint, *fetch)
    assert done.returncode == 0, done.stderr
    folder = Path(json.loads(done.stdout)["folder"])
    names = [
        "SHA256SUMS",
        "open_clip_config.json",
        "open_clip_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert sorted(path.name for path in folder.iterdir()) == names
    stated = json.loads((folder / "open_clip_config.json").read_text())
    assert stated["preprocess_cfg"]["resize_mode"] == "squash"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "demo", "--to", "{to}"], "there is nothing to fetch"),
        (["fetch", NAME, "--to", "{to}", "--weights", "{file}", "--sha256", "ab" * 32], "expected was abab"),
        (["fetch", NAME, "--to", "{to}", "--weights", "{bad}"], "is corrupt or no safetensors file"),
        (["fetch", CATALOGUED, "--to", "{to}", "--weights", "{file}"], f"does not fit {CATALOGUED}"),
        (
            ["fetch", "ViT-B-32/laion2b_s34b_b79k", "--to", "{to}", "--weights", "{file}"],
            "does not fit ViT-B-32",
        ),
        (["show", "ViT-L-14/laion2b_s32b"], "the nearest names are ViT-L-14/laion2b_s32b_b82k"),
        (["benchmark", "demo", "--random-weights"], "brings its own weights"),
    ],
)
def test_what_cannot_be_done_is_told(
    tmp_path: Path, weights: bytes, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    file, bad = tmp_path / "w.safetensors", tmp_path / "bad.safetensors"
    file.write_bytes(weights)
    bad.write_bytes(weights[:1000])
    places = {"to": tmp_path / "models", "file": file, "bad": bad}
    assert run(cli, ["model", *(part.format(**places) for part in arguments)]) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_benchmark_tells_the_share_of_the_bare_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["benchmark", NAME, "--random-weights", "--seconds", "0.1", "--batch-size", "4", "--json"]
    assert run(cli, ["model", *arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["batch_size"] == 4
    assert told["images_per_second"] > 0
    # 6 layers of width 64 over 101 patches: about 0.06 GFLOP, not 0.03 and not 0.12.
    assert 0.04 < told["gflops_per_image"] < 0.1
    assert 0 < told["share_of_peak"] < 1


def test_batch_size_is_found_by_trying(
    weights: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(weights)
    embedder = load_embedder(NAME, weights=file, device="cpu", precision="fp32")
    assert isinstance(embedder, TorchEmbedder)
    tried: list[int] = []

    def rate(_: object, size: int, seconds: float) -> throughput.Rate:
        tried.append(size)
        if size > 64:
            raise MemoryError
        # Twice as fast as before up to 16, then hardly any faster.
        speed = min(size, 16) + size / 1000
        return throughput.Rate(size, speed, size / speed * seconds)

    monkeypatch.setattr(throughput, "measure_rate", rate)
    assert choose_batch_size(0, embedder) == 16
    assert tried == [1, 2, 4, 8, 16, 32, 64]
    assert choose_batch_size(7, embedder) == 7
    assert choose_batch_size(0, SimpleEmbedder()) == 64


def test_compiled_gives_the_same_vectors(tmp_path: Path, weights: bytes, photos: list[Image.Image]) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(weights)
    embedder = load_embedder(NAME, weights=file, device="cpu", precision="fp32")
    plain = embedder.embed_images(photos)
    sizes: list[int] = []

    def encode(batch: torch.Tensor) -> torch.Tensor:
        sizes.append(len(batch))
        return type(embedder).encode(embedder, batch)  # type: ignore[attr-defined]

    embedder._compiled = encode  # type: ignore[attr-defined] - what torch.compile makes is filled up likewise
    assert embedder.embed_images(photos) == pytest.approx(plain, abs=1e-6)
    assert sizes == [4]
