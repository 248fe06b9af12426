"""Variants of a model: it and the ways in which it is commonly run wrong, for telling which of them made a vector.

Importing this module imports no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from imgvec_pg.embedding.embedder import Embedder, Float32Array
from imgvec_pg.embedding.known_models import IMAGENET, LAION_L, MOBILE, OPENAI

ITSELF = ""
"""The label of a model that is run as its weights want it."""
BGR = "channels in the order blue, green, red"

# Whose mean and std scripts take for another model's: OpenCLIP's default, Inception's and SigLIP's, ImageNet's, none.
KNOWN_NORMALISATIONS = {
    "OpenAI's mean and std": (OPENAI.mean, OPENAI.std),
    "mean and std of 0.5": (LAION_L.mean, LAION_L.std),
    "ImageNet's mean and std": (IMAGENET.mean, IMAGENET.std),
    "no mean and std": (MOBILE.mean, MOBILE.std),
}


@dataclass(frozen=True)
class Variant:
    """One way to run a model.

    Attributes:
        preprocessing: What is done to the pictures otherwise, "with OpenAI's mean and std"; "" as the weights want it.
        activation: "without quickgelu" or "with quickgelu"; "" for the architecture's own.
    """

    preprocessing: str = ITSELF
    activation: str = ""

    @property
    def label(self) -> str:
        """What to say behind the model's name; "" for the model itself."""
        return " and ".join(part for part in (self.activation, self.preprocessing) if part)


class ModelVariants(Protocol):
    """A loaded model with its variants; pictures are prepared once for all variants of the same preprocessing."""

    embedder: Embedder

    @property
    def variants(self) -> Sequence[Variant]:
        """All of them, the model itself first."""
        ...

    def prepare(self, image: Image.Image) -> dict[str, Any]:
        """Prepare one RGB image, by the name of each preprocessing."""
        ...

    def embed(self, variant: Variant, prepared: Sequence[dict[str, Any]]) -> Float32Array:
        """Embed n prepared images: shape (n, dimensions), float32, each row of L2 norm 1."""
        ...


class PlainVariants:
    """A model whose insides are its own affair: as it is, and with the colours of OpenCV's pictures."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.variants = (Variant(), Variant(f"with {BGR}"))

    def prepare(self, image: Image.Image) -> dict[str, Any]:
        """Prepare one RGB image, by the name of each preprocessing."""
        swapped = Image.fromarray(np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))
        return {
            "": self.embedder.prepare_image(image),
            f"with {BGR}": self.embedder.prepare_image(swapped),
        }

    def embed(self, variant: Variant, prepared: Sequence[dict[str, Any]]) -> Float32Array:
        """Embed n prepared images."""
        return self.embedder.embed_prepared([picture[variant.preprocessing] for picture in prepared])
