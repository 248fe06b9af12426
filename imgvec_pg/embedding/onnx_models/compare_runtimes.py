"""Compare what computes a model's pictures on this machine: torch, ONNX Runtime and OpenVINO, in each precision of a CPU."""

import importlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imgvec_pg.embedding.description import TRANSFORMERS, ModelDescription
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import golden_images, lowest_cosine
from imgvec_pg.embedding.onnx_models.exported import (
    INSTALL_ONNX,
    INT8,
    LEAST_COSINE,
    NOT_KEPT,
    ONNX,
    OPENVINO,
    TORCH,
    Export,
    delete_export,
    has_onnx_extra,
    has_openvino_extra,
)
from imgvec_pg.embedding.onnx_models.int8 import INT8_FLOOR, int8_key, recorded_int8
from imgvec_pg.embedding.onnx_models.recorded import load_by_torch, recorded_export
from imgvec_pg.embedding.runtime import cpu_has_bf16, one_line, resolve_device, resolve_precision
from imgvec_pg.errors import ImgvecError


@dataclass
class Way:
    """A runtime in a precision.

    Attributes:
        images_per_second: Of prepared pictures, in turns with the others; 0 where it was not measured.
        cosine: The least to torch in fp32 on the golden pictures; 0 where it was not measured.
        problem: Why a worker does not use it though it be asked for; "" where it may.
    """

    runtime: str
    precision: str
    images_per_second: float = 0.0
    cosine: float = 0.0
    problem: str = ""


def compare_runtimes(
    model: ModelDescription, weights: Path | None, device: str, precision: str, *, keep: bool
) -> dict[str, Any]:
    """Compare ONNX Runtime and OpenVINO with torch on this machine, exporting and quantising the model where it was not.

    Args:
        precision: What a worker would be asked for.
        keep: Keep what was exported, for workers to use.

    Returns:
        used ("onnx", "openvino" or "torch": what a worker computes by; "" where it refuses), used_precision, reason, ways (a
        list of `Way` as mappings; empty where there is nothing to compare), and of the race that a worker goes by:
        images_per_second (ONNX Runtime's), torch_images_per_second, torch_precision, openvino_images_per_second,
        openvino_precision, cosine (ONNX Runtime's; 0 where it was not measured), onnx_below and openvino_below (where
        torch is used: of how many pictures fewer a command computes by that one, which starts sooner; 0 for none).
    """
    device = resolve_device(device)
    export = None
    ways: list[Way] = []
    reason = _no_comparison(model, device)
    if not reason:
        compared = {"fp32", "bf16"} if has_openvino_extra() else {"fp32"}
        asked = precision if precision in compared else "auto"
        export = recorded_export(model, weights, asked, may_export=True)
        ways = _measure(model, weights, export)
        reason = NOT_KEPT if export is None else export.reason
        if precision not in {"auto", "fp32", INT8}:
            reason = "ONNX Runtime is used in fp32 on CPUs"
    if export is not None and not keep:
        _delete(model, weights, export)
    used = TORCH if reason else ONNX
    by_openvino = export.by_openvino if export else None
    onnx_below = export.onnx_below if export and precision in {"auto", "fp32"} else 0
    right = by_openvino is not None and precision in {"auto", by_openvino.precision}
    openvino_below = export.openvino_below if export and right else 0
    if precision == INT8:
        reason = next((way.problem for way in ways if way.precision == INT8), reason)
        used = "" if reason else ONNX
        used_precision = INT8
    elif export and by_openvino and export.is_openvino_faster(precision):
        used, used_precision, reason = OPENVINO, by_openvino.precision, ""
    else:
        used_precision = "fp32" if used == ONNX else resolve_precision(precision, device, model.half)
    return {
        "used": used,
        "used_precision": used_precision,
        "reason": reason,
        "onnx_below": onnx_below,
        "openvino_below": openvino_below,
        "ways": [asdict(way) for way in ways],
        "images_per_second": export.onnx_rate if export else 0.0,
        "torch_images_per_second": export.torch_rate if export else 0.0,
        "torch_precision": export.torch_precision if export else "",
        "openvino_images_per_second": by_openvino.rate if by_openvino else 0.0,
        "openvino_precision": by_openvino.precision if by_openvino else "",
        "cosine": export.cosine if export else 0.0,
    }


def _delete(model: ModelDescription, weights: Path | None, export: Export) -> None:
    delete_export(int8_key(model, weights))
    delete_export(export.key)
    # Of int8, where fp32 alone was asked for.
    if automatic := recorded_export(model, weights, "auto", may_export=False):
        delete_export(automatic.key)


def _no_comparison(model: ModelDescription, device: str) -> str:
    if not has_onnx_extra():
        return f"the extra onnx is not installed ({INSTALL_ONNX})"
    if device != "cpu":
        return "ONNX Runtime is used on CPUs, and on a GPU by --runtime onnx alone"
    try:
        importlib.import_module("onnxruntime")
    except ImportError as error:
        return f"onnxruntime cannot be imported: {one_line(error)}"
    return f"{model.name} is computed by torch alone" if model.library == TRANSFORMERS else ""


def _measure(model: ModelDescription, weights: Path | None, export: Export | None) -> list[Way]:
    """Load what computes here, compare the golden pictures with torch's in fp32 and time all in turns."""
    from imgvec_pg.embedding.onnx_models.export import rates_in_turns
    from imgvec_pg.embedding.onnx_models.onnx_embedder import OnnxEmbedder

    exact = load_by_torch(model, weights, "cpu", "fp32")
    loaded: list[tuple[Way, Embedder]] = [(Way(TORCH, "fp32"), exact)]
    refused: list[Way] = []
    if cpu_has_bf16():
        loaded.append((Way(TORCH, "bf16"), load_by_torch(model, weights, "cpu", "bf16")))
    if export is not None and export.sha256:
        loaded.append((Way(ONNX, "fp32"), OnnxEmbedder(export, lambda: exact)))
        by_openvino, not_used = _by_openvino(export, exact, [each.precision for _, each in loaded])
        loaded += by_openvino
        refused += not_used
    elif export is not None:
        refused.append(Way(ONNX, "fp32", cosine=export.cosine, problem=export.reason))
    int8 = Way(ONNX, INT8)
    try:
        quantised = recorded_int8(model, weights, "cpu")
        int8.problem = quantised.reason
        if not quantised.reason:
            loaded.append((int8, OnnxEmbedder(quantised, lambda: exact)))
    except ImgvecError as error:
        int8.problem = str(error)
    if int8.problem:
        refused.append(int8)
    golden = exact.embed_images(golden_images())
    for (way, embedder), rate in zip(loaded, rates_in_turns([each for _, each in loaded]), strict=True):
        way.images_per_second = rate
        way.cosine = lowest_cosine(embedder.embed_images(golden_images()), golden)
    if not int8.problem and quantised.cosine < INT8_FLOOR:
        int8.problem = f"cosine {quantised.cosine:.4f} to fp32, at least {INT8_FLOOR} expected (--force-int8)"
    return [way for way, _ in loaded] + refused


def _by_openvino(
    export: Export, exact: Embedder, precisions: list[str]
) -> tuple[list[tuple[Way, Embedder]], list[Way]]:
    """Load an export by OpenVINO in fp32 and torch's other precisions here; then those that cannot be, or are not as right."""
    from imgvec_pg.embedding.onnx_models.openvino_ways import compare_precision

    loaded: list[tuple[Way, Embedder]] = []
    refused: list[Way] = []
    if not has_openvino_extra():
        return loaded, refused
    golden = exact.embed_images(golden_images())
    on_record = {each.precision: each for each in export.openvino}
    for precision in dict.fromkeys(precisions):
        # What a worker goes by in bf16 is on record, with torch's own cosine as the measure.
        least = LEAST_COSINE if precision == "fp32" else 0.0
        found, embedder = compare_precision(export, precision, golden, least)
        problem = on_record[precision].reason if precision in on_record else found.reason
        way = Way(OPENVINO, precision, cosine=found.cosine, problem=problem)
        if embedder is None:
            refused.append(way)
        else:
            loaded.append((way, embedder))
    return loaded, refused
