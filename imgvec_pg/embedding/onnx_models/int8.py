"""Image encoders in int8 on a CPU: quantised once from the fp32 export, and used only by choice and where little is lost."""

import logging
from dataclasses import replace
from pathlib import Path

from imgvec_pg.embedding.checksums import sha256_of, verified_sha256
from imgvec_pg.embedding.description import TRANSFORMERS, ModelDescription
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import compute_golden, lowest_cosine
from imgvec_pg.embedding.onnx_models.exported import (
    INSTALL_ONNX,
    INT8,
    NOT_KEPT,
    Export,
    alone,
    cache_key,
    delete_superseded,
    has_onnx_extra,
    model_path,
    read_export,
    write_export,
)
from imgvec_pg.embedding.onnx_models.recorded import load_by_torch, recorded_export
from imgvec_pg.embedding.runtime import one_line, resolve_device
from imgvec_pg.embedding.weights import find_weights
from imgvec_pg.errors import MissingExtraError, ModelError

INT8_WARNING = 0.999
"""Least cosine to fp32 on the golden pictures that nobody is warned of: what bf16 has, too."""
INT8_FLOOR = 0.99
"""Below it a network is not used in int8, unless it is forced."""
LEAST_SHARE = 0.5
"""Of the weights that are in linear layers, the only ones quantised: with fewer there is nothing to gain."""

logger = logging.getLogger(__name__)
_warned: set[str] = set()


def load_int8(model: ModelDescription, weights: Path | None, device: str, *, is_forced: bool) -> Embedder:
    """Load a model's image encoder in int8, quantised now where it was not; words stay torch's in fp32.

    Raises:
        MissingExtraError: The extra `onnx` is not installed.
        ModelError: The device is no CPU, the model cannot be exported or has too few linear layers, or it loses too much and
            is not forced.
    """
    export = recorded_int8(model, weights, device)
    if export.reason:
        raise ModelError(export.reason)
    lost = f"{model.name} has cosine {export.cosine:.4f} to fp32 in int8 on the golden pictures"
    if export.cosine < INT8_FLOOR and not is_forced:
        raise ModelError(
            f"{lost}, at least {INT8_FLOOR} expected: leave out --precision int8, or say --force-int8"
        )
    if export.cosine < INT8_WARNING and export.key not in _warned:
        _warned.add(export.key)
        logger.warning(
            "%s, less than %s: neighbours change; compare with --precision auto", lost, INT8_WARNING
        )
    from imgvec_pg.embedding.onnx_models.onnx_embedder import OnnxEmbedder

    return OnnxEmbedder(export, lambda: load_by_torch(model, weights, "cpu", "fp32"))


def recorded_int8(model: ModelDescription, weights: Path | None, device: str) -> Export:
    """Return what is on record of a model in int8 on this CPU, made now where nothing is; a `reason` says why it cannot be used.

    Raises:
        MissingExtraError: The extra `onnx` is not installed.
        ModelError: The device is no CPU, the model cannot be exported, or the cache cannot be written to.
    """
    if not has_onnx_extra():
        raise MissingExtraError(f"--precision int8 needs the extra onnx: {INSTALL_ONNX}")
    if model.library == TRANSFORMERS:
        raise ModelError(f"{model.name} is computed by torch alone: leave out --precision int8")
    device = resolve_device(device)
    if device != "cpu":
        raise ModelError(f"int8 is for CPUs, the device is {device}: use --device cpu, or --precision auto")
    key = int8_key(model, weights)
    found = read_export(key)
    if found is not None:
        return found
    fp32 = recorded_export(model, weights, "auto", may_export=True)
    if fp32 is None or not fp32.sha256:
        reason = fp32.reason if fp32 else NOT_KEPT
        raise ModelError(f"{model.name} cannot be computed in int8: {reason}; leave out --precision int8")
    try:
        with alone(key):
            found = read_export(key)
            if found is not None:
                return found
            logger.info("quantising %s to int8, once on this machine", model.name)
            made = _quantise(fp32, key)
            write_export(made)
            delete_superseded(made)
    except OSError as error:
        raise ModelError(
            f"{model.name} in int8 cannot be kept in IMGVEC_CACHE_DIR: {one_line(error)}"
        ) from error
    return made


def int8_key(model: ModelDescription, weights: Path | None) -> str:
    """Return the cache's key of a model in int8."""
    return cache_key(model, verified_sha256(find_weights(model, weights)), INT8)


def _quantise(fp32: Export, key: str) -> Export:
    """Quantise an export, and compare both on the golden pictures.

    Raises:
        OSError: The cache cannot be written to.
        ModelError: ONNX Runtime's tools, or itself, cannot do it.
    """
    from imgvec_pg.embedding.onnx_models.onnx_embedder import OnnxEmbedder
    from imgvec_pg.embedding.onnx_models.quantise import quantise

    try:
        share = quantise(model_path(fp32.key), model_path(key))
    except OSError:
        raise
    except Exception as error:
        # onnxruntime's tools raise whatever they met.
        raise ModelError(f"{fp32.model} cannot be quantised to int8: {one_line(error)}") from error
    made = replace(
        fp32, key=key, precision=INT8, torch_precision="fp32", reason="", quantised_share=share,
        onnx_rate=0.0, torch_rate=0.0, openvino=[],
    )  # fmt: skip
    if share < LEAST_SHARE:
        model_path(key).unlink(missing_ok=True)
        reason = (
            f"int8 is of linear layers, which have {share:.0%} of the weights of {fp32.model}'s image encoder, at least "
            f"{LEAST_SHARE:.0%} expected: there is nothing to gain, leave out --precision int8"
        )
        return replace(made, sha256="", reason=reason)
    exact = compute_golden(OnnxEmbedder(fp32, _no_words), ("image",))["image"]
    made = replace(made, sha256=sha256_of(model_path(key)), golden=exact.tolist())
    quantised = compute_golden(OnnxEmbedder(made, _no_words), ("image",))["image"]
    return replace(made, cosine=lowest_cosine(quantised, exact))


def _no_words() -> Embedder:
    raise AssertionError("golden pictures need no words")
