"""Measure throughput of a model, and its share of the peak of the device."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder

LARGEST_BATCH = 512
GAIN = 1.05
"""A larger batch must be this much faster, else the smaller one is as good and takes less memory."""


@dataclass(frozen=True)
class Rate:
    """Images a second, from prepared pictures to vectors on the host, at one batch size."""

    batch_size: int
    images_per_second: float
    seconds_per_batch: float


def count_gflops(embedder: TorchEmbedder) -> float:
    """Return the 10^9 operations of one image, a multiplication with its addition counting as two."""
    counter = FlopCounterMode(display=False)
    batch = embedder.input.batch(random_pictures(embedder, 1))
    # Of fused kernels and of MultiheadAttention's fast path the counter knows nothing.
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), counter, sdpa_kernel(SDPBackend.MATH):
            embedder.encode(batch)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return float(counter.get_total_flops()) / 1e9


def random_pictures(embedder: TorchEmbedder, count: int) -> list[torch.Tensor]:
    """Return prepared pictures of noise."""
    assert embedder.image_size is not None  # noqa: S101 - known of every model of ours
    height, width = embedder.image_size
    generator = torch.Generator().manual_seed(0)
    return list(torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator))


def measure_rate(embedder: TorchEmbedder, batch_size: int, seconds: float = 3.0) -> Rate:
    """Embed batches for about so many seconds, after one to warm up; the median counts.

    Raises:
        MemoryError: The batch does not fit on the device.
    """
    prepared = random_pictures(embedder, batch_size)
    embedder.embed_prepared(prepared)
    times: list[float] = []
    ends = time.monotonic() + seconds
    while not times or (time.monotonic() < ends and len(times) < 1000):
        times.append(_seconds(lambda: embedder.embed_prepared(prepared)))
    median = statistics.median(times)
    return Rate(batch_size, batch_size / median, median)


def measure_turns(
    embedder: TorchEmbedder, batch_size: int, seconds: float = 3.0, least: int = 1
) -> tuple[Rate, float]:
    """Time our way and the bare network, on a batch that is on the device already, in turns.

    So a busy moment does not hit only one of the two. Each is first every other time: what the first one warms, the
    second one finds warm.

    Args:
        least: So many turns even where they take longer, by 20 seconds at most.

    Returns:
        Our rate, and our share of the bare network's; medians over the turns.

    Raises:
        MemoryError: The batch does not fit on the device.
    """
    prepared = random_pictures(embedder, batch_size)
    batch = embedder.input.batch(prepared)

    def ours() -> None:
        embedder.embed_prepared(prepared)

    def bare() -> None:
        with torch.inference_mode():
            embedder.encode(batch)
        if batch.is_cuda:
            torch.cuda.synchronize()

    ours()
    bare()
    turns: list[tuple[float, float]] = []
    ends = time.monotonic() + seconds
    while not turns or time.monotonic() < ends + (20 if len(turns) < least else 0):
        if len(turns) % 2:
            alone = _seconds(bare)
            turns.append((_seconds(ours), alone))
        else:
            turns.append((_seconds(ours), _seconds(bare)))
    median = statistics.median(mine for mine, _ in turns)
    share = statistics.median(alone / mine for mine, alone in turns)
    return Rate(batch_size, batch_size / median, median), share


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def probe_batch_size(embedder: TorchEmbedder, seconds: float = 1.0) -> tuple[int, Sequence[Rate]]:
    """Try 1, 2, 4 … images until that is no faster or does not fit, and return the best size with all rates."""
    rates: list[Rate] = []
    size, tired = 1, 0
    while size <= LARGEST_BATCH and tired < 2:
        try:
            rates.append(measure_rate(embedder, size, seconds))
        except MemoryError:
            break
        best_before = max((rate.images_per_second for rate in rates[:-1]), default=0.0)
        tired = 0 if rates[-1].images_per_second > best_before * GAIN else tired + 1
        if rates[-1].seconds_per_batch > 10 * seconds:  # a slow device: larger ones would take minutes
            break
        size *= 2
    if not rates:
        raise MemoryError(f"not even one image of {embedder.name} fits on {embedder.device}")
    fastest = max(rate.images_per_second for rate in rates)
    best = next(rate for rate in rates if rate.images_per_second * GAIN >= fastest)
    return best.batch_size, rates


def measure_peak_gflops(device: str, dtype: torch.dtype) -> float:
    """Return what multiplying large square matrices reaches, in 10^9 operations a second: the device's matrix peak."""
    size = 2048 if device == "cpu" else 8192
    left = torch.randn(size, size, device=device).to(dtype)
    right = torch.randn(size, size, device=device).to(dtype)

    def multiply() -> None:
        torch.mm(left, right)
        if device != "cpu":
            torch.cuda.synchronize()

    if device == "cpu" and dtype != torch.float32:
        # Where the CPU only emulates the type, the large matrix takes a minute.
        left, right = left[:512, :512].contiguous(), right[:512, :512].contiguous()
        size = 512
    multiply()
    times: list[float] = []
    ends = time.monotonic() + 1.0
    while len(times) < 3 or time.monotonic() < ends:
        times.append(_seconds(multiply))
    return 2 * size**3 / min(times) / 1e9
