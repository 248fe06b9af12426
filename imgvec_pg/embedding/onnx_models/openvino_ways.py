"""Compare what OpenVINO makes of an export with torch. Imports openvino where it is installed, and nothing of torch."""

from dataclasses import replace

from imgvec_pg.embedding.embedder import Embedder, Float32Array
from imgvec_pg.embedding.golden import golden_images, lowest_cosine
from imgvec_pg.embedding.onnx_models.exported import (
    LEAST_COSINE,
    ByOpenVino,
    Export,
    has_openvino_extra,
    model_path,
)
from imgvec_pg.embedding.onnx_models.exported_embedder import ExportedEmbedder
from imgvec_pg.embedding.runtime import one_line
from imgvec_pg.errors import ModelError

TOLERANCE = 1 - LEAST_COSINE
"""By how much less than torch's cosine to fp32 OpenVINO's may be in bf16, as much as two computations in fp32 may differ: both
round to 8 bits, in another order, and of the cosines of three pictures the least is compared."""

Loaded = tuple[ByOpenVino, ExportedEmbedder | None]
"""One precision, and its embedder where it may be used."""


def compare_openvino(export: Export, exact: Embedder, rival: Embedder) -> list[Loaded]:
    """Load an export by OpenVINO in bf16 where torch would compute in that, else, or where that is not as right, in fp32.

    Args:
        exact: The model by torch in fp32.
        rival: The model by torch in the precision that would be used otherwise.

    Not both to race: each is another copy of the weights in memory, and bf16 is the faster one.

    Returns:
        What was tried, none without the extra `openvino`, each with its cosine to `exact` on the golden pictures, and no rate
        yet; with a `reason` where it is not to be used: it cannot be loaded or run, has a cosine below 0.99999 in fp32, or in
        bf16 is further from fp32 than torch's own.
    """
    if not has_openvino_extra():
        return []
    golden = exact.embed_images(golden_images())
    found: list[Loaded] = []
    if rival.precision == "bf16":
        torchs = lowest_cosine(rival.embed_images(golden_images()), golden)
        found.append(compare_precision(export, "bf16", golden, torchs - TOLERANCE))
    if not any(loaded for _, loaded in found):
        found.append(compare_precision(export, "fp32", golden, LEAST_COSINE))
    return found


def compare_precision(export: Export, precision: str, golden: Float32Array, least: float) -> Loaded:
    """Load an export by OpenVINO in one precision, where its golden pictures have that cosine to `golden` at least."""
    try:
        from imgvec_pg.embedding.onnx_models.openvino_embedder import OpenVinoEmbedder
    except ImportError as error:
        # One whose binaries are not for this machine. The record keeps it, as an import at each start would take its time.
        reason = f"openvino cannot be imported: {one_line(error)}; when it can be, delete {_record(export)}"
        return ByOpenVino(precision=precision, reason=reason), None
    try:
        loaded = OpenVinoEmbedder(export, no_words, precision)
        cosine = lowest_cosine(loaded.embed_images(golden_images()), golden)
    except (ModelError, MemoryError) as error:
        return ByOpenVino(precision=precision, reason=one_line(error)), None
    if not cosine >= least:
        reason = f"its vectors have cosine {cosine:.6f} to torch's in fp32, at least {least:.6f} expected"
        return ByOpenVino(precision=precision, cosine=cosine, reason=reason), None
    return ByOpenVino(precision=precision, cosine=cosine), loaded


def with_rates(ways: list[Loaded], rates: list[float]) -> list[ByOpenVino]:
    """Return what is to be recorded, those that were loaded with their images/s, in this order."""
    left = iter(rates)
    return [way if loaded is None else replace(way, rate=next(left)) for way, loaded in ways]


def not_run(ways: list[Loaded], error: Exception) -> list[ByOpenVino]:
    """Return what is to be recorded where they could not be timed."""
    return [way if loaded is None else replace(way, reason=one_line(error)) for way, loaded in ways]


def no_words() -> Embedder:
    """Stand for the model by torch where only pictures are computed."""
    raise AssertionError("golden pictures need no words")


def _record(export: Export) -> str:
    return str(model_path(export.key).with_suffix(".json"))
