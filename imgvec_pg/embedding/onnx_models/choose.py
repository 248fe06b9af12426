"""Choose what computes a model's pictures on a CPU: ONNX Runtime where it is as right and faster, torch elsewhere."""

import logging
from pathlib import Path
from typing import Any

from imgvec_pg.embedding.checksums import verified_sha256
from imgvec_pg.embedding.description import TIMM, TRANSFORMERS, ModelDescription
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.onnx_models.exported import (
    Export,
    alone,
    cache_key,
    delete_export,
    delete_superseded,
    has_exports,
    has_onnx_extra,
    read_export,
    write_export,
)
from imgvec_pg.embedding.runtime import resolve_device, resolve_precision
from imgvec_pg.embedding.weights import find_weights
from imgvec_pg.errors import MissingExtraError, ModelError, UsageError

AUTO, TORCH, ONNX = RUNTIMES = ("auto", "torch", "onnx")
INSTALL_ONNX = "pip install 'imgvec-pg[onnx]'"

logger = logging.getLogger(__name__)


def load_by_torch(model: ModelDescription, weights: Path | None, device: str, precision: str) -> Embedder:
    """Load a model by torch; see `load.load_embedder`."""
    if model.library == TIMM:
        from imgvec_pg.embedding.torch_models.timm_embedder import TimmEmbedder  # torch, only now

        return TimmEmbedder(model, weights=weights, device=device, precision=precision)
    if model.library == TRANSFORMERS:
        from imgvec_pg.embedding.torch_models.transformers_embedder import TransformersEmbedder

        return TransformersEmbedder(model, device=device, precision=precision)
    from imgvec_pg.embedding.torch_models.openclip_embedder import OpenClipEmbedder

    return OpenClipEmbedder(model, weights=weights, device=device, precision=precision)


def load_by_fastest(
    model: ModelDescription,
    weights: Path | None,
    device: str,
    precision: str,
    runtime: str,
    *,
    may_export: bool,
) -> Embedder:
    """Load a model by the runtime asked for, or by the faster one of those whose numbers are the same.

    Args:
        runtime: "torch"; "onnx", which is refused where it cannot be; or "auto": ONNX Runtime where the extra `onnx` is
            installed, the device is a CPU, and the export has cosine 0.99999 to torch in fp32 and was faster here.
        may_export: "auto" exports what was not exported yet; else only what was is used.

    Raises:
        UsageError: Not one of those.
        MissingExtraError: "onnx" was asked for and is not installed.
        ModelError: "onnx" was asked for and cannot compute this model, device or precision.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f"runtime {runtime!r} is unknown: use {', '.join(RUNTIMES)}")
    if runtime == ONNX and not has_onnx_extra():
        raise MissingExtraError(f"--runtime onnx needs the extra onnx: {INSTALL_ONNX}")
    if runtime == ONNX and model.library == TRANSFORMERS:
        raise ModelError(f"{model.name} is computed by torch alone: leave out --runtime onnx")
    if runtime == TORCH or not has_onnx_extra() or model.library == TRANSFORMERS:
        return load_by_torch(model, weights, device, precision)
    device = resolve_device(device)
    if device != "cpu" or precision not in {"auto", "fp32"}:
        if runtime == ONNX:
            raise ModelError(
                f"ONNX Runtime computes in fp32 on a CPU here, asked for are {precision} on {device}: "
                "use --runtime torch, or --device cpu --precision fp32"
            )
        return load_by_torch(model, weights, device, precision)
    export = recorded_export(model, weights, precision, may_export=may_export or runtime == ONNX)
    if export is None or (export.reason and (runtime == AUTO or not export.sha256)):
        if runtime == ONNX:
            reason = export.reason if export else "its export cannot be kept, see the log"
            raise ModelError(
                f"{model.name} cannot be computed by ONNX Runtime: {reason}; use --runtime torch"
            )
        return load_by_torch(model, weights, device, precision)
    from imgvec_pg.embedding.onnx_models.onnx_embedder import OnnxEmbedder

    return OnnxEmbedder(export, lambda: load_by_torch(model, weights, device, precision))


def recorded_export(
    model: ModelDescription, weights: Path | None, precision: str, *, may_export: bool
) -> Export | None:
    """Return what is on record of a model's export on this CPU, made now where it may; None without one.

    Args:
        precision: "auto" or "fp32"; for fp32, torch's half precision is no rival.
    """
    if not may_export and not has_exports():
        return None  # without a second look at gigabytes of weights
    half = resolve_precision(precision, "cpu", model.half)
    weights_sha256 = verified_sha256(find_weights(model, weights))
    key = cache_key(model, weights_sha256, half)
    export = read_export(key)
    if export is not None:
        return export
    return _export(model, weights, key, half) if may_export else None


def compare_runtimes(
    model: ModelDescription, weights: Path | None, device: str, precision: str, *, keep: bool
) -> dict[str, Any]:
    """Compare ONNX Runtime with torch on this machine, exporting the model where it was not.

    Args:
        keep: Keep the export, for workers to use.

    Returns:
        used ("onnx" or "torch": what a worker computes by), reason, images_per_second, torch_images_per_second,
        torch_precision, cosine (0 where it was not measured).
    """
    export = None
    if not has_onnx_extra():
        reason = f"the extra onnx is not installed ({INSTALL_ONNX})"
    elif resolve_device(device) != "cpu" or precision not in {"auto", "fp32"}:
        reason = "ONNX Runtime is used in fp32 on CPUs"
    else:
        export = recorded_export(model, weights, precision, may_export=True)
        reason = "its export cannot be kept, see the log" if export is None else export.reason
    if export is not None and not keep:
        delete_export(export.key)
    return {
        "used": TORCH if reason else ONNX,
        "reason": reason,
        "images_per_second": export.onnx_rate if export else 0.0,
        "torch_images_per_second": export.torch_rate if export else 0.0,
        "torch_precision": export.torch_precision if export else "",
        "cosine": export.cosine if export else 0.0,
    }


def _export(model: ModelDescription, weights: Path | None, key: str, half: str) -> Export | None:
    """Export a model and record what came of it; None, and a line in the log, where the cache cannot be written to."""
    from imgvec_pg.embedding.onnx_models.export import export_and_compare
    from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder

    try:
        with alone(key):
            found = read_export(key)
            if found is not None:
                return found
            logger.info("exporting %s for ONNX Runtime, once on this machine", model.name)
            embedder = load_by_torch(model, weights, "cpu", "fp32")
            rival = embedder if half == "fp32" else load_by_torch(model, weights, "cpu", half)
            assert isinstance(embedder, TorchEmbedder)  # noqa: S101 - for the types
            assert isinstance(rival, TorchEmbedder)  # noqa: S101
            made = export_and_compare(embedder, key, rival)
            write_export(made)
            delete_superseded(made)
    except OSError as error:
        logger.warning("no export of %s for ONNX Runtime, torch computes: %s", model.name, error)
        return None
    logger.info(
        "%s by ONNX Runtime: %s",
        model.name,
        made.reason or f"{made.onnx_rate:.1f} images/s against {made.torch_rate:.1f} by torch",
    )
    return made
