"""Import torch and open_clip, which the extra `models` brings; choose device and precision."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgvec_pg import settings
from imgvec_pg.errors import MissingExtraError, ModelError, UsageError

if TYPE_CHECKING:
    import torch

MODELS_EXTRA = ("torch", "torchvision", "open_clip", "timm", "safetensors", "huggingface_hub")
"""The modules of the extra `models`: all that embedding takes beyond the plain installation."""
INSTALL_MODELS = "pip install 'imgvec-pg[models]'"
INSTALL_HUB = "pip install 'imgvec-pg[hub]'"
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
_MISSING_OPERATOR = "operator torchvision::nms does not exist"
_kept_libraries: list[torch.library.Library] = []  # a Library takes its definitions back when it is collected


def has_models_extra() -> bool:
    """Return whether this installation can load OpenCLIP's and timm's models. Imports nothing."""
    return not _missing_modules()


def require_models_extra(purpose: str) -> None:
    """Refuse what only an installation with the extra `models` can do. Imports nothing.

    Args:
        purpose: What needs it, the subject of the error's line: "loading the model demo".

    Raises:
        MissingExtraError: A package of the extra is not installed.
    """
    missing = _missing_modules()
    if missing:
        raise MissingExtraError(
            f"{purpose} needs the extra models (not installed: {', '.join(missing)}): {INSTALL_MODELS}, "
            "or do it where that is; words and pictures to search with can be embedded by a running imgvec worker instead"
        )


def require_hub_extra(purpose: str) -> None:
    """Refuse what only an installation with the extra `hub` can do. Imports nothing.

    Raises:
        MissingExtraError: transformers, or a package of the extra `models`, is not installed.
    """
    require_models_extra(purpose)
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError(f"{purpose} needs the extra hub (not installed: transformers): {INSTALL_HUB}")


def _missing_modules() -> list[str]:
    return [name for name in MODELS_EXTRA if importlib.util.find_spec(name) is None]


@cache
def import_open_clip() -> Any:  # noqa: ANN401 - an untyped module
    """Import open_clip, remedying PyPI's torchvision beside a CPU-only torch.

    Raises:
        MissingExtraError: They are not installed.
        ModelError: torch, torchvision or open_clip cannot be imported.
    """
    require_models_extra("OpenCLIP")
    try:
        _import_torchvision()
        return importlib.import_module("open_clip")
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"open_clip cannot be imported ({one_line(error)}): install torch, torchvision and "
            "open-clip-torch in versions that belong together, see constraints.txt"
        ) from error


def import_timm() -> Any:  # noqa: ANN401 - an untyped module
    """Import timm, which OpenCLIP brings along, with the same remedy.

    Raises:
        MissingExtraError: It is not installed.
        ModelError: It cannot be imported.
    """
    import_open_clip()
    try:
        return importlib.import_module("timm")
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"timm cannot be imported ({one_line(error)}): install it in a version that belongs to torch, see constraints.txt"
        ) from error


def import_transformers(purpose: str) -> Any:  # noqa: ANN401 - most of it is untyped
    """Import transformers, which the extra `hub` brings, with the same remedy.

    Args:
        purpose: What needs it, the subject of the error's line.

    Raises:
        MissingExtraError: It is not installed.
        ModelError: It cannot be imported.
    """
    require_hub_extra(purpose)
    try:
        _import_torchvision()
        return importlib.import_module("transformers")
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"transformers cannot be imported ({one_line(error)}): install it in a version that belongs to torch, see "
            "constraints.txt"
        ) from error


def _import_torchvision() -> None:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if _MISSING_OPERATOR not in str(error):
            raise
        _define_missing_operators()


def _define_missing_operators() -> None:
    """Declare the operators whose fakes torchvision registers at import (pytorch/vision issue 9085).

    Only the schemas: no model here calls them, and a call fails as clearly as before.
    """
    torch = importlib.import_module("torch")
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept_libraries.append(library)


def resolve_device(device: str) -> str:
    """Return "cpu" or "cuda[:n]" for "auto", "cpu", "cuda" or "cuda:n"; several processes of one command take turns.

    Raises:
        UsageError: Not one of those.
        MissingExtraError: Only torch could tell, and it is not installed.
        ModelError: CUDA, or that GPU, is not there.
    """
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", device)
    if match is None:
        raise UsageError(f"device {device!r} is unknown: use auto, cpu, cuda or cuda:0, cuda:1, …")
    if device == "cpu" or (device == "auto" and not _may_have_gpu()):
        return "cpu"
    require_models_extra(f"device {device!r}")
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto" and not gpus:
        return "cpu"
    if not gpus:
        reason = "was built without CUDA" if torch.version.cuda is None else "sees no GPU"
        raise ModelError(
            f"device {device!r} was asked for, but torch {torch.__version__} {reason}: use --device cpu"
        )
    if match[1] is not None and int(match[1]) >= gpus:
        raise ModelError(
            f"device {device!r} was asked for, but torch sees {gpus} GPU(s): use cuda:0 to cuda:{gpus - 1}"
        )
    if match[1] is not None:
        return device
    # The processes of `backfill --workers` take a GPU each, in turn.
    place = settings.worker_place()
    return "cuda" if place is None or gpus == 1 else f"cuda:{place % gpus}"


def _may_have_gpu() -> bool:
    """Return whether torch is worth asking for a GPU: on Linux it needs a driver's device, and importing torch takes seconds."""
    # NVIDIA's, its Tegra modules', AMD's, and Windows' for Linux.
    devices = ("/dev/nvidiactl", "/dev/nvhost-ctrl-gpu", "/dev/nvgpu", "/dev/kfd", "/dev/dxg")
    return sys.platform != "linux" or any(map(os.path.exists, devices))


def resolve_precision(precision: str, device: str, half: str = "bf16") -> str:
    """Return "fp32", "bf16" or "fp16": "auto" is half precision where the device has instructions for it, else fp32.

    Args:
        half: The half precision that suits the model; "fp32" where none does.

    Raises:
        UsageError: Not a known precision.
        ModelError: The device cannot compute in it, or is a CPU asked for fp16: torch 2.13 took 14 times the processor
            time of fp32 for convolutions of 64 channels, three times for a transformer's linear layers.
    """
    if precision != "auto" and precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is unknown: use auto, {', '.join(PRECISIONS)}")
    if precision == "int8":
        raise ModelError(
            "torch does not compute in int8 here, ONNX Runtime does: use load_embedder(precision='int8')"
        )
    if device == "cpu":
        wanted = precision_on_cpu(precision, half)
        if wanted == "fp16":
            raise ModelError(
                "fp16 is for GPUs: it is several times slower than fp32 on a CPU; use --precision auto, or --device cuda"
            )
        if wanted != "fp32" and not _cpu_computes_in(wanted):
            raise ModelError(f"this torch cannot compute in {wanted} on a CPU: use --precision fp32")
        return wanted
    import torch

    has_bf16 = torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere; emulated below, and slow
    if precision == "bf16" and not has_bf16:
        raise ModelError(f"the GPU {device} has no bf16: use --precision fp16 or fp32")
    if precision == "auto":
        return half if has_bf16 or half == "fp32" else "fp16"
    return precision


def precision_on_cpu(precision: str, half: str) -> str:
    """Return what resolve_precision gives on a CPU where torch computes in it. On Linux torch is not imported for that."""
    automatic = "bf16" if half == "bf16" and cpu_has_bf16() else "fp32"
    return automatic if precision == "auto" else precision


def cpu_has_bf16() -> bool:
    """Return whether the CPU multiplies bf16 by instructions of its own; elsewhere it is slower than fp32."""
    flags = _cpu_flags()
    if flags is not None:
        # Linux, arch/x86/include/asm/cpufeatures.h; what torch asks the CPU for.
        return bool(flags & {"avx512_bf16", "amx_tile"})
    import torch

    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch.cpu, 2.6 to 2.13
    return any(bool(getattr(torch.cpu, name, bool)()) for name in asked)


def _cpu_flags() -> frozenset[str] | None:
    """Return the instructions of an x86 CPU as Linux names them, None where it does not; importing torch takes seconds."""
    try:
        with Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), None)
    except OSError:
        return None
    return None if flags is None else frozenset(flags.split())


def _cpu_computes_in(precision: str) -> bool:
    import torch

    dtype = torch_dtype(precision)
    try:
        pixels = torch.ones(1, 3, 4, 4, dtype=dtype)
        torch.nn.functional.conv2d(pixels, torch.ones(2, 3, 2, 2, dtype=dtype))
        torch.nn.functional.linear(pixels, torch.ones(2, 4, dtype=dtype))
    except RuntimeError:
        return False
    return True


def torch_dtype(precision: str) -> torch.dtype:
    """Return the torch type of a precision."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def one_line(error: BaseException, limit: int = 300) -> str:
    """Return an error's message on one line, cut to `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
