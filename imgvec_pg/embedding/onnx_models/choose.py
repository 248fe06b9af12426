"""Choose what computes a model's pictures: ONNX Runtime or OpenVINO where it is as right and, on a CPU, faster; else torch."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from imgvec_pg.embedding.description import TRANSFORMERS, ModelDescription
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import golden_images, lowest_cosine
from imgvec_pg.embedding.onnx_models.exported import (
    AUTO,
    INSTALL_ONNX,
    INSTALL_OPENVINO,
    INT8,
    LEAST_COSINE,
    NOT_KEPT,
    ONNX,
    OPENVINO,
    TORCH,
    ByOpenVino,
    Export,
    has_onnx_extra,
    has_openvino_extra,
)
from imgvec_pg.embedding.onnx_models.int8 import load_int8
from imgvec_pg.embedding.onnx_models.recorded import load_by_torch, recorded_export
from imgvec_pg.embedding.runtime import one_line, resolve_device
from imgvec_pg.errors import MissingExtraError, ModelError, UsageError

RUNTIMES = (AUTO, TORCH, ONNX, OPENVINO)

logger = logging.getLogger(__name__)
_said: set[str] = set()


def load_by_fastest(
    model: ModelDescription,
    weights: Path | None,
    device: str,
    precision: str,
    runtime: str,
    *,
    may_export: bool,
    force_int8: bool = False,
    images: int | None = None,
) -> Embedder:
    """Load a model by the runtime asked for, or by the faster one of those whose numbers are the same.

    Args:
        runtime: "torch"; "onnx" or "openvino", which are refused where they cannot be; or "auto": ONNX Runtime where the extra
            `onnx` is installed, the device is a CPU, and the export has cosine 0.99999 to torch in fp32 and was faster here;
            OpenVINO, with its extra, where it was faster than both, see `Export.is_openvino_faster`. On a GPU "onnx" is fp32 by
            ONNX Runtime's CUDA provider; torch, and a line in the log, where that is missing or gives other numbers than on the
            CPU.
        precision: "int8" is ONNX Runtime's alone and made at once where it was not; see `int8.load_int8`.
        may_export: "auto" exports what was not exported yet; else only what was is used.
        force_int8: Use int8 although it loses too much.
        images: How many are to be computed at most; None for many. Of few "auto" takes what has all of them done sooner, with its
            start.

    Raises:
        UsageError: Not one of those.
        MissingExtraError: "onnx" or "openvino" was asked for and is not installed.
        ModelError: One of them was asked for and cannot compute this model, device or precision.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f"runtime {runtime!r} is unknown: use {', '.join(RUNTIMES)}")
    if precision == INT8:
        if runtime in {TORCH, OPENVINO}:
            raise UsageError(
                f"--precision int8 is computed by ONNX Runtime: leave out --runtime {runtime} (IMGVEC_RUNTIME)"
            )
        return load_int8(model, weights, device, is_forced=force_int8)
    _check_can_be(runtime, model)
    if runtime == TORCH or not has_onnx_extra() or model.library == TRANSFORMERS:
        return load_by_torch(model, weights, device, precision)
    device = resolve_device(device)
    by_torch = partial(load_by_torch, model, weights, device, precision)
    if runtime == OPENVINO:
        return _load_openvino(model, weights, device, precision, by_torch)
    if runtime == ONNX:
        return _load_onnx(model, weights, device, precision, by_torch)
    compared = {"auto", "fp32", "bf16"} if has_openvino_extra() else {"auto", "fp32"}
    if precision not in compared or device != "cpu":
        return by_torch()
    export = recorded_export(model, weights, precision, may_export=may_export)
    if export is not None and (found := _faster_openvino(export, precision, by_torch, images)):
        return found
    is_few = export is not None and images is not None and images < export.onnx_below
    if precision == "bf16" or export is None or (export.reason and not is_few):
        return by_torch()
    return _by_export(export, by_torch, device, is_asked_for=False)


def _load_onnx(
    model: ModelDescription,
    weights: Path | None,
    device: str,
    precision: str,
    by_torch: Callable[[], Embedder],
) -> Embedder:
    """Load what was asked for by name.

    Raises:
        ModelError: It cannot be; on a GPU that may show only where it is loaded, and torch computes instead.
    """
    if precision not in {"auto", "fp32"}:
        raise ModelError(
            f"ONNX Runtime computes in fp32 here, asked for are {precision} on {device}: "
            "use --runtime torch, or --precision fp32"
        )
    export = _required_export(model, weights, precision, "ONNX Runtime")
    return _by_export(export, by_torch, device, is_asked_for=True)


def _check_can_be(runtime: str, model: ModelDescription) -> None:
    """Refuse a runtime that was asked for by name and that is not installed, or cannot be for this library's models.

    Raises:
        MissingExtraError: Its extra is not installed.
        ModelError: transformers computes the model.
    """
    if runtime == ONNX and not has_onnx_extra():
        raise MissingExtraError(f"--runtime onnx needs the extra onnx: {INSTALL_ONNX}")
    if runtime == OPENVINO and not has_openvino_extra():
        raise MissingExtraError(f"--runtime openvino needs the extra openvino: {INSTALL_OPENVINO}")
    if runtime in {ONNX, OPENVINO} and model.library == TRANSFORMERS:
        raise ModelError(f"{model.name} is computed by torch alone: leave out --runtime {runtime}")


def _load_openvino(
    model: ModelDescription,
    weights: Path | None,
    device: str,
    precision: str,
    by_torch: Callable[[], Embedder],
) -> Embedder:
    """Load what was asked for by name: by "auto" in the precision that torch would compute in, where that is as right, or fp32.

    Raises:
        ModelError: It cannot be.
    """
    if device != "cpu" or precision not in {"auto", "fp32", "bf16"}:
        raise ModelError(
            f"OpenVINO computes in fp32 and bf16 on CPUs here, asked for are {precision} on {device}: use --runtime torch"
        )
    export = _required_export(model, weights, precision, "OpenVINO")
    way = export.by_openvino
    if way is None or precision not in {"auto", way.precision}:
        tried = next(iter(export.openvino), None)
        engine = "OpenVINO" if tried is None else f"OpenVINO in {tried.precision}"
        raise _refused(model.name, engine, NOT_KEPT if tried is None else tried.reason)
    try:
        return _open_openvino(export, way, by_torch)
    except (ImportError, ModelError) as error:
        raise _refused(model.name, "OpenVINO", one_line(error)) from error


def _faster_openvino(
    export: Export, precision: str, by_torch: Callable[[], Embedder], images: int | None
) -> Embedder | None:
    """Load an export by OpenVINO where it is the fastest, or has few images done before torch has begun.

    Returns:
        None where it is not, and with a line in the log once where it cannot be loaded.
    """
    way = export.by_openvino
    if way is None or precision not in {"auto", way.precision}:
        return None
    is_few = images is not None and images < export.openvino_below
    if not is_few and not export.is_openvino_faster(precision):
        return None
    try:
        return _open_openvino(export, way, by_torch)
    except (ImportError, ModelError) as error:
        _say_once(f"OpenVINO does not compute {export.model}: {one_line(error)}")
        return None


def _open_openvino(export: Export, way: ByOpenVino, by_torch: Callable[[], Embedder]) -> Embedder:
    """Load an export by OpenVINO.

    Raises:
        ImportError: It cannot be imported on this machine.
        ModelError: It cannot compile it.
    """
    from imgvec_pg.embedding.onnx_models.openvino_embedder import OpenVinoEmbedder

    return OpenVinoEmbedder(export, by_torch, way.precision)


def _required_export(model: ModelDescription, weights: Path | None, precision: str, engine: str) -> Export:
    """Return the export that a runtime asked for by name reads, made now where it was not.

    Raises:
        ModelError: There can be none.
    """
    export = recorded_export(model, weights, precision, may_export=True)
    if export is None or not export.sha256:
        raise _refused(model.name, engine, NOT_KEPT if export is None else export.reason)
    return export


def _refused(name: str, engine: str, reason: str) -> ModelError:
    return ModelError(f"{name} cannot be computed by {engine}: {reason}; use --runtime torch")


def reason_against_onnx(model: ModelDescription, weights: Path | None, device: str, precision: str) -> str:
    """Return why a worker on this CPU computes a model by torch: what is on record of its export; "" where nothing is.

    Raises:
        ModelError: The weights are not to be found.
    """
    can_be = has_onnx_extra() and device in {"auto", "cpu"} and precision in {"auto", "fp32"}
    if not can_be or model.library == TRANSFORMERS:
        return ""
    export = recorded_export(model, weights, precision, may_export=False)
    return "" if export is None else export.reason


def _by_export(
    export: Export, load_torch: Callable[[], Embedder], device: str, *, is_asked_for: bool
) -> Embedder:
    """Load an export, or the model by torch, and say so once, where that cannot be.

    Raises:
        ModelError: It cannot be, on a CPU, and was asked for.
    """
    try:
        return _load_export(export, load_torch, device)
    except (ImportError, ModelError) as error:
        if is_asked_for and device == "cpu":
            raise _refused(export.model, "ONNX Runtime", one_line(error)) from error
        _say_once(f"torch computes {export.model} on {device}: {one_line(error)}")
        return load_torch()


def _load_export(export: Export, load_torch: Callable[[], Embedder], device: str) -> Embedder:
    """Load an export on a device; on another one than a CPU, where it gives the same numbers there.

    Raises:
        ImportError: ONNX Runtime cannot be imported on this machine.
        ModelError: It cannot compute this export there, or gives other numbers.
    """
    from imgvec_pg.embedding.onnx_models.onnx_embedder import OnnxEmbedder

    loaded = OnnxEmbedder(export, load_torch, device)
    if device != "cpu":
        pictures = golden_images()
        cosine = lowest_cosine(
            loaded.embed_images(pictures), OnnxEmbedder(export, load_torch).embed_images(pictures)
        )
        if cosine < LEAST_COSINE:
            raise ModelError(f"ONNX Runtime's vectors have cosine {cosine:.6f} to those of the CPU")
    return loaded


def _say_once(line: str) -> None:
    """Warn once in a process: a worker loads its model anew with each session."""
    if line not in _said:
        _said.add(line)
        logger.warning("%s", line)
