"""Image encoders exported for ONNX Runtime: torch's numbers, faster, and torch wherever they would not be."""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tinymodel import write_tiny_model

from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.golden import golden_images, lowest_cosine
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.onnx_models import export as exporting
from imgvec_pg.embedding.onnx_models import exported, recorded
from imgvec_pg.embedding.onnx_models.compare_runtimes import compare_runtimes
from imgvec_pg.embedding.onnx_models.onnx_embedder import OnnxEmbedder
from imgvec_pg.embedding.torch_models.random_weights import write_random_weights
from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder
from imgvec_pg.errors import MissingExtraError, ModelError, UsageError

LITE = "timm/efficientnet_b0.ra_in1k"
REALLY_WRITE = exporting._write
PICTURES = [Image.new("RGB", (300, 100), "teal"), Image.new("RGB", (40, 2000), "brown"), *golden_images()]


@dataclass
class Made:
    """Models of this module, and what torch really exported of them."""

    lite: Path
    files: dict[str, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("onnx")
    write_random_weights(describe_model(LITE), folder / "lite.safetensors")
    write_tiny_model(folder / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMGVEC_CACHE_DIR", str(folder / "cache"))
        patch.setattr(exporting, "_race", lambda *_: (2.0, 1.0))
        by_name = {
            "lite": load_embedder(
                LITE, weights=folder / "lite.safetensors", precision="fp32", may_export=True
            ),
            "tiny": load_embedder(f"local-dir:{folder / 'tiny'}", precision="fp32", may_export=True),
        }
        files = {}
        for name, embedder in by_name.items():
            assert isinstance(embedder, OnnxEmbedder)
            files[name] = exported.model_path(embedder.export.key)
    return Made(folder / "lite.safetensors", files)


@pytest.fixture
def cache(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, into which torch's own export is copied, as it takes seconds; faster by ONNX Runtime, not by chance."""

    def copy(embedder: TorchEmbedder, key: str) -> str:
        path = exported.model_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made.files["lite" if embedder.name == LITE else "tiny"], path)
        return ""

    monkeypatch.setenv("IMGVEC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(exporting, "_race", lambda *_: (2.0, 1.0))
    monkeypatch.setattr(exporting, "_write", copy)
    return tmp_path / "cache" / "onnx"


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    write_tiny_model(tmp_path / "tiny")
    return f"local-dir:{tmp_path / 'tiny'}"


@pytest.fixture
def lite(made: Made) -> Path:
    return made.lite


def test_pictures_and_words_have_torchs_vectors(cache: Path, tiny: str) -> None:
    by_torch = load_embedder(tiny, precision="fp32", runtime="torch")
    ours = load_embedder(tiny, precision="fp32", may_export=True)
    assert isinstance(ours, OnnxEmbedder)
    assert (ours.fingerprint, ours.dimensions, ours.precision) == (by_torch.fingerprint, 32, "fp32")
    assert (ours.logit_scale, ours.logit_bias) == (by_torch.logit_scale, by_torch.logit_bias)
    vectors = ours.embed_images(PICTURES)
    assert vectors.dtype == np.float32
    assert lowest_cosine(vectors, by_torch.embed_images(PICTURES)) >= 0.99999
    np.testing.assert_array_equal(ours.embed_texts(["a cat"]), by_torch.embed_texts(["a cat"]))
    assert isinstance(by_torch, TorchEmbedder)
    assert ours.text_length("a cat") == by_torch.text_length("a cat")  # type: ignore[attr-defined]
    assert ours.embed_images([]).shape == (0, 32)


def test_pictures_are_prepared_bit_for_bit_as_by_torch(cache: Path, lite: Path) -> None:
    by_torch = load_embedder(LITE, weights=lite, runtime="torch")
    ours = load_embedder(LITE, weights=lite, runtime="onnx")
    for picture in PICTURES:
        np.testing.assert_array_equal(ours.prepare_image(picture), by_torch.prepare_image(picture).numpy())
    assert lowest_cosine(ours.embed_images(PICTURES), by_torch.embed_images(PICTURES)) >= 0.99999
    with pytest.raises(ModelError, match="has no text tower"):
        ours.embed_texts(["a cat"])


def test_without_words_torch_is_never_imported(cache: Path, lite: Path) -> None:
    load_embedder(LITE, weights=lite, may_export=True)
    program = (
        "import sys; from PIL import Image; from imgvec_pg.embedding.load import load_embedder;"
        f"embedder = load_embedder({LITE!r}, weights={str(lite)!r}, device='cpu');"
        "embedder.embed_images([Image.new('RGB', (50, 50))]); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout == "False\n"


def test_only_who_may_exports_and_all_use_what_is_there(cache: Path, tiny: str) -> None:
    assert isinstance(load_embedder(tiny, precision="fp32"), TorchEmbedder)
    assert not cache.exists()
    load_embedder(tiny, precision="fp32", may_export=True)
    assert isinstance(load_embedder(tiny, precision="fp32"), OnnxEmbedder)
    assert isinstance(load_embedder(tiny, precision="fp32", runtime="torch"), TorchEmbedder)


def test_a_slower_export_is_used_by_name_alone(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_race", lambda *_: (1.0, 2.0))
    assert isinstance(load_embedder(tiny, precision="fp32", may_export=True), TorchEmbedder)
    assert isinstance(load_embedder(tiny, precision="fp32", runtime="onnx"), OnnxEmbedder)
    told = compare_runtimes(describe_model(tiny), None, "cpu", "fp32", keep=True)
    assert told["used"] == "torch"
    assert told["reason"] == "torch is faster here: 2.0 against 1.0 images/s"


def change_pictures(ours: OnnxEmbedder) -> None:
    ours.first_resize = replace(ours.first_resize, resampling=int(Image.Resampling.NEAREST))


def change_vectors(ours: OnnxEmbedder) -> None:
    run = ours._session.run

    class Session:
        def run(self, names: object, values: object) -> list[np.ndarray]:
            (features,) = run(names, values)
            return [features + np.linspace(0, 0.02, features.shape[1], dtype=np.float32)]

    ours._session = Session()


@pytest.mark.parametrize("change", [change_pictures, change_vectors])
def test_other_numbers_are_never_used(
    change: Callable[[OnnxEmbedder], None], cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Changed(OnnxEmbedder):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            change(self)

    monkeypatch.setattr(exporting, "OnnxEmbedder", Changed)
    assert isinstance(load_embedder(tiny, precision="fp32", may_export=True), TorchEmbedder)
    [record] = [json.loads(path.read_text()) for path in cache.glob("*.json")]
    assert record["cosine"] < 0.99999
    assert record["reason"].startswith("its vectors have cosine 0.")
    with pytest.raises(ModelError, match="cannot be computed by ONNX Runtime: its vectors have cosine 0"):
        load_embedder(tiny, precision="fp32", runtime="onnx")


def test_an_export_of_other_versions_is_made_anew_and_the_old_one_goes(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_embedder(tiny, precision="fp32", may_export=True)
    before = {path.name for path in cache.glob("*.onnx")}
    monkeypatch.setattr(exported, "_version", lambda package: f"{package} 99")
    assert isinstance(load_embedder(tiny, precision="fp32"), TorchEmbedder)
    assert isinstance(load_embedder(tiny, precision="fp32", may_export=True), OnnxEmbedder)
    after = {path.name for path in cache.glob("*.onnx")}
    assert len(before) == len(after) == 1
    assert before != after


def test_a_folders_changed_configuration_is_another_model(cache: Path, tiny: str) -> None:
    load_embedder(tiny, precision="fp32", may_export=True)
    config = Path(tiny.partition(":")[2]) / "open_clip_config.json"
    config.write_text(config.read_text().replace("0.25", "0.26"))
    assert isinstance(load_embedder(tiny, precision="fp32"), TorchEmbedder)


@pytest.mark.parametrize("suffix", [".onnx", ".json"])
def test_a_damaged_cache_is_made_anew(cache: Path, tiny: str, suffix: str) -> None:
    load_embedder(tiny, precision="fp32", may_export=True)
    [path] = cache.glob(f"*{suffix}")
    path.write_bytes(path.read_bytes()[:-100])
    assert isinstance(load_embedder(tiny, precision="fp32"), TorchEmbedder)
    ours = load_embedder(tiny, precision="fp32", may_export=True)
    assert isinstance(ours, OnnxEmbedder)
    assert ours.embed_images(PICTURES).shape == (len(PICTURES), 32)


def test_a_cache_of_another_cpu_is_measured_anew(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_embedder(tiny, precision="fp32", may_export=True)
    exported.cpu_name.cache_clear()
    monkeypatch.setattr(exported, "cpu_name", lambda: "another")
    assert isinstance(load_embedder(tiny, precision="fp32"), TorchEmbedder)


def test_a_cache_that_cannot_be_written_leaves_torch_and_one_line(
    tiny: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("IMGVEC_CACHE_DIR", os.devnull)
    monkeypatch.setattr(exporting, "_write", REALLY_WRITE)
    with caplog.at_level(logging.WARNING, logger="imgvec_pg"):
        assert isinstance(load_embedder(tiny, precision="fp32", may_export=True), TorchEmbedder)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"no export of {tiny} for ONNX Runtime, torch computes: ")
    with pytest.raises(ModelError, match="cannot be kept, see the log; use --runtime torch"):
        load_embedder(tiny, precision="fp32", runtime="onnx")


def test_what_torch_cannot_export_stays_with_torch(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no symbolic for aten::this")

    monkeypatch.setattr(exporting, "_write", REALLY_WRITE)

    monkeypatch.setattr("torch.onnx.export", fail)
    assert isinstance(load_embedder(tiny, precision="fp32", may_export=True), TorchEmbedder)
    with pytest.raises(ModelError, match="torch's exporter failed: no symbolic for aten::this"):
        load_embedder(tiny, precision="fp32", runtime="onnx")
    # Known from then on: no worker tries it again at each start.
    monkeypatch.setattr("torch.onnx.export", None)
    assert isinstance(load_embedder(tiny, precision="fp32", may_export=True), TorchEmbedder)


@pytest.mark.parametrize(("device", "precision"), [("cpu", "fp16"), ("cpu", "bf16")])
def test_other_precisions_are_refused_by_name(cache: Path, tiny: str, device: str, precision: str) -> None:
    with pytest.raises(ModelError, match=f"asked for are {precision} on {device}: use --runtime torch"):
        load_embedder(tiny, device=device, precision=precision, runtime="onnx")


def test_bad_runtimes_are_one_line(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="runtime 'tensorrt' is unknown: use auto, torch, onnx"):
        load_embedder(tiny, runtime="tensorrt")
    find_spec = exported.importlib.util.find_spec
    monkeypatch.setattr(
        exported.importlib.util,
        "find_spec",
        lambda name, *rest: None if name.startswith("onnx") else find_spec(name, *rest),
    )
    with pytest.raises(MissingExtraError, match=r"needs the extra onnx: pip install 'imgvec-pg\[onnx\]'"):
        load_embedder(tiny, runtime="onnx")
    assert isinstance(load_embedder(tiny, precision="fp32", may_export=True), TorchEmbedder)


def test_a_benchmark_with_random_weights_leaves_no_export(cache: Path, lite: Path) -> None:
    told = compare_runtimes(describe_model(LITE), lite, "cpu", "auto", keep=False)
    assert told["cosine"] >= 0.99999
    assert told["used"] == "onnx"
    assert list(cache.glob("*.onnx")) == []


def test_what_is_faster_than_each_precision_of_torch_is_kept_apart(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_embedder(tiny, precision="fp32", may_export=True)
    monkeypatch.setattr(recorded, "resolve_precision", lambda asked, *_: "bf16" if asked == "auto" else asked)
    monkeypatch.setattr(exporting, "_race", lambda *_: (1.0, 2.0))
    assert isinstance(load_embedder(tiny, may_export=True), TorchEmbedder)
    records = [json.loads(path.read_text()) for path in cache.glob("*.json")]
    assert sorted(record["torch_precision"] for record in records) == ["bf16", "fp32"]
    assert isinstance(load_embedder(tiny, precision="fp32"), OnnxEmbedder)
