"""Variants of OpenCLIP's and timm's models: another activation, mean and std, resize, order of colours."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from imgvec_pg.embedding.description import TIMM, ModelDescription
from imgvec_pg.embedding.embedder import IMAGES_AT_ONCE, Embedder, Float32Array
from imgvec_pg.embedding.torch_models.openclip_network import inference_transform
from imgvec_pg.embedding.torch_models.preprocess import DeviceInput, pixels_of, split_transform
from imgvec_pg.embedding.torch_models.timm_embedder import timm_transform
from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder
from imgvec_pg.embedding.torch_models.variants import BGR, KNOWN_NORMALISATIONS, Variant
from imgvec_pg.errors import ModelError

RESIZES = {"shortest": "resized to its shorter side and cropped", "squash": "squashed to the square"}
INTERPOLATIONS = {"bicubic": "resized bicubically", "bilinear": "resized bilinearly"}


@dataclass(frozen=True)
class Preparation:
    """One way to make a picture the network's input.

    Attributes:
        resize: The name under which equal pixels are kept once, whatever mean and std are taken from them.
    """

    resize: str
    apply: Callable[[Image.Image], Image.Image]
    input: DeviceInput
    swaps_colours: bool = False


class TorchVariants:
    """A loaded OpenCLIP or timm model and its variants; all run the same network.

    Raises:
        ModelError: It is none of these.
    """

    def __init__(self, embedder: Embedder, model: ModelDescription) -> None:
        if not isinstance(embedder, TorchEmbedder) or model.preprocessing is None:
            raise ModelError(f"{model.name} has no preprocessing that could be another")
        self.embedder: Embedder = embedder
        self._torch = embedder
        self._network: Any = embedder.network
        self._preparations = self._make_preparations(model)
        activations = ("", self._other_activation()) if self._activations() else ("",)
        self.variants = tuple(
            Variant(preprocessing, activation)
            for activation in activations
            for preprocessing in self._preparations
        )

    def prepare(self, image: Image.Image) -> dict[str, torch.Tensor]:
        """Resize one RGB image in each way: shape (height, width, 3), uint8, by the name of the resize."""
        made: dict[str, torch.Tensor] = {}
        for preparation in self._preparations.values():
            if preparation.resize not in made:
                made[preparation.resize] = pixels_of(preparation.apply(image))
        return made

    def embed(self, variant: Variant, prepared: Sequence[Mapping[str, torch.Tensor]]) -> Float32Array:
        """Embed n prepared images: shape (n, dimensions), float32, each row of L2 norm 1."""
        preparation = self._preparations[variant.preprocessing]
        parts = []
        with torch.inference_mode(), self._activated(variant):
            for start in range(0, len(prepared), IMAGES_AT_ONCE):
                pixels = [picture[preparation.resize] for picture in prepared[start : start + IMAGES_AT_ONCE]]
                if preparation.swaps_colours:
                    pixels = [picture.flip(-1) for picture in pixels]
                parts.append(self._torch.normalised(self._torch.encode(preparation.input.batch(pixels))))
        return np.concatenate(parts)

    def _make_preparations(self, model: ModelDescription) -> dict[str, Preparation]:
        assert model.preprocessing is not None  # noqa: S101 - looked at before
        own = model.preprocessing
        itself = self._preparation("", model)
        made = {"": itself}
        for title, (mean, std) in KNOWN_NORMALISATIONS.items():
            if not (np.allclose(mean, own.mean) and np.allclose(std, own.std)):
                normalised = self._input(mean, std)
                made[f"with {title}"] = replace(itself, input=normalised)
        for mode, title in RESIZES.items():
            if model.library != TIMM and mode != own.resize_mode:
                other = replace(model, preprocessing=replace(own, resize_mode=mode))
                made[title] = self._preparation(title, other)
        for interpolation, title in INTERPOLATIONS.items():
            if interpolation != own.interpolation:
                other = replace(model, preprocessing=replace(own, interpolation=interpolation))
                made[title] = self._preparation(title, other)
        if model.library == TIMM and model.crop_share < 1:
            title = "resized without a margin"
            made[title] = self._preparation(title, replace(model, crop_share=1.0))
        made[f"with {BGR}"] = replace(itself, swaps_colours=True)
        return made

    def _preparation(self, resize: str, model: ModelDescription) -> Preparation:
        assert model.preprocessing is not None  # noqa: S101
        if model.library == TIMM:
            transform = timm_transform(model)
        else:
            changed = {
                "interpolation": model.preprocessing.interpolation,
                "resize_mode": model.preprocessing.resize_mode,
            }
            transform = inference_transform({**self._network.visual.preprocess_cfg, **changed})
        apply, mean, std = split_transform(model.name, transform)
        return Preparation(resize, apply, self._input(mean, std))

    def _input(self, mean: Sequence[float], std: Sequence[float]) -> DeviceInput:
        return self._torch.make_input(mean, std)

    def _activations(self) -> list[tuple[torch.nn.Module, str]]:
        """Return where OpenCLIP's own image tower has its activation: the module around it and its name there."""
        from open_clip.transformer import QuickGELU, VisionTransformer

        tower = getattr(self._network, "visual", None)
        if not isinstance(tower, VisionTransformer):
            return []
        return [
            (module, name)
            for module in tower.modules()
            for name, child in module.named_children()
            if type(child) in (QuickGELU, torch.nn.GELU)
        ]

    def _other_activation(self) -> str:
        module, name = self._activations()[0]
        is_plain = type(getattr(module, name)) is torch.nn.GELU
        return "with quickgelu" if is_plain else "without quickgelu"

    @contextmanager
    def _activated(self, variant: Variant) -> Iterator[None]:
        """Have the network compute with the variant's activation."""
        from open_clip.transformer import QuickGELU

        places = self._activations() if variant.activation else []
        own = [(module, name, getattr(module, name)) for module, name in places]
        other = QuickGELU() if variant.activation == "with quickgelu" else torch.nn.GELU()
        for module, name in places:
            setattr(module, name, other)
        try:
            yield
        finally:
            for module, name, child in own:
                setattr(module, name, child)
