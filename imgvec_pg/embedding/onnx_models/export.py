"""Export a torch model's image encoder, compare it with torch and time both. Imports torch."""

import logging
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from imgvec_pg.embedding.checksums import sha256_of
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import golden_images, lowest_cosine
from imgvec_pg.embedding.onnx_models.exported import LEAST_COSINE, Export, cpu_name, link_export, model_path
from imgvec_pg.embedding.onnx_models.onnx_embedder import OnnxEmbedder
from imgvec_pg.embedding.onnx_models.openvino_ways import compare_openvino, not_run, with_rates
from imgvec_pg.embedding.runtime import one_line
from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder
from imgvec_pg.errors import ModelError

LARGEST = 1_900_000_000
"""Bytes of weights in one ONNX file, which is a protocol buffer and so ends at 2 GiB."""
BATCH, SMALL_BATCH = 8, 2
SLOW_SECONDS = 0.25
"""A picture: networks that take more are timed by small batches, or a race would take a minute (ViT-L-14, two cores)."""
TURNS = 3


class _FromPixels(torch.nn.Module):
    """A network that takes prepared pictures, uint8 (n, height, width, 3), as they come from the decoders."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, embedder: TorchEmbedder) -> None:
        super().__init__()
        self.network = embedder.image_encoder()
        self.register_buffer("mean", torch.tensor(embedder.input.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(embedder.input.std).view(1, -1, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalise, in the order of ToTensor and Normalize, and encode."""
        values = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
        features: torch.Tensor = self.network((values - self.mean) / self.std)
        return features


def export_and_compare(
    embedder: TorchEmbedder, key: str, rival: TorchEmbedder | None = None, twins: Sequence[str] = ()
) -> Export:
    """Export an image encoder into the cache, and measure it against torch on this CPU.

    Args:
        embedder: The model by torch in fp32 on a CPU.
        key: `exported.cache_key` of the model.
        rival: The model by torch in the precision that would be used otherwise; None for `embedder`.
        twins: Keys of the same export beside other rivals, whose file is taken where one is there.

    Returns:
        What is to be recorded; with a `reason` where it cannot, or should not, be used.

    Raises:
        OSError: The cache cannot be written to.
    """
    rival = rival or embedder
    tried = Export(
        key=key,
        model=embedder.name,
        weights_sha256=embedder.weights_sha256,
        cpu=cpu_name(),
        torch_precision=rival.precision,
    )
    reason = _obstacle(embedder) or ("" if link_export(twins, key) else _write(embedder, key))
    if reason:
        return replace(tried, reason=reason)
    assert embedder.image_size is not None  # noqa: S101 - known of every model of ours
    found = replace(
        tried,
        fingerprint=embedder.fingerprint,
        dimensions=embedder.dimensions,
        has_text=embedder.has_text,
        logit_scale=embedder.logit_scale,
        logit_bias=embedder.logit_bias,
        image_size=embedder.image_size,
        resize=embedder.first_resize,
        sha256=sha256_of(model_path(key)),
    )
    try:
        ours = OnnxEmbedder(found, lambda: embedder)
        found = replace(found, cosine=_compare(ours, embedder))
        if found.cosine >= LEAST_COSINE:
            return _raced(found, ours, embedder, rival)
        tried = replace(tried, cosine=found.cosine)
        reason = f"its vectors have cosine {found.cosine:.6f} to torch's"
    except (ModelError, MemoryError) as error:
        reason = str(error)
    model_path(key).unlink(missing_ok=True)
    return replace(tried, reason=reason)


def _raced(found: Export, ours: OnnxEmbedder, embedder: TorchEmbedder, rival: TorchEmbedder) -> Export:
    """Add who is how fast, all in one race: ONNX Runtime, torch in the precision that it would compute in, and OpenVINO.

    Raises:
        ModelError: ONNX Runtime or torch failed.
        MemoryError: There is too little for both.
    """
    ways = compare_openvino(found, embedder, rival)
    racing = [loaded for _, loaded in ways if loaded is not None]
    try:
        onnx_rate, torch_rate, *others = _race(ours, rival, *racing)
        openvino = with_rates(ways, others)
    except (ModelError, MemoryError) as error:
        if not racing:
            raise
        openvino = not_run(ways, error)
        del ways, racing  # and their memory
        onnx_rate, torch_rate = _race(ours, rival)
    slower = f"torch is faster here: {torch_rate:.1f} against {onnx_rate:.1f} images/s"
    return replace(
        found,
        onnx_rate=onnx_rate,
        torch_rate=torch_rate,
        openvino=openvino,
        reason="" if onnx_rate > torch_rate else slower,
    )


def _obstacle(embedder: TorchEmbedder) -> str:
    """Return why a model is not exported, "" where nothing is in the way."""
    if embedder.first_resize is None:
        return "its preprocessing begins with more than a resize"
    size = sum(each.numel() * each.element_size() for each in embedder.image_encoder().parameters())
    if size > LARGEST:
        return f"its image encoder has {size / 1e9:.1f} GB, and one ONNX file holds 2"
    return ""


def _write(embedder: TorchEmbedder, key: str) -> str:
    """Write the file; return what torch's exporter cannot do, "" where it could."""
    assert embedder.image_size is not None  # noqa: S101 - known of every model of ours
    height, width = embedder.image_size
    pixels = torch.zeros((2, height, width, 3), dtype=torch.uint8)
    path = model_path(key)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_suffix(f".onnx.{os.getpid()}")
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator has no counterpart
    logging.disable(logging.WARNING)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _FromPixels(embedder).eval(),
                (pixels,),
                str(partial),
                input_names=["pixels"],
                output_names=["features"],
                dynamic_shapes={"pixels": {0: torch.export.Dim("images")}},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        partial.replace(path)
    except OSError:
        raise
    except Exception as error:
        # The exporter raises whatever a pass of its met.
        return f"torch's exporter failed: {one_line(error, 120)}"
    finally:
        logging.disable(logging.NOTSET)
        torch.backends.mha.set_fastpath_enabled(fast_path)
        partial.unlink(missing_ok=True)
    return ""


def _compare(ours: OnnxEmbedder, embedder: TorchEmbedder) -> float:
    """Return the least cosine on the golden pictures; 0 where they are prepared otherwise."""
    pictures = golden_images()
    for picture in pictures:
        if not np.array_equal(ours.prepare_image(picture), embedder.prepare_image(picture).numpy()):
            return 0.0
    return lowest_cosine(ours.embed_images(pictures), embedder.embed_images(pictures))


def _race(*embedders: Embedder) -> Sequence[float]:
    """Return the images/s of each."""
    return rates_in_turns(embedders)


def _is_slow(embedder: Embedder) -> bool:
    """Return whether a picture takes long, judged by the second: the first pass of a network prepares the others."""
    prepared = [embedder.prepare_image(golden_images()[0])]
    embedder.embed_prepared(prepared)
    began = time.perf_counter()
    embedder.embed_prepared(prepared)
    return time.perf_counter() - began > SLOW_SECONDS


def rates_in_turns(embedders: Sequence[Embedder]) -> list[float]:
    """Return the images/s of each, the best of turns: what else the machine did then is not kept for good."""
    picture = golden_images()[0]

    def rate(embedder: Embedder) -> Callable[[], float]:
        prepared: list[Any] = [embedder.prepare_image(picture)] * count
        embedder.embed_prepared(prepared)

        def once() -> float:
            began = time.perf_counter()
            embedder.embed_prepared(prepared)
            return count / (time.perf_counter() - began)

        return once

    count = SMALL_BATCH if all(_is_slow(embedder) for embedder in embedders) else BATCH
    timed = [rate(embedder) for embedder in embedders]
    turns = [[once() for once in timed] for _ in range(TURNS)]
    return [max(rates) for rates in zip(*turns, strict=True)]
