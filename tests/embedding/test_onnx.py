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
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from tinymodel import write_tiny_model

from imgvec_pg.cli.commands.model.format_model import print_verified
from imgvec_pg.cli.commands.model.group import explain_torch
from imgvec_pg.embedding import runtime
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.description import ModelDescription
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import golden_images, lowest_cosine
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.onnx_models import choose, exported, onnx_embedder, providers, recorded
from imgvec_pg.embedding.onnx_models import export as exporting
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
        patch.setattr(exporting, "compare_openvino", lambda *_: [])
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
    """An empty cache, into which torch's own export is copied, as it takes seconds; faster by ONNX Runtime, not by chance.

    OpenVINO is tests/embedding/test_openvino.py's.
    """

    def copy(embedder: TorchEmbedder, key: str) -> str:
        path = exported.model_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made.files["lite" if embedder.name == LITE else "tiny"], path)
        return ""

    monkeypatch.setenv("IMGVEC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(exporting, "_race", lambda *_: (2.0, 1.0))
    monkeypatch.setattr(exporting, "compare_openvino", lambda *_: [])
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


def test_torch_is_not_asked_what_it_could_compute_where_an_export_is_on_record(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "cpu_has_bf16", lambda: True)
    made = load_embedder(tiny, may_export=True)
    assert isinstance(made, OnnxEmbedder) and made.export.torch_precision == "bf16"
    # It would import torch, of which a fill by ONNX Runtime needs nothing else.
    monkeypatch.setattr(runtime, "_cpu_computes_in", lambda precision: pytest.fail("torch was asked"))
    assert isinstance(load_embedder(tiny, may_export=True), OnnxEmbedder)


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


def test_of_few_pictures_a_slower_export_that_starts_sooner_is_used(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_race", lambda *_: (40.0, 80.0))  # 12.5 ms a picture, 4 s sooner
    assert isinstance(load_embedder(tiny, precision="fp32", may_export=True, images=320), TorchEmbedder)
    assert isinstance(load_embedder(tiny, precision="fp32", images=319), OnnxEmbedder)
    assert isinstance(load_embedder(tiny, precision="fp32"), TorchEmbedder)
    assert isinstance(load_embedder(tiny, precision="fp32", runtime="torch", images=1), TorchEmbedder)
    told = compare_runtimes(describe_model(tiny), None, "cpu", "fp32", keep=True)
    assert (told["used"], told["onnx_below"]) == ("torch", 320)


def test_numbers_that_differ_are_not_used_of_few_pictures_either(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_compare", lambda *_: 0.9)
    assert isinstance(load_embedder(tiny, precision="fp32", may_export=True, images=1), TorchEmbedder)


def change_pictures(ours: OnnxEmbedder) -> None:
    ours.first_resize = replace(ours.first_resize, resampling=int(Image.Resampling.NEAREST))


def change_vectors(ours: OnnxEmbedder) -> None:
    run = ours._session.run

    class Session:
        def run(self, names: object, values: object, *options: object) -> list[np.ndarray]:
            (features,) = run(names, values, *options)
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
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    # `imgvec model verify` tells it.
    reason = explain_torch(tiny, weights=None, device="auto", precision="fp32")
    assert reason == "torch's exporter failed: no symbolic for aten::this"
    line = {"model": "tiny", "ok": True, "image_cosine": 1.0, "text_cosine": None, "precision": "fp32"}
    print_verified([line | {"no_onnx": reason}, line | {"runtime": "onnx"}])
    by_torch, by_onnx = capsys.readouterr().out.splitlines()
    assert by_torch.endswith(f"in fp32; computed by torch, not by ONNX Runtime: {reason}")
    assert by_onnx.endswith("cosine of pictures 1.000000 in fp32 by ONNX Runtime")


SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from imgvec_pg.backfill.batch.isolation import BatchSize, embed_fitting
from imgvec_pg.embedding.golden import golden_images
from imgvec_pg.embedding.load import load_embedder
embedder = load_embedder(sys.argv[1], precision="fp32")
prepared = [embedder.prepare_image(golden_images()[0])]
embedder.embed_prepared(prepared)
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 400 * 2**20,) * 2)
size = BatchSize(2**15)
found = embed_fitting(prepared * 2**15, embedder, size)
print(type(embedder).__name__, len(found), size.images)
"""


def test_a_batch_too_large_for_the_memory_is_halved_without_the_runtimes_own_complaints(
    cache: Path, tiny: str
) -> None:
    load_embedder(tiny, precision="fp32", may_export=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "IMGVEC_RUNTIME": "auto"}
    ended = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, tiny], capture_output=True, text=True, env=environment
    )
    name, rows, size = ended.stdout.split()
    assert (name, int(rows)) == ("OnnxEmbedder", 2**15) and 1 <= int(size) < 2**15
    told = ended.stderr.splitlines()
    assert told and all(line.startswith("no memory for ") for line in told)


@pytest.mark.parametrize(("device", "precision"), [("cpu", "fp16"), ("cpu", "bf16")])
def test_other_precisions_are_refused_by_name(cache: Path, tiny: str, device: str, precision: str) -> None:
    with pytest.raises(ModelError, match=f"asked for are {precision} on {device}: use --runtime torch"):
        load_embedder(tiny, device=device, precision=precision, runtime="onnx")


@pytest.fixture
def broken_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime that is installed, and whose binaries are of another machine."""
    package = tmp_path / "broken" / "onnxruntime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('libonnxruntime.so.1: wrong ELF class')\n")
    ours = [f"imgvec_pg.embedding.onnx_models.{name}" for name in ("onnx_embedder", "export", "quantise")]
    for name in [name for name in sys.modules if name.partition(".")[0] == "onnxruntime" or name in ours]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(choose, "_said", set())


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.usefixtures("broken_onnxruntime")
def test_a_runtime_that_cannot_be_imported_leaves_torch_and_one_line(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("IMGVEC_CACHE_DIR", str(tmp_path / "cache"))
    assert isinstance(load_embedder(tiny, precision="fp32", may_export=True), TorchEmbedder)
    [line] = warnings_of(caplog)
    assert "torch computes: libonnxruntime.so.1: wrong ELF class" in line
    with pytest.raises(ModelError, match="cannot be computed by ONNX Runtime"):
        load_embedder(tiny, precision="fp32", runtime="onnx")
    told = compare_runtimes(describe_model(tiny), None, "cpu", "fp32", keep=True)
    assert told["used"] == "torch" and "wrong ELF class" in told["reason"]


def test_an_export_that_can_no_longer_be_loaded_leaves_torch_and_one_line(
    cache: Path, tiny: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    load_embedder(tiny, precision="fp32", may_export=True)
    request.getfixturevalue("broken_onnxruntime")
    for _ in range(2):
        assert isinstance(load_embedder(tiny, precision="fp32", may_export=True), TorchEmbedder)
    assert warnings_of(caplog) == [f"torch computes {tiny} on cpu: libonnxruntime.so.1: wrong ELF class"]


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine with a GPU, as far as choosing goes; gives the devices that torch was loaded on."""
    devices: list[str] = []

    def load(model: ModelDescription, weights: Path | None, device: str, precision: str) -> Embedder:
        devices.append(device)
        return recorded.load_by_torch(model, weights, "cpu", precision)

    monkeypatch.setattr(choose, "resolve_device", lambda _: "cuda:0")
    monkeypatch.setattr(choose, "load_by_torch", load)
    monkeypatch.setattr(choose, "_said", set())
    return devices


def test_on_a_gpu_torch_computes_where_nothing_is_said(cache: Path, tiny: str, on_a_gpu: list[str]) -> None:
    assert isinstance(load_embedder(tiny, precision="fp32", may_export=True), TorchEmbedder)
    assert on_a_gpu == ["cuda:0"] and not cache.exists()


def test_a_missing_provider_leaves_torch_on_the_gpu_and_one_line(
    cache: Path, tiny: str, on_a_gpu: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert isinstance(load_embedder(tiny, precision="fp32", runtime="onnx"), TorchEmbedder)
    assert on_a_gpu == ["cuda:0", "cuda:0"]
    [line] = warnings_of(caplog)
    assert "this onnxruntime has no CUDAExecutionProvider: pip install onnxruntime-gpu" in line


def test_the_provider_of_a_gpu_computes_where_its_numbers_are_the_cpus(
    cache: Path,
    tiny: str,
    on_a_gpu: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # No GPU is here: the CPU's provider stands for it, from the choice to the vectors.
    asked: list[str] = []
    monkeypatch.setattr(
        onnx_embedder, "provider_of", lambda device: (asked.append(device) or providers.CPU, {})
    )
    ours = load_embedder(tiny, precision="fp32", runtime="onnx")
    assert isinstance(ours, OnnxEmbedder) and ours.device == "cuda:0" and "cuda:0" in asked
    by_torch = load_embedder(tiny, precision="fp32", runtime="torch")
    assert lowest_cosine(ours.embed_images(PICTURES), by_torch.embed_images(PICTURES)) >= 0.99999

    embed = OnnxEmbedder.embed_prepared

    def rounded(self: OnnxEmbedder, prepared: list[np.ndarray]) -> np.ndarray:
        found = embed(self, prepared)
        changed = found + np.linspace(0, 0.01, found.shape[1], dtype=np.float32)
        return found if self.device == "cpu" else changed / np.linalg.norm(changed, axis=1, keepdims=True)

    monkeypatch.setattr(OnnxEmbedder, "embed_prepared", rounded)
    assert isinstance(load_embedder(tiny, precision="fp32", runtime="onnx"), TorchEmbedder)
    assert "ONNX Runtime's vectors have cosine 0.9" in warnings_of(caplog)[-1]


@pytest.mark.parametrize(("device", "number"), [("cuda", "0"), ("cuda:3", "3")])
def test_a_gpu_computes_in_all_bits_of_fp32(device: str, number: str) -> None:
    assert providers.provider_of(device) == (providers.CUDA, {"device_id": number, "use_tf32": "0"})


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


def test_a_model_is_exported_once_for_all_precisions_of_torch(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_embedder(tiny, precision="fp32", may_export=True)
    monkeypatch.setattr(recorded, "resolve_precision", lambda asked, *_: "bf16" if asked == "auto" else asked)
    monkeypatch.setattr(exporting, "_write", lambda *_: "it was exported again")
    ours = load_embedder(tiny, may_export=True)
    assert isinstance(ours, OnnxEmbedder)
    first, second = (path.stat() for path in cache.glob("*.onnx"))
    assert first.st_ino == second.st_ino and first.st_nlink == 2
    # Damaged, it is no file to take.
    next(cache.glob("*.onnx")).write_bytes(b"")
    assert isinstance(load_embedder(tiny, precision="fp32", may_export=True), TorchEmbedder)


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


KILLED = """
import os, signal, sys
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.onnx_models import export
if len(sys.argv) > 2:
    export._write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
print(type(load_embedder(sys.argv[1], precision="fp32", may_export=True)).__name__)
"""


def test_an_export_that_kills_processes_is_given_up(tiny: str, tmp_path: Path) -> None:
    environment = {**os.environ, "IMGVEC_CACHE_DIR": str(tmp_path / "killed"), "IMGVEC_RUNTIME": "auto"}
    command = [sys.executable, "-c", KILLED, tiny]
    for _ in range(exported.MAY_DIE):
        assert subprocess.run([*command, "die"], env=environment).returncode == -9
    last = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert last.stdout == "OpenClipEmbedder\n" and "2 processes were killed" in last.stderr


def test_no_memory_for_the_race_leaves_torch(cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_race", mock.Mock(side_effect=MemoryError("a batch of 8 does not fit")))
    assert isinstance(load_embedder(tiny, precision="fp32", may_export=True), TorchEmbedder)


def test_an_export_tells_the_weights_that_a_model_is_stamped_with(cache: Path, tiny: str) -> None:
    ours = load_embedder(tiny, precision="fp32", may_export=True)
    assert ours.weights_sha256 == load_embedder(tiny, runtime="torch").weights_sha256  # type: ignore[attr-defined]


def test_a_cache_that_is_closed_to_this_user_has_no_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_dir", mock.Mock(side_effect=PermissionError(13, "denied")))
    assert not exported.has_exports()
