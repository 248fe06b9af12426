"""What is on record of a model's export, made where it may be; and the model by torch, which it is made from."""

import logging
from pathlib import Path

from imgvec_pg.embedding.checksums import verified_sha256
from imgvec_pg.embedding.description import TIMM, TRANSFORMERS, ModelDescription
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.onnx_models.exported import (
    MAY_DIE,
    Export,
    alone,
    cache_key,
    counted,
    cpu_name,
    delete_superseded,
    has_exports,
    model_path,
    read_export,
    write_export,
)
from imgvec_pg.embedding.runtime import one_line, precision_on_cpu, resolve_precision
from imgvec_pg.embedding.weights import find_weights

HALVES = ("fp32", "bf16", "fp16")
"""Torch's precisions that an export may have been measured beside."""

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


def recorded_export(
    model: ModelDescription, weights: Path | None, precision: str, *, may_export: bool
) -> Export | None:
    """Return what is on record of a model's export on this CPU, made now where it may; None without one.

    Args:
        precision: "auto", "fp32" or "bf16", which is torch's as the rival; for fp32 its half precision is none.
    """
    if not may_export and not has_exports():
        return None  # without a second look at gigabytes of weights
    weights_sha256 = verified_sha256(find_weights(model, weights))
    # Whether torch computes in it only torch knows, whose import takes seconds: whoever made the export has asked it.
    export = read_export(cache_key(model, weights_sha256, precision_on_cpu(precision, model.half)))
    if export is not None or not may_export:
        return export
    half = resolve_precision(precision, "cpu", model.half)
    return _export(model, weights, cache_key(model, weights_sha256, half), half)


def _export(model: ModelDescription, weights: Path | None, key: str, half: str) -> Export | None:
    """Export a model and record what came of it; None, and a line in the log, where it cannot be kept or made."""
    try:
        from imgvec_pg.embedding.onnx_models.export import export_and_compare
    except ImportError as error:
        # An onnxruntime whose binaries are not for this machine.
        logger.warning("no export of %s for ONNX Runtime, torch computes: %s", model.name, one_line(error))
        return None
    from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder

    try:
        with alone(key):
            found = read_export(key)
            if found is not None:
                return found
            with counted(key) as died:
                if died >= MAY_DIE:
                    made = _given_up(model, weights, key, half, died)
                else:
                    logger.info("exporting %s for ONNX Runtime, once on this machine", model.name)
                    embedder = load_by_torch(model, weights, "cpu", "fp32")
                    rival = embedder if half == "fp32" else load_by_torch(model, weights, "cpu", half)
                    assert isinstance(embedder, TorchEmbedder)  # noqa: S101 - for the types
                    assert isinstance(rival, TorchEmbedder)  # noqa: S101
                    sha256 = embedder.weights_sha256
                    twins = [cache_key(model, sha256, other) for other in HALVES if other != half]
                    made = export_and_compare(embedder, key, rival, twins)
                write_export(made)
            delete_superseded(made)
    except OSError as error:
        logger.warning("no export of %s for ONNX Runtime, torch computes: %s", model.name, error)
        return None
    # That torch is the faster one is nothing to be told of.
    logger.log(
        logging.WARNING if made.reason and not made.sha256 else logging.INFO,
        "%s by ONNX Runtime: %s",
        model.name,
        made.reason or f"{made.onnx_rate:.1f} images/s against {made.torch_rate:.1f} by torch",
    )
    for way in made.openvino:
        logger.log(
            logging.WARNING if way.reason else logging.INFO,
            "%s by OpenVINO in %s: %s",
            model.name,
            way.precision,
            f"not used, {way.reason}" if way.reason else f"{way.rate:.1f} images/s",
        )
    return made


def _given_up(model: ModelDescription, weights: Path | None, key: str, half: str, died: int) -> Export:
    """Return what is to be recorded of a model whose export kills processes: another one would be started for ever."""
    return Export(
        key=key,
        model=model.name,
        weights_sha256=verified_sha256(find_weights(model, weights)),
        cpu=cpu_name(),
        torch_precision=half,
        reason=f"{died} processes were killed while they exported it, as for want of memory; to try again delete "
        f"{model_path(key).with_suffix('.json')}",
    )
