"""Device, precision and the import of open_clip."""

import importlib
from typing import NoReturn

import pytest
import torch

from imgvec_pg.embedding import runtime
from imgvec_pg.embedding.runtime import resolve_device, resolve_precision
from imgvec_pg.errors import ModelError, UsageError


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", "mps", ""])
def test_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="use auto, cpu, cuda"):
        resolve_device(device)


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_cuda_without_a_gpu_is_an_error(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="use --device cpu"):
        resolve_device(device)
    assert resolve_device("auto") == "cpu"


def test_gpu_number_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(runtime, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == "cuda"
    assert resolve_device("cuda:1") == "cuda:1"
    with pytest.raises(ModelError, match="sees 2 GPU"):
        resolve_device("cuda:2")


def test_processes_of_one_command_take_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(runtime, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    taken = []
    for place in ("0", "1", "2"):
        monkeypatch.setenv("IMGVEC_WORKER_PLACE", place)
        taken += [resolve_device("auto"), resolve_device("cuda"), resolve_device("cuda:1")]
    assert taken == ["cuda:0", "cuda:0", "cuda:1", "cuda:1", "cuda:1", "cuda:1", "cuda:0", "cuda:0", "cuda:1"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("auto") == "cuda"


@pytest.mark.parametrize("has_bf16", [False, True])
def test_precision_of_a_cpu_follows_its_instructions(has_bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = frozenset({"avx512f", "avx512_bf16" if has_bf16 else "avx512_vnni"})
    monkeypatch.setattr(runtime, "_cpu_flags", lambda: flags)
    assert resolve_precision("auto", "cpu") == ("bf16" if has_bf16 else "fp32")
    # Deep convolutions lose too much in bf16.
    assert resolve_precision("auto", "cpu", "fp16") == "fp32"
    assert resolve_precision("auto", "cpu", "fp32") == "fp32"


def test_linux_and_torch_agree_on_the_instructions_of_this_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    by_linux = runtime.cpu_has_bf16()
    monkeypatch.setattr(runtime, "_cpu_flags", lambda: None)
    assert runtime.cpu_has_bf16() == by_linux


def test_precision_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_precision("bf16", "cpu") == "bf16"
    with pytest.raises(UsageError, match="use auto, fp32, bf16, fp16, int8"):
        resolve_precision("int4", "cpu")
    with pytest.raises(ModelError, match="torch does not compute in int8 here, ONNX Runtime does"):
        resolve_precision("int8", "cpu")
    with pytest.raises(
        ModelError, match=r"fp16 is for GPUs: .* slower than fp32 on a CPU; use --precision auto"
    ):
        resolve_precision("fp16", "cpu")
    monkeypatch.setattr(runtime, "_cpu_computes_in", lambda precision: False)
    with pytest.raises(ModelError, match="cannot compute in bf16 on a CPU"):
        resolve_precision("bf16", "cpu")


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp16")])
def test_precision_on_a_gpu(has_bf16: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    capability = (8, 0) if has_bf16 else (7, 5)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert resolve_precision("auto", "cuda") == expected
    assert resolve_precision("auto", "cuda", "fp16") == "fp16"
    assert resolve_precision("fp32", "cuda") == "fp32"
    if not has_bf16:
        with pytest.raises(ModelError, match="has no bf16"):
            resolve_precision("bf16", "cuda")


def test_another_import_failure_is_not_remedied(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> NoReturn:
        raise RuntimeError(f"{name} was built\nfor another torch")

    before = list(runtime._kept_libraries)
    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(ModelError, match=r"built for another torch.*belong together"):
        runtime.import_open_clip.__wrapped__()
    assert runtime._kept_libraries == before
