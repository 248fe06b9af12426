"""Text towers that are models of the hub, and networks that half precision cannot run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakehub import fake_hub
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save, save_file
from tinymodel import tiny_config, write_sentencepiece_tokenizer, write_tiny_model

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.embedding import runtime
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.openclip_names import architecture_config, half_precision_of
from imgvec_pg.embedding.runtime import import_open_clip
from imgvec_pg.errors import ModelError, WeightsMissingError

MULTILINGUAL = "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"


def use_hub(monkeypatch: pytest.MonkeyPatch, endpoint: str, home: Path) -> None:
    """Take another hub within this process: one that loads all that this needs takes 4 s of processor time to start."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))


def write_tiny_multilingual(folder: Path) -> Path:
    """Write a tiny model like xlm-roberta-base-ViT-B-32, its text tower's configuration beside it."""
    from transformers import XLMRobertaConfig

    folder.mkdir()
    size = write_sentencepiece_tokenizer(folder)
    XLMRobertaConfig(
        vocab_size=size, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    ).save_pretrained(folder)
    published = architecture_config("xlm-roberta-base-ViT-B-32")["text_cfg"]
    config = tiny_config()
    config["model_cfg"]["text_cfg"] = {**published, "context_length": 16}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    text = {**published, "hf_model_name": str(folder), "hf_model_pretrained": False}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = import_open_clip().CustomTextCLIP(**{**config["model_cfg"], "text_cfg": text})
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def test_text_tower_of_the_hub_is_built_from_the_folder_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(runtime, "cpu_has_bf16", lambda: True)
    folder = write_tiny_multilingual(tmp_path / "tiny")
    embedder = load_embedder(f"local-dir:{folder}", device="cpu")
    assert embedder.precision == "fp32"
    embedded = embedder.embed_texts(["a photo of a cat", "un café très chaud"])
    assert np.linalg.norm(embedded, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert abs(float(embedded[0] @ embedded[1])) < 0.9999

    (folder / "config.json").unlink()
    with pytest.raises(
        WeightsMissingError,
        match=r"configuration of the text tower .*HF_HUB_OFFLINE.*: save config.json of xlm",
    ):
        load_embedder(f"local-dir:{folder}", device="cpu")


def test_fetch_brings_the_text_towers_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = write_tiny_multilingual(tmp_path / "tiny")
    weights = "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k/open_clip_model.safetensors"
    hub = {weights: save({"any": torch.ones(1)})} | {
        f"xlm-roberta-base/{name}": (tiny / name).read_bytes() for name in ("config.json", "tokenizer.json")
    }
    to = tmp_path / "models"
    fetch = ("model", "fetch", MULTILINGUAL, "--to", str(to))
    del hub["xlm-roberta-base/tokenizer.json"]
    with fake_hub(hub) as endpoint:
        use_hub(monkeypatch, endpoint, tmp_path / "home")
        assert run(cli, fetch) == 1
        assert "tokenizer of xlm-roberta" in capsys.readouterr().err
        # Nothing that a load would take for the model without having sums to check it by.
        assert not to.exists() or list(to.iterdir()) == []
        hub["xlm-roberta-base/tokenizer.json"] = (tiny / "tokenizer.json").read_bytes()
        for _ in range(2):  # the second time over the first one's files
            assert run(cli, fetch) == 0, capsys.readouterr().err
    (folder,) = to.iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "SHA256SUMS", "config.json", "open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"
    }  # fmt: skip


def test_random_weights_of_a_text_tower_out_of_reach_are_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "home")
    assert run(cli, ("model", "benchmark", MULTILINGUAL, "--random-weights")) == 1
    told = capsys.readouterr().err
    assert f"the configuration of the text tower of {MULTILINGUAL} is not on this machine" in told
    assert "unexpected" not in told


def pool_by_attention(config: dict[str, Any]) -> None:
    config["model_cfg"]["vision_cfg"]["attentional_pool"] = True


def test_what_half_precision_cannot_run_is_computed_in_fp32(
    tmp_path: Path, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "cpu_has_bf16", lambda: True)
    assert half_precision_of(architecture_config("coca_ViT-B-32")) == "fp32"
    name = f"local-dir:{write_tiny_model(tmp_path / 'tiny', change=pool_by_attention)}"
    embedder = load_embedder(name, device="cpu")
    assert embedder.precision == "fp32"
    assert embedder.embed_images(photos).shape == (len(photos), 32)
    half = load_embedder(name, device="cpu", precision="bf16")
    with pytest.raises(ModelError, match=r"cannot be computed in bf16 .*: use --precision fp32"):
        half.embed_images(photos)
