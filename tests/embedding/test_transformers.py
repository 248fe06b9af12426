"""Our embeddings of transformers:… are transformers' own, on small models of each kind with seeded weights."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import psycopg
import pytest
from PIL import Image
from tinymodel import write_sentencepiece_tokenizer

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.embedding.catalog import describe_known, describe_model
from imgvec_pg.embedding.embedder import Embedder, Float32Array
from imgvec_pg.embedding.hub.pooling import IMAGE_MODELS
from imgvec_pg.embedding.hub.transformers_config import WORDS_AND_IMAGES
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import (
    MissingExtraError,
    ModelError,
    ModelNotFoundError,
    UsageError,
    WeightsMissingError,
)

COSINE = 0.99999
KINDS = [*WORDS_AND_IMAGES, *IMAGE_MODELS]
CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel

class OddConfig(PretrainedConfig):
    model_type = "odd_clip"
    def __init__(self, projection_dim=12, **kwargs):
        super().__init__(**kwargs)
        self.projection_dim = projection_dim

class OddModel(PreTrainedModel):
    config_class = OddConfig
    def __init__(self, config):
        super().__init__(config)
        self.layer = torch.nn.Linear(12, config.projection_dim)
        self.post_init()
    def get_image_features(self, pixel_values):
        cells = torch.nn.functional.adaptive_avg_pool2d(pixel_values, 2).flatten(1)
        return self.layer(cells)
    def get_text_features(self, input_ids, attention_mask=None):
        return self.layer(torch.nn.functional.one_hot(input_ids % 12, 12).float().sum(dim=1))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, photo_paths: list[Path]) -> Path:
    """Give a folder with a model of each kind, and what a process that imports only transformers made of them."""
    folder = tmp_path_factory.mktemp("transformers")
    (folder / "tokenizer").mkdir()
    write_sentencepiece_tokenizer(folder / "tokenizer")
    script = Path(__file__).with_name("transformers_reference.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(folder / "tokenizer"), *map(str, photo_paths)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads((folder / "reference.json").read_text())["kinds"]) == sorted(KINDS)
    return folder


@pytest.fixture
def spoiled(made: Path, tmp_path: Path) -> Path:
    """Give a copy of the CLIP that the test may spoil."""
    return Path(shutil.copytree(made / "clip", tmp_path / "clip"))


def load(folder: Path, **options: str) -> Embedder:
    return load_embedder(f"transformers:{folder}", **{"device": "cpu", "precision": "fp32", **options})


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def cosines(ours: Float32Array, theirs: Float32Array) -> Float32Array:
    found: Float32Array = (ours * theirs).sum(axis=1)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_transformers_own(kind: str, made: Path, photos: list[Image.Image]) -> None:
    expected = np.load(made / f"{kind}.npz")
    described = describe_model(f"transformers:{made / kind}")
    embedder = load(made / kind)
    prepared = [embedder.prepare_image(photo) for photo in photos]
    np.testing.assert_array_equal(np.stack([one["pixel_values"] for one in prepared]), expected["pixels"])
    ours = embedder.embed_images(photos)
    assert ours.dtype == np.float32
    assert ours.shape == (len(photos), embedder.dimensions) == (len(photos), described.dimensions)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1.0, atol=1e-6)
    assert cosines(ours, expected["images"]).min() >= COSINE
    # The comparison means something: one photograph is not another.
    assert cosines(ours, np.roll(expected["images"], 1, axis=0)).min() < 0.99
    assert embedder.has_text == described.has_text == (kind in WORDS_AND_IMAGES)
    assert described.scoring == WORDS_AND_IMAGES.get(kind, "")
    assert not hasattr(embedder, "first_resize")
    assert load(made / kind).fingerprint == embedder.fingerprint
    if embedder.has_text:
        texts = json.loads((made / "reference.json").read_text())["texts"]
        words = embedder.embed_texts(texts)
        assert cosines(words, expected["texts"]).min() >= COSINE
        assert cosines(words, np.roll(expected["texts"], 1, axis=0)).min() < 0.99
        # One at a time as together: whoever asks for one text shares a space with whoever asks for three.
        assert cosines(embedder.embed_texts(texts[:1]), expected["texts"][:1]).min() >= COSINE
        assert embedder.logit_scale is not None
        assert (embedder.logit_bias is not None) == kind.startswith("siglip")
    else:
        with pytest.raises(ModelError, match="has no text tower"):
            embedder.embed_texts(["a cat"])


def test_collection_is_filled_and_asked_by_words(
    made: Path, photo_paths: list[Path], database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"transformers:{made / 'siglip2'}"
    for command in (
        ("collection", "create", "image", "--library", "--model", name),
        ("add", *map(str, photo_paths)),
        ("backfill", "image", "--device", "cpu", "--precision", "fp32"),
        ("search", "--collection", "image", "a photo of a cat", "--json"),
    ):
        capsys.readouterr()
        assert run(cli, [*command, "--dsn", database]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = np.load(made / "siglip2.npz")
    similarities = np.sort(expected["images"] @ expected["texts"][0])[::-1]
    # The words may be embedded in bf16.
    assert [1 - row["distance"] for row in found] == pytest.approx(similarities.tolist(), abs=1e-2)
    with psycopg.connect(database) as connection:
        kept = connection.execute(
            "SELECT embedding::text FROM imgvec.image_embedding JOIN imgvec.image USING (id) ORDER BY uri"
        )
        vectors = np.array([json.loads(row[0]) for row in kept], dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # halves, rounded
    astronaut, coffee, rocket = cosines(vectors, expected["images"])
    assert min(astronaut, coffee) >= COSINE
    assert rocket >= 0.998  # its colour profile is heeded


def test_long_texts_are_told(made: Path) -> None:
    embedder = load(made / "siglip")
    length = embedder.text_length("the elephant stands " * 40)  # type: ignore[attr-defined]
    assert length.context_length == 64
    assert length.tokens > 64


def test_pictures_of_other_forms_go_in_one_batch(made: Path, photos: list[Image.Image]) -> None:
    odd = [photos[0].resize((300, 40)), photos[1].resize((7, 200)), photos[2].resize((1, 1)), photos[0]]
    embedder = load(made / "siglip2")
    together = embedder.embed_prepared([embedder.prepare_image(image) for image in odd])
    alone = np.concatenate([embedder.embed_images([image]) for image in odd])
    assert cosines(together, alone).min() >= COSINE
    assert embedder.embed_images([]).shape == (0, embedder.dimensions)


def test_half_precision_stays_near(made: Path, photos: list[Image.Image]) -> None:
    expected = np.load(made / "siglip2.npz")
    half = load(made / "siglip2", precision="bf16")
    assert half.precision == "bf16"
    assert cosines(half.embed_images(photos), expected["images"]).min() >= 0.999


def test_fingerprint_tells_weights_configuration_processor_and_tokenizer(spoiled: Path) -> None:
    name = load(spoiled).fingerprint
    change(spoiled / "config.json", transformers_version="4.99.0", _name_or_path="elsewhere")
    assert load(spoiled).fingerprint == name
    change(spoiled / "processor_config.json", note="another")
    other = load(spoiled).fingerprint
    assert other != name
    change(spoiled / "tokenizer_config.json", note="another")
    assert load(spoiled).fingerprint not in (name, other)


def test_weights_that_lack_a_tensor_are_refused(spoiled: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(spoiled / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, spoiled / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 of its network's tensors \(visual_projection\.weight\)"):
        load(spoiled)


def test_pickles_are_refused_unopened(spoiled: Path) -> None:
    (spoiled / "model.safetensors").rename(spoiled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="is a pickle, which can run any code"):
        load(spoiled)
    (spoiled / "pytorch_model.bin").unlink()
    with pytest.raises(WeightsMissingError, match=r"has no model\.safetensors: put the weights there"):
        load(spoiled)


def test_shards_are_read_and_missing_ones_are_told(
    made: Path, tmp_path: Path, photos: list[Image.Image]
) -> None:
    from transformers import AutoModel

    folder = Path(shutil.copytree(made / "siglip", tmp_path / "siglip"))
    AutoModel.from_pretrained(folder).save_pretrained(folder, max_shard_size="100KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    shards = sorted(folder.glob("model-*-of-*.safetensors"))
    assert len(shards) > 1
    expected = np.load(made / "siglip.npz")
    assert cosines(load(folder).embed_images(photos), expected["images"]).min() >= COSINE
    shards[0].unlink()
    with pytest.raises(ModelError, match=f"lacks .*{shards[0].name}.* that its index names"):
        load(folder)


def test_code_of_a_repository_runs_only_where_it_is_trusted(
    made: Path, tmp_path: Path, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import save_file

    folder = Path(shutil.copytree(made / "clip", tmp_path / "odd"))
    ran = tmp_path / "ran"
    (folder / "odd.py").write_text(f"open({str(ran)!r}, 'w').close()\n{CODE}")
    maps = {"AutoConfig": "odd.OddConfig", "AutoModel": "odd.OddModel"}
    config = {"model_type": "odd_clip", "projection_dim": 12, "auto_map": maps, "architectures": ["OddModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    layer = {"layer.weight": torch.randn(12, 12), "layer.bias": torch.randn(12)}
    save_file(layer, folder / "model.safetensors", {"format": "pt"})
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    for trusted in ("", "org/odd", str(tmp_path)):
        monkeypatch.setenv("IMGVEC_TRUST_REMOTE_CODE", trusted)
        with pytest.raises(ModelError, match=f"set IMGVEC_TRUST_REMOTE_CODE={folder} wherever") as caught:
            describe_model(f"transformers:{folder}")
        assert "\n" not in str(caught.value)
    assert not ran.exists()
    monkeypatch.setenv("IMGVEC_TRUST_REMOTE_CODE", f"org/other,{folder}")
    embedder = load(folder)
    assert ran.exists()
    assert embedder.dimensions == 12
    assert embedder.embed_images(photos).shape == (3, 12)
    assert embedder.embed_texts(["a photo of a cat"]).shape == (1, 12)
    (folder / "odd.py").write_text(CODE.replace("% 12, 12", "% 11, 12"))
    assert load(folder).fingerprint != embedder.fingerprint


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"model_type": "vit_mae"},
            "is a vit_mae, of which it is not known what its vectors are; expected one of clip",
        ),
        ({"model_type": "clip", "vision_config": {"hidden_size": 63}}, "cannot be"),
    ],
)
def test_configurations_that_cannot_be_used_are_told(
    spoiled: Path, values: dict[str, object], told: str
) -> None:
    change(spoiled / "config.json", **values)
    with pytest.raises(ModelError, match=told) as caught:
        load(spoiled)
    assert "\n" not in str(caught.value)


def test_a_folder_without_processor_or_configuration_is_told(spoiled: Path, tmp_path: Path) -> None:
    for name in ("processor_config.json", "preprocessor_config.json"):
        (spoiled / name).unlink(missing_ok=True)
    with pytest.raises(ModelError, match="how its pictures are prepared: that is never guessed"):
        load(spoiled)
    (spoiled / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read as JSON"):
        load(spoiled)
    (spoiled / "config.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"has no config\.json"):
        load(spoiled)
    with pytest.raises(ModelNotFoundError, match="there is no folder"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name",
    [
        "transformers:",
        "transformers:word",
        "hf-hub:a/b/c",
        "hf-hub:/path",
        "transformers:a/../b",
        "hf-hub:a/b@",
    ],
)
def test_names_of_no_repository_are_refused(name: str) -> None:
    for describe in (describe_model, describe_known):
        with pytest.raises(ModelNotFoundError, match="names no repository of the hub: write "):
            describe(name)


def test_what_does_not_fit_these_models_is_refused(made: Path) -> None:
    with pytest.raises(UsageError, match="brings its own weights"):
        load(made / "clip", weights=str(made / "clip" / "model.safetensors"))
    with pytest.raises(ModelError, match="is computed by torch alone"):
        load(made / "clip", runtime="onnx")


def test_without_the_extra_the_line_names_it(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from imgvec_pg.embedding import runtime
    from imgvec_pg.embedding.load import is_loadable

    found = runtime.importlib.util.find_spec
    monkeypatch.setattr(
        runtime.importlib.util, "find_spec", lambda name: None if name == "transformers" else found(name)
    )
    name = f"transformers:{made / 'clip'}"
    assert not is_loadable(name)
    with pytest.raises(
        MissingExtraError, match=r"not installed: transformers\): pip install 'imgvec-pg\[hub\]'"
    ):
        load_embedder(name)
