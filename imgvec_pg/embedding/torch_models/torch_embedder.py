"""Base class of OpenCLIP and timm embedders: prepare images, run batches on the device, return unit vectors."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from imgvec_pg.embedding.checksums import verified_sha256
from imgvec_pg.embedding.description import ModelDescription
from imgvec_pg.embedding.embedder import Float32Array, embed_in_batches
from imgvec_pg.embedding.resize import Resize as FirstResize
from imgvec_pg.embedding.runtime import import_timm, resolve_device, resolve_precision, torch_dtype
from imgvec_pg.embedding.torch_models.openclip_network import device_errors
from imgvec_pg.embedding.torch_models.preprocess import DeviceInput, pixels_of, split_transform
from imgvec_pg.embedding.weights import find_weights
from imgvec_pg.errors import ModelError
from imgvec_pg.processors import usable_cpus

Encode = Callable[[torch.Tensor], torch.Tensor]


class TorchEmbedder(ABC):
    """An image encoder on one device; subclasses build it and say how it encodes."""

    fingerprint: str
    network: Any
    """OpenCLIP's or timm's own."""

    def __init__(self, model: ModelDescription, weights: Path | None, device: str, precision: str) -> None:
        """Choose device and precision, and find and check the weights."""
        self.name = model.name
        self.dimensions = model.dimensions
        self.has_text = model.has_text
        self.image_size = model.image_size
        self.logit_scale: float | None = None
        self.logit_bias: float | None = None
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device, model.half)
        if self.device == "cpu" and usable_cpus() < torch.get_num_threads():
            # It takes a thread for each core of the machine, whatever quota a container has.
            torch.set_num_threads(usable_cpus())
        self.dtype = torch_dtype(self.precision)
        self.weights = find_weights(model, weights)
        self.weights_sha256 = verified_sha256(self.weights)
        self.first_resize: FirstResize | None = None
        self._compiled: Encode | None = None
        self._is_channels_last = False

    def use_transform(self, transform: Any) -> None:  # noqa: ANN401 - OpenCLIP's or timm's own
        """Prepare pictures by this transform, whose last two steps are done on the device."""
        self._resize, mean, std = split_transform(self.name, transform)
        self.input = self.make_input(mean, std)

    def make_input(self, mean: Sequence[float], std: Sequence[float]) -> DeviceInput:
        """Return what makes batches for this network on its device."""
        return DeviceInput(mean, std, self.device, self.dtype, channels_last=self._is_channels_last)

    def folded(self, network: Any) -> Any:  # noqa: ANN401
        """Return the network with its training branches folded into single convolutions, where it has such.

        Only in fp32: folding rounds anew. Networks of that kind (MobileCLIP, FastViT, RepVGG) are then computed with
        channels last on a CPU, which is faster for them and not for all convolutional networks (benchmarks/runtimes.py).
        """
        if self.precision != "fp32" or not has_branches(network):
            return network
        network = import_timm().utils.reparameterize_model(network, inplace=True)
        self._is_channels_last = self.device == "cpu"
        return network.to(memory_format=torch.channels_last) if self._is_channels_last else network

    @abstractmethod
    def image_encoder(self) -> torch.nn.Module:
        """Return the network of pictures alone: what `encode` calls."""

    @abstractmethod
    def encode(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the features (n, dimensions) of a normalised batch (n, 3, height, width)."""

    def compile(self) -> None:
        """Let torch.compile rewrite the network at the next batches, which takes a minute or so.

        Batches are then filled up to powers of two, since each size is compiled anew.
        """
        self._compiled = torch.compile(self.encode, dynamic=False)

    def prepare_image(self, image: Image) -> torch.Tensor:
        """Resize and crop one RGB image: shape (height, width, 3), uint8, on the CPU."""
        return pixels_of(self._resize(image))

    def embed_prepared(self, prepared: Sequence[torch.Tensor]) -> Float32Array:
        """Embed n prepared images in one pass: shape (n, dimensions), float32, each row of L2 norm 1.

        Raises:
            MemoryError: The batch does not fit on the device; a smaller one may.
            ModelError: The model gave a vector without direction.
        """
        if not prepared:
            return np.empty((0, self.dimensions), dtype=np.float32)
        with torch.inference_mode(), device_errors(self.name, len(prepared), self.device, self.precision):
            if self._compiled is None:
                return self.normalised(self.encode(self.input.batch(prepared)))
            filled = [*prepared, *[prepared[0]] * (power_of_two(len(prepared)) - len(prepared))]
            return self.normalised(self._compiled(self.input.batch(filled))[: len(prepared)])

    def embed_images(self, images: Sequence[Image]) -> Float32Array:
        """Embed n RGB images of any size: shape (n, dimensions), float32, each row of L2 norm 1."""
        return embed_in_batches(self, images)

    def embed_texts(self, texts: Sequence[str]) -> Float32Array:
        """Refuse: a model without text tower has no vectors of words.

        Raises:
            ModelError: Always.
        """
        raise ModelError(
            f"{self.name} has no text tower: ask with a picture or a row, or use a CLIP or SigLIP model for words"
        )

    def normalised(self, features: torch.Tensor) -> Float32Array:
        """Normalise in float32: in bf16 a norm is off by more than the embedding tables accept."""
        return unit_vectors(self.name, self.precision, features)


def unit_vectors(name: str, precision: str, features: torch.Tensor) -> Float32Array:
    """Return features (n, dimensions) as rows of norm 1, which is computed in float32.

    Raises:
        ModelError: One has no direction.
    """
    features = features.float()
    norms = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
    if not bool(torch.isfinite(norms).all()) or not bool((norms > 0).all()):
        raise ModelError(
            f"{name} gave a vector of norm 0 or not a number in {precision}: "
            "check its weights, or use --precision fp32"
        )
    array: Float32Array = (features / norms).cpu().numpy()
    return array


def has_branches(network: torch.nn.Module) -> bool:
    """Return whether modules of a network keep branches that only training needs, as timm marks them."""
    return any(hasattr(module, "reparameterize") for module in network.modules())


def power_of_two(number: int) -> int:
    """Return the least power of two that is at least `number`."""
    return 1 << (number - 1).bit_length()
