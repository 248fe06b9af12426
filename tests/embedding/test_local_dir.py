"""A model in a folder, in OpenCLIP's local-dir format; the demo is one."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tinymodel import write_tiny_model

from imgvec_pg.embedding import catalog
from imgvec_pg.embedding import embedder as embedder_module
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.runtime import import_open_clip
from imgvec_pg.embedding.torch_models import openclip_embedder
from imgvec_pg.errors import ModelError, ModelNotFoundError, UsageError, WeightsMissingError

TEXTS = ["Cat", "red dog", "a red cat " * 20]


def load(folder: Path, **options: Any) -> openclip_embedder.OpenClipEmbedder:
    embedder = load_embedder(f"local-dir:{folder}", device="cpu", **{"precision": "fp32", **options})
    assert isinstance(embedder, openclip_embedder.OpenClipEmbedder)
    return embedder


def test_folder_equals_open_clips_own(tiny_folder: Path, photos: list[Image.Image]) -> None:
    embedder = load(tiny_folder)
    open_clip = import_open_clip()
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{tiny_folder}")
    tokenizer = open_clip.get_tokenizer(
        f"local-dir:{tiny_folder}", bpe_path=str(tiny_folder / "merges.txt.gz")
    )
    with torch.no_grad():
        images = model.encode_image(torch.stack([transform(photo) for photo in photos]), normalize=True)
        texts = model.encode_text(tokenizer(TEXTS), normalize=True)
    np.testing.assert_allclose(embedder.embed_images(photos), images.numpy(), atol=1e-5)
    np.testing.assert_allclose(embedder.embed_texts(TEXTS), texts.numpy(), atol=1e-5)


def test_folder_is_described_without_weights(tiny_folder: Path) -> None:
    (tiny_folder / "open_clip_model.safetensors").unlink()
    model = describe_model(f"local-dir:{tiny_folder}")
    assert (model.dimensions, model.has_text, model.image_size) == (32, True, (64, 64))
    assert model.preprocessing is not None
    assert model.preprocessing.resize_mode == "squash"


def test_demo_is_the_folder_in_the_package(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "DEMO_FOLDER", tiny_folder)
    embedder = load_embedder("demo", device="cpu")
    assert (embedder.name, embedder.dimensions) == ("demo", 32)
    assert embedder.fingerprint == load(tiny_folder).fingerprint


def test_batches_of_any_size_give_the_same_vectors(
    tiny_folder: Path, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder_module, "IMAGES_AT_ONCE", 4)
    monkeypatch.setattr(openclip_embedder, "TEXTS_AT_ONCE", 2)
    embedder = load(tiny_folder)
    assert embedder.embed_images([]).shape == embedder.embed_texts([]).shape == (0, 32)
    one_by_one = np.concatenate([embedder.embed_images([photo]) for photo in photos])
    many = embedder.embed_images(photos * 2 + photos[:1])
    np.testing.assert_allclose(many, np.concatenate([one_by_one, one_by_one, one_by_one[:1]]), atol=1e-5)
    assert embedder.embed_texts(TEXTS).shape == (3, 32)


def test_images_are_prepared_in_many_threads(tiny_folder: Path, photos: list[Image.Image]) -> None:
    embedder = load(tiny_folder)
    with ThreadPoolExecutor(8) as pool:
        prepared = list(pool.map(embedder.prepare_image, photos * 8))
    for photo, tensor in zip(photos * 8, prepared, strict=True):
        assert torch.equal(tensor, embedder.prepare_image(photo))


def test_one_text_instead_of_a_list_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(TypeError, match="a list of texts"):
        load(tiny_folder).embed_texts("cat")


def test_bf16_stays_near_and_of_norm_one(tiny_folder: Path, photos: list[Image.Image]) -> None:
    exact, rounded = load(tiny_folder), load(tiny_folder, precision="bf16")
    assert (exact.precision, rounded.precision) == ("fp32", "bf16")
    assert exact.fingerprint == rounded.fingerprint
    ours = rounded.embed_images(photos)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1.0, atol=1e-6)
    assert (ours * exact.embed_images(photos)).sum(axis=1).min() >= 0.999
    assert (rounded.embed_texts(TEXTS) * exact.embed_texts(TEXTS)).sum(axis=1).min() >= 0.999


def test_fingerprint_tells_models_apart_wherever_they_lie(tmp_path: Path) -> None:
    def other_mean(config: dict[str, Any]) -> None:
        config["preprocess_cfg"]["mean"] = [0.5, 0.5, 0.5]

    def quick_gelu(config: dict[str, Any]) -> None:
        config["model_cfg"]["quick_gelu"] = True

    same = [write_tiny_model(tmp_path / name) for name in ("one", "two")]
    others = [
        write_tiny_model(tmp_path / "seed", seed=8),
        write_tiny_model(tmp_path / "mean", change=other_mean),
        write_tiny_model(tmp_path / "gelu", change=quick_gelu),
        write_tiny_model(tmp_path / "merges"),
        write_tiny_model(tmp_path / "dtype"),
    ]
    (others[3] / "merges.txt.gz").write_bytes(gzip.compress(b"#version: test\nd o\nc a\n"))
    file = others[4] / "open_clip_model.safetensors"
    save_file({key: tensor.half() for key, tensor in load_file(file).items()}, file)
    assert load(same[0]).fingerprint == load(same[1]).fingerprint
    fingerprints = {load(folder).fingerprint for folder in [same[0], *others]}
    assert len(fingerprints) == 1 + len(others)


def change_config(folder: Path, section: str, **values: Any) -> None:
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    for key, value in values.items():
        if value is None:
            del config[section][key]
        else:
            config[section][key] = value
    path.write_text(json.dumps(config))


def test_folder_without_mean_and_std_is_refused(tiny_folder: Path) -> None:
    change_config(tiny_folder, "preprocess_cfg", mean=None)
    with pytest.raises(ModelError, match=r"preprocess_cfg in .* lacks mean"):
        describe_model(f"local-dir:{tiny_folder}")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model_cfg": {}}', '{"model_cfg": 3}'])
def test_unusable_configuration_is_refused(tiny_folder: Path, content: str) -> None:
    (tiny_folder / "open_clip_config.json").write_text(content)
    with pytest.raises(ModelError) as caught:
        describe_model(f"local-dir:{tiny_folder}")
    assert "\n" not in str(caught.value)


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="there is no folder"):
        describe_model(f"local-dir:{tmp_path / 'nowhere'}")
    with pytest.raises(ModelNotFoundError, match=r"no open_clip_config\.json"):
        describe_model(f"local-dir:{tmp_path}")
    with pytest.raises(ModelNotFoundError, match="names no folder"):
        describe_model("local-dir:")


def test_unknown_vocabulary_never_falls_to_clips_tokenizer(tmp_path: Path) -> None:
    def forget_merges(config: dict[str, Any]) -> None:
        del config["model_cfg"]["text_cfg"]["tokenizer_kwargs"]

    with pytest.raises(ModelError, match="a vocabulary of 521 tokens"):
        load(write_tiny_model(tmp_path / "tiny", change=forget_merges))


def test_missing_merges_file_is_named(tiny_folder: Path) -> None:
    (tiny_folder / "merges.txt.gz").unlink()
    with pytest.raises(ModelError, match=r"merges\.txt\.gz .* is missing"):
        load(tiny_folder)


def test_tokenizer_larger_than_the_text_tower_is_refused(tiny_folder: Path) -> None:
    merges = "\n".join(["#version: test", *(f"a {letter}" for letter in "bcdefghijkl")])
    (tiny_folder / "merges.txt.gz").write_bytes(gzip.compress(merges.encode()))
    with pytest.raises(ModelError, match="do not belong together"):
        load(tiny_folder).embed_texts(["cat"])


def test_hub_tokenizer_must_lie_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def name_tokenizer(config: dict[str, Any]) -> None:
        config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "some/tokenizer"

    embedder = load(write_tiny_model(tmp_path / "tiny", change=name_tokenizer))
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: object()
    )  # as if transformers were installed
    with pytest.raises(WeightsMissingError, match=r"has no tokenizer\.json"):
        embedder.embed_texts(["cat"])


def test_folder_without_weights_is_an_error(tiny_folder: Path) -> None:
    file = tiny_folder / "open_clip_model.safetensors"
    file.rename(tiny_folder / "mine.safetensors")
    with pytest.raises(ModelError, match=r"must be called open_clip_model\.safetensors"):
        load(tiny_folder)
    (tiny_folder / "mine.safetensors").unlink()
    with pytest.raises(WeightsMissingError, match="put the weights there"):
        load(tiny_folder)
    (tiny_folder / "open_clip_pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ModelError, match="is a pickle"):
        load(tiny_folder)


@pytest.mark.parametrize("damage", ["cut", "pickle", "empty"])
def test_corrupt_weights_are_refused(tiny_folder: Path, damage: str) -> None:
    file = tiny_folder / "open_clip_model.safetensors"
    match damage:
        case "cut":
            file.write_bytes(file.read_bytes()[:-1000])
        case "pickle":
            torch.save({"a": torch.zeros(3)}, file)
        case "empty":
            file.write_bytes(b"")
    with pytest.raises(ModelError, match="corrupt or no safetensors file"):
        load(tiny_folder)


def test_weights_of_another_shape_are_refused(tiny_folder: Path) -> None:
    file = tiny_folder / "open_clip_model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "text_projection": torch.zeros(64, 48)}, file)
    with pytest.raises(ModelError, match=r"does not fit .* text_projection") as caught:
        load(tiny_folder)
    assert "\n" not in str(caught.value)
    del tensors["text_projection"]
    save_file(tensors, file)
    with pytest.raises(ModelError, match=r'Missing key.*"text_projection"'):
        load(tiny_folder)


def test_weights_of_another_image_size_are_not_stretched_in_silence(tiny_folder: Path) -> None:
    config = json.loads((tiny_folder / "open_clip_config.json").read_text())
    change_config(
        tiny_folder, "model_cfg", vision_cfg={**config["model_cfg"]["vision_cfg"], "image_size": 96}
    )
    with pytest.raises(ModelError, match=r"visual\.positional_embedding has the shape \(17, 64\)"):
        load(tiny_folder)


def test_scale_and_bias_of_a_siglip_are_given(tmp_path: Path) -> None:
    def add_bias(config: dict[str, Any]) -> None:
        config["model_cfg"].update(init_logit_bias=-10, init_logit_scale=2.0)

    embedder = load(write_tiny_model(tmp_path / "tiny", change=add_bias))
    assert (embedder.logit_scale, embedder.logit_bias) == (pytest.approx(np.exp(2.0)), -10.0)


def test_weights_without_bias_are_no_siglip(tiny_folder: Path) -> None:
    change_config(tiny_folder, "model_cfg", init_logit_bias=-10)
    with pytest.raises(ModelError, match="it has no logit_bias"):
        load(tiny_folder)


def test_unknown_option_in_the_configuration_is_an_error(tiny_folder: Path) -> None:
    change_config(tiny_folder, "model_cfg", colour="blue")
    with pytest.raises(ModelError, match="cannot be built from its configuration"):
        load(tiny_folder)


def test_vectors_without_direction_are_refused(tiny_folder: Path, photos: list[Image.Image]) -> None:
    file = tiny_folder / "open_clip_model.safetensors"
    tensors = load_file(file)
    tensors["visual.proj"] = torch.zeros_like(tensors["visual.proj"])
    tensors["text_projection"] = torch.full_like(tensors["text_projection"], torch.nan)
    save_file(tensors, file)
    embedder = load(tiny_folder)
    with pytest.raises(ModelError, match="norm 0 or not a number"):
        embedder.embed_images(photos[:1])
    with pytest.raises(ModelError, match="norm 0 or not a number"):
        embedder.embed_texts(["cat"])


def test_weights_beside_a_folder_are_refused(tiny_folder: Path) -> None:
    with pytest.raises(UsageError, match="brings its own weights"):
        load(tiny_folder, weights="other.safetensors")
