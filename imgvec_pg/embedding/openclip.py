"""The embedder for OpenCLIP models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from imgvec_pg.embedding.description import ModelDescription
from imgvec_pg.embedding.embedder import Float32Array
from imgvec_pg.embedding.fingerprint import fingerprint_model
from imgvec_pg.embedding.network import build_network, inference_transform, memory_errors, network_config
from imgvec_pg.embedding.resize import first_resize
from imgvec_pg.embedding.runtime import resolve_device, resolve_precision, torch_dtype
from imgvec_pg.embedding.tokenizer import Tokenizer, load_tokenizer, tokenizer_identity
from imgvec_pg.embedding.weights import find_weights, model_directory_folder
from imgvec_pg.errors import ModelError

IMAGES_AT_ONCE = 64
TEXTS_AT_ONCE = 256


class OpenClipEmbedder:
    """An OpenCLIP model with its weights, its preprocessing and its tokenizer."""

    def __init__(
        self,
        model: ModelDescription,
        *,
        weights: Path | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Load a model.

        Args:
            model: What `describe_model` says of it.
            weights: A safetensors file to use instead of the published one.
            device: "auto", "cpu", "cuda" or "cuda:n".
            precision: "auto", "fp32", "bf16" or "fp16".

        Raises:
            WeightsMissingError: The weights are not on this machine and cannot be fetched.
            ModelError: They do not fit the model, or the device cannot compute so.
        """
        self.name = model.name
        self.dimensions = model.dimensions
        self.has_text = model.has_text
        self._device = resolve_device(device)
        self.precision = resolve_precision(precision, self._device)
        self._dtype = torch_dtype(self.precision)
        file = find_weights(model, weights)
        config = network_config(model)
        self._text_config: Mapping[str, Any] = config["text_cfg"]
        # A model's own folder must hold its tokenizer; one in IMGVEC_MODEL_DIR may hold a copy.
        self._own_tokenizer = model.folder is not None
        self._tokenizer_folder = model.folder or model_directory_folder(model)
        self._tokenizer: Tokenizer | None = None
        tokenizer = tokenizer_identity(model.name, self._text_config, model.folder)
        self._network = build_network(model, file, self._device, self.precision)
        preprocessing = self._network.visual.preprocess_cfg
        self.fingerprint = fingerprint_model(file, config, preprocessing, tokenizer)
        self._transform = inference_transform(preprocessing)
        self.first_resize = first_resize(preprocessing)
        self.logit_scale: float | None = float(self._network.logit_scale.float().exp())
        bias = self._network.logit_bias
        self.logit_bias: float | None = None if bias is None else float(bias.float())

    def prepare_image(self, image: Image) -> torch.Tensor:
        """Resize, crop and normalise one RGB image: shape (3, height, width), float32, on the CPU."""
        prepared: torch.Tensor = self._transform(image)
        return prepared

    def embed_prepared(self, prepared: Sequence[torch.Tensor]) -> Float32Array:
        """Embed n prepared images in one pass: shape (n, dimensions), float32, each row of L2 norm 1.

        Raises:
            MemoryError: The batch does not fit on the device; a smaller one may.
            ModelError: The model gave a vector without direction.
        """
        if not prepared:
            return np.empty((0, self.dimensions), dtype=np.float32)
        with torch.inference_mode(), memory_errors(len(prepared), self._device):
            batch = torch.stack(list(prepared)).to(device=self._device, dtype=self._dtype)
            return self._normalised(self._network.encode_image(batch))

    def embed_images(self, images: Sequence[Image]) -> Float32Array:
        """Embed n RGB images of any size: shape (n, dimensions), float32, each row of L2 norm 1."""
        parts = [
            self.embed_prepared(
                [self.prepare_image(image) for image in images[start : start + IMAGES_AT_ONCE]]
            )
            for start in range(0, len(images), IMAGES_AT_ONCE)
        ]
        return np.concatenate(parts) if parts else self.embed_prepared([])

    def embed_texts(self, texts: Sequence[str]) -> Float32Array:
        """Embed n texts: shape (n, dimensions), float32, each row of L2 norm 1.

        Raises:
            MissingExtraError: The tokenizer needs a package that is not installed.
            ModelError: The tokenizer cannot be loaded, or the model gave a vector without direction.
        """
        if isinstance(texts, str):  # a str is a sequence of letters: almost surely a slip
            raise TypeError("embed_texts takes a list of texts, not one str")
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(
                self.name, self._text_config, self._tokenizer_folder, own_files=self._own_tokenizer
            )
        parts = [np.empty((0, self.dimensions), dtype=np.float32)]
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            some = list(texts[start : start + TEXTS_AT_ONCE])
            with torch.inference_mode(), memory_errors(len(some), self._device):
                parts.append(
                    self._normalised(self._network.encode_text(self._tokenizer(some).to(self._device)))
                )
        return np.concatenate(parts)

    def _normalised(self, features: torch.Tensor) -> Float32Array:
        """Normalise in float32: in bf16 a norm is off by more than the embedding tables accept."""
        features = features.float()
        norms = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
        if not bool(torch.isfinite(norms).all()) or not bool((norms > 0).all()):
            raise ModelError(
                f"{self.name} gave a vector of norm 0 or not a number in {self.precision}: "
                "check its weights, or use --precision fp32"
            )
        array: Float32Array = (features / norms).cpu().numpy()
        return array
