"""Exports computed by OpenVINO: as right as torch in the precision it is in, where it is the fastest, and said once where not."""

import json
import logging
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from requires import requires
from tinymodel import write_tiny_model

from imgvec_pg.cli.commands.model.format_model import print_benchmark, print_verified
from imgvec_pg.embedding import runtime
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import golden_images, lowest_cosine
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.onnx_models import choose, exported
from imgvec_pg.embedding.onnx_models import export as exporting
from imgvec_pg.embedding.onnx_models.compare_runtimes import compare_runtimes
from imgvec_pg.embedding.onnx_models.exported import ByOpenVino
from imgvec_pg.embedding.onnx_models.onnx_embedder import OnnxEmbedder
from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder
from imgvec_pg.errors import MissingExtraError, ModelError, UsageError

pytestmark = requires("openvino")

PICTURES = [Image.new("RGB", (300, 100), "teal"), Image.new("RGB", (40, 2000), "brown"), *golden_images()]
BF16 = pytest.mark.skipif(not runtime.cpu_has_bf16(), reason="this CPU has no instructions for bf16")


def kind_of(embedder: Embedder) -> tuple[str, str]:
    """What computes, and in which precision."""
    return getattr(embedder, "runtime", "torch"), embedder.precision


def set_race(patch: pytest.MonkeyPatch, *, onnx: float, torch: float, openvino: float) -> None:
    """Who is how fast, not by chance."""
    patch.setattr(exporting, "_race", lambda _, __, *others: [onnx, torch, *(openvino for _ in others)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("openvino") / "tiny")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> str:
    return f"local-dir:{folder}"


@pytest.fixture(scope="module")
def file(tiny: str, folder: Path) -> Path:
    """What torch really exports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMGVEC_CACHE_DIR", str(folder.parent / "cache"))
        set_race(patch, onnx=2, torch=1, openvino=1)
        made = load_embedder(tiny, precision="fp32", may_export=True)
        assert isinstance(made, OnnxEmbedder)
        return exported.model_path(made.export.key)


@pytest.fixture
def cache(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, into which torch's own export is copied, as it takes seconds; OpenVINO is the fastest."""

    def copy(_: TorchEmbedder, key: str) -> str:
        path = exported.model_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, path)
        return ""

    monkeypatch.setenv("IMGVEC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(exporting, "_write", copy)
    monkeypatch.setattr(choose, "_said", set())
    set_race(monkeypatch, onnx=2, torch=1, openvino=3)
    return tmp_path / "cache" / "onnx"


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def records(cache: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in cache.glob("*.json")]


def test_pictures_and_words_have_torchs_vectors(cache: Path, tiny: str) -> None:
    by_torch = load_embedder(tiny, precision="fp32", runtime="torch")
    ours = load_embedder(tiny, precision="fp32", may_export=True)
    assert kind_of(ours) == ("openvino", "fp32")
    assert (ours.fingerprint, ours.dimensions) == (by_torch.fingerprint, 32)
    assert (ours.logit_scale, ours.logit_bias) == (by_torch.logit_scale, by_torch.logit_bias)
    vectors = ours.embed_images(PICTURES)
    assert vectors.dtype == np.float32
    assert lowest_cosine(vectors, by_torch.embed_images(PICTURES)) >= 0.99999
    np.testing.assert_array_equal(ours.embed_texts(["a cat"]), by_torch.embed_texts(["a cat"]))
    assert ours.embed_prepared([]).shape == (0, 32)


@BF16
def test_at_automatic_precision_it_computes_in_bf16_and_says_so(cache: Path, tiny: str) -> None:
    ours = load_embedder(tiny, may_export=True)
    assert kind_of(ours) == ("openvino", "bf16")
    exact = load_embedder(tiny, precision="fp32", runtime="torch").embed_images(golden_images())
    by_torch = load_embedder(tiny, precision="bf16", runtime="torch").embed_images(golden_images())
    cosine = lowest_cosine(ours.embed_images(golden_images()), exact)
    assert lowest_cosine(by_torch, exact) - 1e-5 <= cosine < 0.9999999
    # Asked for by name it is the same record, though torch alone was its rival.
    assert kind_of(load_embedder(tiny, precision="bf16")) == ("openvino", "bf16")
    assert len(records(cache)) == 1
    fp32 = load_embedder(tiny, precision="fp32", may_export=True)
    assert kind_of(fp32) == ("openvino", "fp32")
    assert lowest_cosine(fp32.embed_images(golden_images()), exact) >= 0.99999


@BF16
def test_in_bf16_further_from_fp32_than_torch_it_computes_in_fp32(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from imgvec_pg.embedding.onnx_models.openvino_embedder import OpenVinoEmbedder

    run = OpenVinoEmbedder._run

    def rounded(self: OpenVinoEmbedder, prepared: list[np.ndarray]) -> np.ndarray:
        features = run(self, prepared)
        return features + (self.precision == "bf16") * np.linspace(0, 0.02, 32, dtype=np.float32)

    monkeypatch.setattr(OpenVinoEmbedder, "_run", rounded)
    assert kind_of(load_embedder(tiny, may_export=True)) == ("openvino", "fp32")
    [line] = warnings_of(caplog)
    assert line.startswith(f"{tiny} by OpenVINO in bf16: not used, its vectors have cosine 0.9")
    assert kind_of(load_embedder(tiny, precision="bf16")) == ("torch", "bf16")
    assert kind_of(load_embedder(tiny, runtime="openvino")) == ("openvino", "fp32")
    with pytest.raises(
        ModelError, match=r"by OpenVINO in bf16: its vectors have cosine 0.* use --runtime torch"
    ):
        load_embedder(tiny, runtime="openvino", precision="bf16")


def test_numbers_that_differ_are_never_used(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from imgvec_pg.embedding.onnx_models.openvino_embedder import OpenVinoEmbedder

    run = OpenVinoEmbedder._run
    monkeypatch.setattr(
        OpenVinoEmbedder,
        "_run",
        lambda *given: run(*given) + np.linspace(0, 0.02, 32, dtype=np.float32),
    )
    assert kind_of(load_embedder(tiny, precision="fp32", may_export=True)) == ("onnx", "fp32")
    assert kind_of(load_embedder(tiny, precision="fp32")) == ("onnx", "fp32")
    [line] = warnings_of(caplog)
    assert line.startswith(f"{tiny} by OpenVINO in fp32: not used, its vectors have cosine 0.9")
    with pytest.raises(ModelError, match="computed by OpenVINO in fp32: its vectors have cosine"):
        load_embedder(tiny, precision="fp32", runtime="openvino")


@pytest.mark.parametrize(("onnx", "torch", "used"), [(4.0, 1.0, "onnx"), (1.0, 4.0, "torch")])
def test_where_another_is_faster_it_is_used_by_name_alone(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, onnx: float, torch: float, used: str
) -> None:
    set_race(monkeypatch, onnx=onnx, torch=torch, openvino=3)
    assert kind_of(load_embedder(tiny, precision="fp32", may_export=True)) == (used, "fp32")
    assert kind_of(load_embedder(tiny, precision="fp32", runtime="openvino")) == ("openvino", "fp32")


def test_few_pictures_go_to_what_has_most_of_them_done_before_torch_begins(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used(images: int | None) -> str:
        return kind_of(load_embedder(tiny, precision="fp32", may_export=True, images=images))[0]

    def race_again(**rates: float) -> None:
        for path in cache.glob("*.json"):
            path.unlink()
        set_race(monkeypatch, **rates)

    race_again(onnx=40, torch=80, openvino=100)
    assert (used(1), used(None)) == ("openvino", "openvino")
    race_again(onnx=20, torch=80, openvino=40)  # 12.5 ms a picture, 4 s sooner
    assert (used(319), used(320), used(None)) == ("openvino", "torch", "torch")
    told = compare_runtimes(describe_model(tiny), None, "cpu", "fp32", keep=True)
    assert (told["used"], told["onnx_below"], told["openvino_below"]) == ("torch", 0, 320)
    race_again(onnx=40, torch=80, openvino=20)
    assert (used(1), used(319), used(320)) == ("onnx", "onnx", "torch")
    race_again(onnx=80, torch=40, openvino=20)
    assert (used(1), used(None)) == ("onnx", "onnx")


def test_pictures_need_neither_torch_nor_onnx_runtime(cache: Path, tiny: str) -> None:
    load_embedder(tiny, may_export=True)
    program = (
        "import sys; from PIL import Image; from imgvec_pg.embedding.load import load_embedder;"
        f"embedder = load_embedder({tiny!r}, device='cpu'); assert embedder.loads_words_late;"
        "embedder.embed_images([Image.new('RGB', (50, 50))]);"
        "print(embedder.runtime, [name for name in ('torch', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout == "openvino []\n"


def test_threads_are_those_of_the_process_and_are_tied_to_no_core(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    compiled = load_embedder(tiny, precision="fp32", runtime="openvino")._compiled  # type: ignore[attr-defined]
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


def test_two_threads_may_embed_at_once(cache: Path, tiny: str) -> None:
    ours = load_embedder(tiny, precision="fp32", runtime="openvino")
    prepared = [ours.prepare_image(picture) for picture in golden_images()]
    alone = [ours.embed_prepared([each] * 4) for each in prepared]
    with ThreadPoolExecutor(len(prepared)) as pool:
        for _ in range(20):
            together = list(pool.map(lambda each: ours.embed_prepared([each] * 4), prepared))
            np.testing.assert_allclose(together, alone, atol=1e-5)


SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from imgvec_pg.backfill.batch.isolation import BatchSize, embed_fitting
from imgvec_pg.embedding.golden import golden_images
from imgvec_pg.embedding.load import load_embedder
embedder = load_embedder(sys.argv[1], precision="fp32", runtime="openvino")
prepared = [embedder.prepare_image(each) for each in golden_images()[:2]]
first, second = embedder.embed_prepared(prepared)
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 400 * 2**20,) * 2)
size = BatchSize(2**15)
found = embed_fitting(prepared * 2**14, embedder, size)
right = all(np.allclose(each, first if not n % 2 else second, atol=1e-5) for n, each in enumerate(found))
print(type(embedder).__name__, len(found), right, size.images)
"""


def test_a_batch_too_large_for_the_memory_is_halved(cache: Path, tiny: str) -> None:
    """With one thread its own infer() says nothing of it and gives the last batch's vectors."""
    load_embedder(tiny, precision="fp32", may_export=True)
    ended = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, tiny],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    told = ended.stderr.splitlines()
    assert told and all(line.startswith("no memory for ") for line in told)
    name, rows, right, size = ended.stdout.split()
    assert (name, int(rows), right) == ("OpenVinoEmbedder", 2**15, "True") and 1 <= int(size) < 2**15


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_other_precisions_are_refused_by_name(cache: Path, tiny: str, precision: str) -> None:
    with pytest.raises((ModelError, UsageError), match=r"leave out --runtime openvino|use --runtime torch"):
        load_embedder(tiny, precision=precision, runtime="openvino")


def test_what_it_cannot_be_is_one_line(cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_write", lambda *_: "torch's exporter failed: no such operator")
    with pytest.raises(ModelError, match="cannot be computed by OpenVINO: torch's exporter failed: no such"):
        load_embedder(tiny, precision="fp32", runtime="openvino")
    with monkeypatch.context() as patch:
        patch.setattr(choose, "resolve_device", lambda _: "cuda:0")
        with pytest.raises(
            ModelError, match="on CPUs here, asked for are auto on cuda:0: use --runtime torch"
        ):
            load_embedder(tiny, runtime="openvino")
    find_spec = exported.importlib.util.find_spec
    monkeypatch.setattr(
        exported.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "openvino" else find_spec(name, *rest),
    )
    with pytest.raises(
        MissingExtraError, match=r"needs the extra openvino: pip install 'imgvec-pg\[openvino\]'"
    ):
        load_embedder(tiny, runtime="openvino")


def test_without_it_a_record_is_another_one(cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = exported.importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(
            exported.importlib.util,
            "find_spec",
            lambda name, *rest: None if name == "openvino" else find_spec(name, *rest),
        )
        assert kind_of(load_embedder(tiny, precision="fp32", may_export=True))[0] == "onnx"
    [before] = records(cache)
    assert before["openvino"] == []
    assert kind_of(load_embedder(tiny, precision="fp32", may_export=True))[0] == "openvino"
    [after] = records(cache)
    assert after["key"] != before["key"]


def test_a_record_of_before_is_read(cache: Path, tiny: str) -> None:
    load_embedder(tiny, precision="fp32", may_export=True)
    [path] = cache.glob("*.json")
    stored = json.loads(path.read_text())
    del stored["openvino"]
    path.write_text(json.dumps(stored))
    assert kind_of(load_embedder(tiny, precision="fp32"))[0] == "onnx"


@pytest.fixture
def broken_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An openvino that is installed, and whose binaries are of another machine."""
    package = tmp_path / "broken" / "openvino"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('libopenvino.so: wrong ELF class')\n")
    ours = "imgvec_pg.embedding.onnx_models.openvino_embedder"
    for name in [name for name in sys.modules if name.partition(".")[0] == "openvino" or name == ours]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(package.parent))


def test_one_that_cannot_be_imported_leaves_the_next_best_and_one_line(
    cache: Path, tiny: str, broken_openvino: None, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert kind_of(load_embedder(tiny, precision="fp32", may_export=True)) == ("onnx", "fp32")
    [line] = warnings_of(caplog)
    assert (
        "not used, openvino cannot be imported: libopenvino.so: wrong ELF class; when it can be, delete "
        in line
    )
    with pytest.raises(ModelError, match="by OpenVINO in fp32: openvino cannot be imported"):
        load_embedder(tiny, precision="fp32", runtime="openvino")
    # What the line says to do.
    [path] = cache.glob("*.json")
    assert line.endswith(str(path))


@pytest.mark.parametrize(("onnx", "torch", "used"), [(2.0, 1.0, "onnx"), (1.0, 2.0, "torch")])
def test_one_that_can_no_longer_be_loaded_leaves_the_next_best_and_one_line(
    cache: Path,
    tiny: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    onnx: float,
    torch: float,
    used: str,
) -> None:
    set_race(monkeypatch, onnx=onnx, torch=torch, openvino=3)
    assert kind_of(load_embedder(tiny, precision="fp32", may_export=True))[0] == "openvino"
    request.getfixturevalue("broken_openvino")
    for _ in range(2):
        assert kind_of(load_embedder(tiny, precision="fp32")) == (used, "fp32")
    assert warnings_of(caplog) == [f"OpenVINO does not compute {tiny}: libopenvino.so: wrong ELF class"]
    with pytest.raises(
        ModelError, match=r"cannot be computed by OpenVINO: libopenvino\.so: wrong ELF class; use"
    ):
        load_embedder(tiny, precision="fp32", runtime="openvino")


def test_one_that_does_not_compile_leaves_the_next_best(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import openvino

    failing = mock.Mock(side_effect=RuntimeError("Unsupported operation\n of this type"))
    monkeypatch.setattr(openvino.Core, "compile_model", failing)
    assert kind_of(load_embedder(tiny, precision="fp32", may_export=True)) == ("onnx", "fp32")
    [line] = warnings_of(caplog)
    assert line.endswith("cannot be compiled by OpenVINO: Unsupported operation of this type")


def test_one_that_fails_in_the_race_leaves_the_others_to_it(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def race(*embedders: Embedder) -> list[float]:
        if len(embedders) > 2:
            raise MemoryError("a batch of 8 does not fit")
        return [2.0, 1.0]

    monkeypatch.setattr(exporting, "_race", race)
    assert kind_of(load_embedder(tiny, precision="fp32", may_export=True)) == ("onnx", "fp32")
    [record] = records(cache)
    assert [way["reason"] for way in record["openvino"]] == ["a batch of 8 does not fit"]  # type: ignore[attr-defined]


def test_a_cpu_that_rounds_otherwise_than_asked_is_refused(
    cache: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imgvec_pg.embedding.onnx_models import openvino_embedder

    made = load_embedder(tiny, precision="fp32", may_export=True)
    # As if bf16 had been asked for on a CPU that gives fp32.
    monkeypatch.setitem(openvino_embedder.TYPES, "fp32", openvino_embedder.TYPES["bf16"])
    given = mock.Mock(get_property=mock.Mock(return_value=openvino_embedder.openvino.Type.f32))
    monkeypatch.setattr(openvino_embedder.openvino.Core, "compile_model", lambda *_: given)
    with pytest.raises(ModelError, match="OpenVINO computes in f32 on this CPU, not in fp32"):
        openvino_embedder.OpenVinoEmbedder(made.export, lambda: made, "fp32")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("way", "asked", "faster"),
    [
        (ByOpenVino(precision="bf16", rate=5), "auto", True),
        (ByOpenVino(precision="bf16", rate=5), "bf16", True),
        (ByOpenVino(precision="bf16", rate=5), "fp32", False),
        (ByOpenVino(precision="fp32", rate=5), "bf16", False),
        (ByOpenVino(precision="bf16", rate=3), "auto", False),
        (ByOpenVino(precision="bf16", rate=3), "bf16", True),  # ONNX Runtime has no bf16
        (ByOpenVino(precision="bf16", rate=1), "bf16", False),
        (ByOpenVino(precision="bf16", rate=5, reason="other numbers"), "auto", False),
    ],
)
def test_it_is_compared_with_what_would_compute_in_the_precision_asked_for(
    way: ByOpenVino, asked: str, faster: bool
) -> None:
    record = exported.Export(
        key="", model="", weights_sha256="", cpu="", onnx_rate=4, torch_rate=2, torch_precision="bf16", openvino=[way]
    )  # fmt: skip
    assert record.is_openvino_faster(asked) is faster


def test_a_benchmark_and_verify_name_it(cache: Path, tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = compare_runtimes(describe_model(tiny), None, "cpu", "fp32", keep=True)
    assert (told["used"], told["used_precision"], told["reason"], told["onnx_below"]) == (
        "openvino",
        "fp32",
        "",
        0,
    )
    assert (told["openvino_images_per_second"], told["openvino_precision"]) == (3, "fp32")
    ways = {(way["runtime"], way["precision"]): way for way in told["ways"]}
    assert ways["openvino", "fp32"]["cosine"] >= 0.99999
    assert ways["openvino", "fp32"]["images_per_second"] > 0
    assert (("openvino", "bf16") in ways) == runtime.cpu_has_bf16()
    measured = dict.fromkeys(
        ("images_per_second", "batch_size", "share_of_forward", "forward_images_per_second", "gflops_per_second",
         "gflops_per_image", "share_of_peak", "peak_gflops_per_second"), 1.0,
    )  # fmt: skip
    about = {"model": "tiny", "device": "cpu", "precision": "fp32", "compiled": False, "tried": []}
    print_benchmark(about | measured | {"onnx": told})
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "a worker computes pictures by openvino in fp32"
    line = {"model": "tiny", "ok": True, "image_cosine": 1.0, "text_cosine": None, "precision": "bf16"}
    print_verified([line | {"runtime": "openvino"}])
    assert capsys.readouterr().out.endswith("cosine of pictures 1.000000 in bf16 by OpenVINO\n")
