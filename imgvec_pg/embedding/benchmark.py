"""Benchmark a model: images/s by batch size. Importing this module does not import torch."""

import sys
from collections.abc import Sequence
from typing import Any

from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ModelError

USUAL_BATCH = 64


def benchmark_model(
    embedder: Embedder, *, batch_size: int | None = None, seconds: float = 3.0, compiled: bool = False
) -> dict[str, Any]:
    """Time a model of ours on its device.

    Returns:
        model, device, precision, compiled, batch_size, images_per_second, forward_images_per_second (the bare network),
        share_of_forward, gflops_per_image, gflops_per_second, peak_gflops_per_second, share_of_peak, tried.

    Raises:
        ModelError: It is a team's own embedder, of which only they know how it computes, or fits on no device.
    """
    if not _computes_by_torch(embedder):
        raise ModelError(f"{embedder.name} is neither OpenCLIP's nor timm's: only their models are timed")
    from imgvec_pg.embedding.torch_models import throughput
    from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder

    assert isinstance(embedder, TorchEmbedder)  # noqa: S101 - just looked at, for the types
    if compiled:
        embedder.compile()
    try:
        tried: Sequence[throughput.Rate] = ()
        if batch_size is None:
            batch_size, tried = throughput.probe_batch_size(embedder, min(seconds, 1.0))
        rate, share = throughput.measure_turns(embedder, batch_size, 2 * seconds)
    except MemoryError as error:
        raise ModelError(f"{error}; try a smaller --batch-size") from error
    gflops = throughput.count_gflops(embedder)
    peak = throughput.measure_peak_gflops(embedder.device, embedder.dtype)
    return {
        "model": embedder.name,
        "device": embedder.device,
        "precision": embedder.precision,
        "compiled": compiled,
        "batch_size": batch_size,
        "images_per_second": rate.images_per_second,
        "forward_images_per_second": rate.images_per_second / share,
        "share_of_forward": share,
        "gflops_per_image": gflops,
        "gflops_per_second": gflops * rate.images_per_second,
        "peak_gflops_per_second": peak,
        "share_of_peak": gflops * rate.images_per_second / peak,
        "tried": [(each.batch_size, each.images_per_second) for each in tried],
    }


def choose_batch_size(asked: int, embedder: Embedder) -> int:
    """Return the batch size asked for; for 0 the one that is fastest on the model's device, found by trying.

    A team's own embedder, of which only they know how it computes, gets 64.
    """
    if asked:
        return asked
    if not _computes_by_torch(embedder):
        return USUAL_BATCH
    from imgvec_pg.embedding.torch_models.throughput import probe_batch_size
    from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder

    assert isinstance(embedder, TorchEmbedder)  # noqa: S101 - just looked at, for the types
    return probe_batch_size(embedder)[0]


def _computes_by_torch(embedder: Embedder) -> bool:
    """Return whether a model is one of ours; a team's own may do without torch, so nothing is imported for it."""
    module = sys.modules.get("imgvec_pg.embedding.torch_models.torch_embedder")
    return module is not None and isinstance(embedder, module.TorchEmbedder)
