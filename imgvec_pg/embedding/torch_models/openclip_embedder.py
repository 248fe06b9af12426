"""Embedder for OpenCLIP models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from imgvec_pg.embedding.checksums import fingerprint_model
from imgvec_pg.embedding.description import ModelDescription
from imgvec_pg.embedding.embedder import Float32Array, TextLength
from imgvec_pg.embedding.resize import first_resize
from imgvec_pg.embedding.torch_models.openclip_network import (
    build_network,
    device_errors,
    inference_transform,
    network_config,
)
from imgvec_pg.embedding.torch_models.tokenizer import (
    CLIP_CONTEXT_LENGTH,
    Tokenizer,
    count_tokens,
    load_tokenizer,
    tokenizer_identity,
)
from imgvec_pg.embedding.torch_models.torch_embedder import TorchEmbedder
from imgvec_pg.embedding.weights import model_directory_folder

TEXTS_AT_ONCE = 256


class OpenClipEmbedder(TorchEmbedder):
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
        super().__init__(model, weights, device, precision)
        config = network_config(model)
        self._text_config: Mapping[str, Any] = config["text_cfg"]
        # A model's own folder must hold its tokenizer; one in IMGVEC_MODEL_DIR may hold a copy.
        self._own_tokenizer = model.folder is not None
        self._tokenizer_folder = model.folder or model_directory_folder(model)
        self._tokenizer: Tokenizer | None = None
        tokenizer = tokenizer_identity(model.name, self._text_config, model.folder)
        self.network = self.folded(build_network(model, self.weights, self.device, self.precision))
        preprocessing = self.network.visual.preprocess_cfg
        self.fingerprint = fingerprint_model(self.weights_sha256, config, preprocessing, tokenizer)
        self.use_transform(inference_transform(preprocessing))
        self.first_resize = first_resize(preprocessing)
        self.logit_scale = float(self.network.logit_scale.float().exp())
        bias = self.network.logit_bias
        self.logit_bias = None if bias is None else float(bias.float())

    def image_encoder(self) -> torch.nn.Module:
        """Return OpenCLIP's image tower."""
        tower: torch.nn.Module = self.network.visual
        return tower

    def encode(self, batch: torch.Tensor) -> torch.Tensor:
        """Return OpenCLIP's image features of a normalised batch."""
        features: torch.Tensor = self.network.encode_image(batch)
        return features

    def embed_texts(self, texts: Sequence[str]) -> Float32Array:
        """Embed n texts: shape (n, dimensions), float32, each row of L2 norm 1.

        Raises:
            MissingExtraError: The tokenizer needs a package that is not installed.
            ModelError: The tokenizer cannot be loaded, or the model gave a vector without direction.
        """
        if isinstance(texts, str):  # a str is a sequence of letters: almost surely a slip
            raise TypeError("embed_texts takes a list of texts, not one str")
        tokenizer = self._loaded_tokenizer()
        parts = [np.empty((0, self.dimensions), dtype=np.float32)]
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            some = list(texts[start : start + TEXTS_AT_ONCE])
            with torch.inference_mode(), device_errors(self.name, len(some), self.device, self.precision):
                parts.append(self.normalised(self.network.encode_text(tokenizer(some).to(self.device))))
        return np.concatenate(parts)

    def text_length(self, text: str) -> TextLength:
        """Return how long a text is to this model, and how much of it the model reads.

        Raises:
            MissingExtraError, ModelError: The tokenizer cannot be loaded.
        """
        context_length = int(self._text_config.get("context_length", CLIP_CONTEXT_LENGTH))
        return TextLength(count_tokens(self._loaded_tokenizer(), text), context_length)

    def _loaded_tokenizer(self) -> Tokenizer:
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(
                self.name, self._text_config, self._tokenizer_folder, own_files=self._own_tokenizer
            )
        return self._tokenizer
