"""Image encoders in int8: a choice, quantised once, warned of or refused where a network loses by it."""

import logging
import random
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from safetensors.torch import load_file, save_file
from tinymodel import write_tiny_model
from workers import random_picture

from imgvec_pg.backfill.model_check import check_model
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.golden import (
    GOLDEN_COSINE,
    INT8_GOLDEN_COSINE,
    compute_golden,
    golden_images,
    least_picture_cosine,
    lowest_cosine,
    recordable,
)
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.embedding.matryoshka import ShortenedEmbedder, Shortening
from imgvec_pg.embedding.onnx_models import export as exporting
from imgvec_pg.embedding.onnx_models import exported, int8
from imgvec_pg.embedding.onnx_models.compare_runtimes import compare_runtimes
from imgvec_pg.embedding.onnx_models.onnx_embedder import OnnxEmbedder
from imgvec_pg.embedding.onnx_models.quantise import quantise
from imgvec_pg.embedding.torch_models import throughput
from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder
from imgvec_pg.errors import MissingExtraError, ModelError, UsageError
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.integrity.verify_images import SAME_FROM_COSINE, same_from
from imgvec_pg.store.model_registry import GoldenComparison
from imgvec_pg.store.spec import CollectionSpec

NORMS = ("ln_1.weight", "ln_2.weight")
WARNED, REFUSED = 30.0, 3000.0
"""By what one channel before each linear layer is scaled: 8 bits hold its range, and little of the others (0.996, 0.973)."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests, since an export takes seconds."""
    return tmp_path_factory.mktemp("int8") / "cache"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
    file = folder / "open_clip_model.safetensors"
    weights = load_file(file)
    for number, name in enumerate(filter(is_norm, weights), start=1):
        # Equal weights would be one in the export, under one of their names.
        weights[name] += number / 100
    save_file(weights, file)
    return f"local-dir:{folder}"


@pytest.fixture(scope="module")
def plain(tiny: str, cache: Path) -> Path:
    """What torch exports of the tiny model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMGVEC_CACHE_DIR", str(cache))
        patch.setattr(exporting, "_race", lambda *_: (2.0, 1.0))
        patch.setattr(exporting, "compare_openvino", lambda *_: [])
        embedder = load_embedder(tiny, device="cpu", precision="fp32", may_export=True)
        assert isinstance(embedder, OnnxEmbedder)
        return exported.model_path(embedder.export.key)


@pytest.fixture(autouse=True)
def own_cache(plain: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_CACHE_DIR", str(cache))
    monkeypatch.delenv("IMGVEC_RUNTIME")
    monkeypatch.setattr(exporting, "_race", lambda *_: (2.0, 1.0))
    monkeypatch.setattr(exporting, "compare_openvino", lambda *_: [])
    monkeypatch.setattr(exporting, "_write", lambda _, key: copy(plain, exported.model_path(key)))
    monkeypatch.setattr(int8, "_warned", set())


def copy(file: Path, to: Path) -> str:
    if file != to:
        shutil.copy(file, to)
    return ""


def is_norm(name: str) -> bool:
    return name.startswith("visual.transformer") and name.endswith(NORMS)


def with_outliers(tiny: str, plain: Path, folder: Path, scale: float, patch: pytest.MonkeyPatch) -> str:
    """Copy a model with one channel of its layer norms scaled, as trained transformers have some, and its export with it."""

    def scaled(embedder: TorchEmbedder, key: str) -> str:
        model = onnx.load(plain)
        for weights in model.graph.initializer:
            if is_norm(weights.name.replace("network.", "visual.")):
                values = onnx.numpy_helper.to_array(weights).copy()
                values[3] *= scale
                weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
        onnx.save(model, exported.model_path(key))
        return ""

    shutil.copytree(tiny.removeprefix("local-dir:"), folder)
    weights = load_file(folder / "open_clip_model.safetensors")
    for name in weights:
        if is_norm(name):
            weights[name][3] *= scale
    save_file(weights, folder / "open_clip_model.safetensors")
    patch.setattr(exporting, "_write", scaled)
    return f"local-dir:{folder}"


@pytest.fixture
def warned(tiny: str, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return with_outliers(tiny, plain, tmp_path / "warned", WARNED, monkeypatch)


@pytest.fixture
def refused(tiny: str, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return with_outliers(tiny, plain, tmp_path / "refused", REFUSED, monkeypatch)


def load(name: str, **options: object) -> OnnxEmbedder:
    embedder = load_embedder(name, device="cpu", precision="int8", **options)  # type: ignore[arg-type]
    assert isinstance(embedder, OnnxEmbedder)
    return embedder


def test_pictures_are_near_those_of_fp32_and_words_are_its_own(tiny: str, plain: Path) -> None:
    exact = load_embedder(tiny, device="cpu", precision="fp32", runtime="torch")
    ours = load(tiny)
    assert (ours.precision, ours.runtime, ours.fingerprint) == ("int8", "onnx", exact.fingerprint)
    theirs = exact.embed_images(golden_images())
    cosine = lowest_cosine(ours.embed_images(golden_images()), theirs)
    assert 0.999 <= cosine < 0.9999999
    assert ours.export.cosine == pytest.approx(cosine, abs=1e-5)
    np.testing.assert_array_equal(ours.embed_texts(["a cat"]), exact.embed_texts(["a cat"]))
    assert ours.embed_images([]).shape == (0, 32)
    size = exported.model_path(ours.export.key).stat().st_size
    assert size < plain.stat().st_size


def test_two_loads_and_any_batch_give_the_same_bits(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(tiny)
    together = first.embed_images(golden_images())
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    second = load(tiny)
    np.testing.assert_array_equal(second.embed_images(golden_images()), together)
    alone = [second.embed_images([picture])[0] for picture in golden_images()]
    np.testing.assert_array_equal(np.stack(alone), together)


def test_it_is_quantised_once_and_its_cache_is_apart_from_fp32s(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = load(tiny).export
    exact = load_embedder(tiny, device="cpu", precision="fp32", may_export=True)
    assert isinstance(exact, OnnxEmbedder)
    assert (exact.precision, exact.export.key != made.key) == ("fp32", True)
    really_quantise = int8._quantise
    monkeypatch.setattr(int8, "_quantise", None)
    assert load(tiny).export == made
    path = exported.model_path(made.key)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    monkeypatch.setattr(int8, "_quantise", really_quantise)
    assert load_embedder(tiny, device="cpu", precision="int8", runtime="onnx").precision == "int8"
    assert exported.sha256_of(path) == made.sha256


def test_automatic_precision_never_takes_it(tiny: str) -> None:
    load(tiny)
    assert load_embedder(tiny, device="cpu", may_export=True).precision in {"fp32", "bf16"}


def test_quantising_leaves_the_logs_alone(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    assert quantise(plain, tmp_path / "int8.onnx") == pytest.approx(0.666, abs=0.001)
    assert logging.getLogger().handlers == []
    assert logging.root.manager.disable == logging.NOTSET
    assert [path.name for path in tmp_path.iterdir()] == ["int8.onnx"]


def test_a_network_that_loses_is_warned_of_once(warned: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="imgvec_pg"):
        first = load(warned)
        load(warned)
    assert 0.99 < first.export.cosine < 0.999
    [line] = [record.getMessage() for record in caplog.records]
    assert line == (
        f"{warned} has cosine {first.export.cosine:.4f} to fp32 in int8 on the golden pictures, less than 0.999: "
        "neighbours change; compare with --precision auto"
    )


def test_a_network_that_loses_too_much_is_refused_unless_forced(
    refused: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(
        ModelError, match=r"cosine 0\.9\d+ to fp32 in int8 .* at least 0\.99 expected: .*--force-int8"
    ):
        load(refused)
    with caplog.at_level(logging.WARNING, logger="imgvec_pg"):
        forced = load(refused, force_int8=True)
    assert forced.export.cosine < 0.99
    assert len(caplog.records) == 1
    # Its own golden pictures must still pass, by what was measured of it.
    assert least_picture_cosine(forced) < forced.export.cosine


def test_the_golden_threshold_is_its_own_and_for_pictures_alone(tiny: str) -> None:
    ours, exact = load(tiny), load_embedder(tiny, device="cpu", precision="fp32", runtime="torch")
    assert (least_picture_cosine(ours), least_picture_cosine(exact)) == (INT8_GOLDEN_COSINE, GOLDEN_COSINE)
    assert GoldenComparison(images=0.99, texts=1.0).shortfall(ours) == ""
    assert GoldenComparison(0.99, 1.0).shortfall(exact) == "cosine 0.9900 in fp32, at least 0.999 expected"
    assert GoldenComparison(0.98, 1.0).shortfall(ours) == "cosine 0.9800 in int8, at least 0.985 expected"
    assert GoldenComparison(1.0, 0.99).shortfall(ours) == "cosine 0.9900 in int8, at least 0.999 expected"
    assert same_from("int8", exact) == same_from("fp32", ours) == INT8_GOLDEN_COSINE
    assert same_from("bf16", exact) == SAME_FROM_COSINE


def test_what_it_records_as_the_models_own_is_fp32s(tiny: str) -> None:
    ours, exact = load(tiny), load_embedder(tiny, device="cpu", precision="fp32", runtime="torch")
    golden, theirs = compute_golden(ours), compute_golden(exact)
    own, precision = recordable(ours, golden)
    assert precision == "fp32"
    assert lowest_cosine(golden["image"], theirs["image"]) < 0.99999
    assert lowest_cosine(own["image"], theirs["image"]) >= 0.99999
    np.testing.assert_array_equal(own["text"], theirs["text"])
    assert recordable(exact, theirs) == (theirs, "fp32")
    short = ShortenedEmbedder(ours, Shortening(tiny, 16, is_forced=True))
    own, _ = recordable(short, compute_golden(short))
    assert own["image"].shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(own["image"], axis=1), 1, atol=1e-6)


def test_a_first_worker_in_int8_leaves_others_the_golden_pictures_of_fp32(
    refused: str, connection: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connection.execute("CREATE TABLE photo (id integer PRIMARY KEY, content bytea)")
    draw = random.Random(2)
    connection.execute("INSERT INTO photo VALUES (1, %s), (2, %s)", [random_picture(draw) for _ in range(2)])
    request = CollectionSpec(
        name="lossy", source="photo", image=["content"], model=refused, dimensions=32, has_text=True
    )
    collection = create_collection(connection, request)
    list_source(connection, collection)
    command = ["backfill", "lossy", "--dsn", database, "--precision", "int8", "--device", "cpu", "--no-index"]
    assert run(cli, command) == 1
    assert "--force-int8" in capsys.readouterr().err
    assert run(cli, [*command, "--force-int8"]) == 0
    rows = connection.execute("SELECT DISTINCT precision FROM imgvec.lossy_embedding").fetchall()
    golden = connection.execute("SELECT DISTINCT precision FROM imgvec.golden_vector").fetchall()
    assert (rows, golden) == ([("int8",)], [("fp32",)])
    exact = load_embedder(refused, device="cpu", precision="fp32", runtime="torch")
    check_model(connection, collection, exact)
    check_model(connection, collection, load(refused, force_int8=True))
    connection.execute(
        "UPDATE imgvec.golden_vector AS g SET embedding = o.embedding FROM imgvec.golden_vector AS o"
        " WHERE g.kind = 'image' AND o.kind = 'text' AND o.position = g.position"
    )
    with pytest.raises(ModelError, match=r"computes other vectors here .* in int8, at least 0\.9"):
        check_model(connection, collection, load(refused, force_int8=True))


def test_without_linear_layers_there_is_nothing_to_gain(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "LEAST_SHARE", 0.9)
    monkeypatch.setattr(int8, "cache_key", lambda *_: "few" * 20)
    expected = (
        r"linear layers, which have 67% of the weights of .*, at least 90% expected: there is nothing to gain"
    )
    with pytest.raises(ModelError, match=expected):
        load(tiny)
    monkeypatch.setattr(int8, "_quantise", None)
    with pytest.raises(ModelError, match=expected):  # on record, and forced or not
        load(tiny, force_int8=True)
    assert not exported.model_path("few" * 20).exists()


def test_what_cannot_be_is_one_line(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="computed by ONNX Runtime: leave out --runtime torch"):
        load(tiny, runtime="torch")
    monkeypatch.setattr(int8, "resolve_device", lambda _: "cuda")
    with pytest.raises(ModelError, match="int8 is for CPUs, the device is cuda: use --device cpu"):
        load(tiny)
    find_spec = exported.importlib.util.find_spec
    monkeypatch.setattr(
        exported.importlib.util,
        "find_spec",
        lambda name, *rest: None if name.startswith("onnx") else find_spec(name, *rest),
    )
    with pytest.raises(
        MissingExtraError, match=r"--precision int8 needs the extra onnx: pip install 'imgvec-pg\[onnx\]'"
    ):
        load(tiny)


def test_a_cache_that_cannot_be_written_is_one_line(
    tiny: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tiny)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(int8, "cache_key", lambda *_: "full" * 16)
    monkeypatch.setattr(int8, "write_export", full)
    with pytest.raises(ModelError, match=r"in int8 cannot be kept in IMGVEC_CACHE_DIR: .*No space left"):
        load(tiny)


def test_the_benchmark_tells_each_way_and_what_a_worker_uses(refused: str, tiny: str) -> None:
    told = compare_runtimes(describe_model(tiny), None, "cpu", "int8", keep=True)
    ways = {(way["runtime"], way["precision"]): way for way in told["ways"]}
    assert {("torch", "fp32"), ("onnx", "fp32"), ("onnx", "int8")} <= set(ways)
    assert all(way["images_per_second"] > 0 for way in told["ways"])
    assert ways["torch", "fp32"]["cosine"] == pytest.approx(1, abs=1e-6)
    assert ways["onnx", "fp32"]["cosine"] >= 0.99999
    assert 0.999 <= ways["onnx", "int8"]["cosine"] < ways["onnx", "fp32"]["cosine"]
    assert (told["used"], told["used_precision"], told["reason"]) == ("onnx", "int8", "")
    lost = compare_runtimes(describe_model(refused), None, "cpu", "int8", keep=True)
    assert (lost["used"], lost["reason"][:9]) == ("", "cosine 0.")


def test_the_command_line_offers_it(
    tiny: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throughput, "measure_peak_gflops", lambda *_: 1.0)  # takes a second
    command = ["model", "benchmark", tiny, "--precision", "int8", "--seconds", "0.1", "--batch-size", "4"]
    assert run(cli, [*command, "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "a worker computes pictures by onnx in int8"
    assert [line.split()[:2] for line in lines if line.startswith("  onnx")] == [
        ["onnx", "fp32"],
        ["onnx", "int8"],
    ]
    assert run(cli, ["backfill", "photos", "--force-int8"]) == 2
    assert "--force-int8 goes with --precision int8" in capsys.readouterr().err
