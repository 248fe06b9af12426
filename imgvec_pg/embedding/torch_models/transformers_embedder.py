"""Embedder for models of transformers: their own processor, network and tokenizer."""

import hashlib
import inspect
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from imgvec_pg.embedding.checksums import fingerprint_model, sha256_of, verified_sha256
from imgvec_pg.embedding.description import ModelDescription
from imgvec_pg.embedding.embedder import Float32Array, SimpleEmbedder, TextLength, embed_in_batches
from imgvec_pg.embedding.hub.hub_files import is_offline
from imgvec_pg.embedding.hub.hub_name import parse_hub_name
from imgvec_pg.embedding.hub.pooling import features_of, pooled
from imgvec_pg.embedding.hub.snapshot import find_snapshot
from imgvec_pg.embedding.hub.transformers_config import (
    CONFIG_NAME,
    PROCESSOR_NAMES,
    quiet_transformers,
    read_transformers_config,
)
from imgvec_pg.embedding.runtime import (
    import_transformers,
    one_line,
    resolve_device,
    resolve_precision,
    torch_dtype,
)
from imgvec_pg.embedding.torch_models.openclip_network import device_errors
from imgvec_pg.embedding.torch_models.torch_embedder import unit_vectors
from imgvec_pg.embedding.torch_models.transformers_files import code_sha256, stated_json, transformers_weights
from imgvec_pg.errors import MissingExtraError, ModelError

TEXTS_AT_ONCE = 256
NO_LIMIT = 1_000_000
"""A tokenizer that was saved without its longest text says 10^30 (transformers' VERY_LARGE_INTEGER)."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)

Prepared = dict[str, torch.Tensor]


class TransformersEmbedder(SimpleEmbedder):
    """A model transformers:org/name or transformers:/path.

    It has no `first_resize`: processors resize by torchvision on tensors, whose pixels differ from Pillow's, and SigLIP 2
    NaFlex to as many patches as fit. So pictures arrive as they were decoded.
    """

    def __init__(self, model: ModelDescription, *, device: str = "auto", precision: str = "auto") -> None:
        """Load a model.

        Raises:
            MissingExtraError: The extra `hub` is not installed, or code of the model needs another package.
            WeightsMissingError: Its files are not on this machine and cannot be fetched.
            ModelError: They do not fit each other, or the device cannot compute so.
        """
        named = parse_hub_name(model.name)
        folder = find_snapshot(named, with_weights=True)
        self._model = read_transformers_config(named, folder)
        self.name, self.dimensions = model.name, self._model.dimensions
        self.has_text = self._model.pooling is None
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device, self._model.half)
        self._dtype = torch_dtype(self.precision)
        files = transformers_weights(model.name, folder)
        sums = [verified_sha256(file) for file in files]
        self.weights_sha256 = (
            sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()
        )
        with quiet_transformers():
            self._processor = self._load_part(folder, "AutoImageProcessor")
            self._tokenize: Any = self._load_part(folder, "AutoProcessor") if self.has_text else None
            self.network = self._load_network(folder)
        self.logit_scale, self.logit_bias = _scale_and_bias(self.network) if self.has_text else (None, None)
        self._tokenizing = threading.Lock()
        self.fingerprint = self._make_fingerprint(folder)

    def prepare_image(self, image: Image) -> Prepared:
        """Return what the model's own processor makes of one RGB image, without the axis of the batch."""
        made = self._processor(images=image.convert("RGB"), return_tensors="pt")
        return {name: value[0] for name, value in made.items() if isinstance(value, torch.Tensor)}

    def embed_prepared(self, prepared: Sequence[Prepared]) -> Float32Array:
        """Embed n prepared images, those of one size in one pass: shape (n, dimensions), float32, each row of L2 norm 1.

        Raises:
            MemoryError: The batch does not fit on the device; a smaller one may.
            ModelError: The model gave a vector without direction, or of other dimensions than its configuration says.
        """
        embedded = np.empty((len(prepared), self.dimensions), dtype=np.float32)
        with torch.inference_mode(), device_errors(self.name, len(prepared), self.device, self.precision):
            for places in _places_by_shape(prepared):
                batch = {
                    name: torch.stack([prepared[place][name] for place in places])
                    for name in prepared[places[0]]
                }
                embedded[places] = self._unit(self._image_features(self._on_device(batch)))
        return embedded

    def embed_images(self, images: Sequence[Image]) -> Float32Array:
        """Embed n RGB images of any size: shape (n, dimensions), float32, each row of L2 norm 1."""
        return embed_in_batches(self, images)

    def embed_texts(self, texts: Sequence[str]) -> Float32Array:
        """Embed n texts: shape (n, dimensions), float32, each row of L2 norm 1.

        Raises:
            ModelError: The model has no text tower, or gave a vector without direction.
        """
        if isinstance(texts, str):  # a str is a sequence of letters: almost surely a slip
            raise TypeError("embed_texts takes a list of texts, not one str")
        if not self.has_text:
            return super().embed_texts(texts)
        parts = [np.empty((0, self.dimensions), dtype=np.float32)]
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            some = list(texts[start : start + TEXTS_AT_ONCE])
            with torch.inference_mode(), device_errors(self.name, len(some), self.device, self.precision):
                parts.append(self._unit(features_of(self.network.get_text_features(**self._tokens(some)))))
        return np.concatenate(parts)

    def text_length(self, text: str) -> TextLength:
        """Return how long a text is to this model, and how much of it the model reads."""
        with self._tokenizing:
            # Not verbose: transformers would warn on stderr of a text that is longer.
            tokens = len(self._tokenizer(text, verbose=False)["input_ids"])
        return TextLength(tokens, self._context_length())

    @property
    def _tokenizer(self) -> Any:  # noqa: ANN401 - one of transformers' many
        return getattr(self._tokenize, "tokenizer", self._tokenize)

    def _context_length(self) -> int:
        text = getattr(self._model.config, "text_config", None)
        longest = getattr(text, "max_position_embeddings", None)
        limit = int(getattr(self._tokenizer, "model_max_length", NO_LIMIT))
        # A tower of SigLIP has a place for each of its 64 tokens, whatever its tokenizer was made for.
        return min(limit, longest) if isinstance(longest, int) else min(limit, NO_LIMIT)

    def _tokens(self, texts: list[str]) -> dict[str, torch.Tensor]:
        padding = "max_length" if self._model.pads_texts else True
        # One thread at a time: tokenizers keep padding and truncation as their state ("Already borrowed" otherwise).
        with self._tokenizing:
            made = self._tokenize(
                text=texts,
                padding=padding,
                truncation=True,
                max_length=self._context_length(),
                return_tensors="pt",
            )
        return {
            name: value.to(self.device) for name, value in made.items() if isinstance(value, torch.Tensor)
        }

    def _on_device(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {
            name: value.to(self.device, self._dtype if value.is_floating_point() else None)
            for name, value in batch.items()
        }

    def _image_features(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        pooling = self._model.pooling
        if pooling is None:
            features: torch.Tensor = features_of(self.network.get_image_features(**batch))
        else:
            features = pooled(self.network(**batch), pooling.rule)
        return features

    def _unit(self, features: torch.Tensor) -> Float32Array:
        if features.ndim != 2 or features.shape[1] != self.dimensions:
            raise ModelError(
                f"{self.name} gave vectors of shape {tuple(features.shape[1:])}, its configuration says {self.dimensions} "
                "dimensions"
            )
        return unit_vectors(self.name, self.precision, features)

    def _load_part(self, folder: Path, kind: str) -> Any:  # noqa: ANN401
        """Load a processor by one of transformers' Auto classes."""
        auto = getattr(import_transformers(f"loading the model {self.name}"), kind)
        try:
            return auto.from_pretrained(folder, **self._trust())
        except ImportError as error:
            raise MissingExtraError(
                f"the processor of {self.name} needs one more package ({one_line(error)}): install it"
            ) from error
        except Exception as error:  # transformers raises OSError, ValueError, KeyError; foreign code anything
            raise ModelError(f"{self.name}: its processor cannot be loaded: {one_line(error)}") from error

    def _load_network(self, folder: Path) -> Any:  # noqa: ANN401
        """Load the network with all of its weights, which transformers fills with random numbers where they are missing."""
        transformers = import_transformers(f"loading the model {self.name}")
        options = dict(self._model.pooling.options) if self._model.pooling is not None else {}
        try:
            network, told = transformers.AutoModel.from_pretrained(
                folder,
                config=self._model.config,
                use_safetensors=True,
                output_loading_info=True,
                dtype=self._dtype,
                **options,
                **self._trust(),
            )
        except ImportError as error:
            raise MissingExtraError(
                f"{self.name} needs one more package ({one_line(error)}): install it"
            ) from error
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{self.name} does not fit into the memory of {self.device}: {one_line(error)}"
            ) from error
        except Exception as error:
            raise ModelError(
                f"{self.name} cannot be built from its configuration and weights: {one_line(error)}"
            ) from error
        wrong = sorted({*told["missing_keys"], *map(str, told.get("mismatched_keys") or ())})
        if wrong:
            raise ModelError(
                f"the weights of {self.name} lack {len(wrong)} of its network's tensors ({wrong[0]}), which would be random: "
                "they are of another model, or of another part of one"
            )
        if self.has_text and not (
            hasattr(network, "get_image_features") and hasattr(network, "get_text_features")
        ):
            raise ModelError(
                f"{self.name} is built as {type(network).__name__}, which has no get_image_features and get_text_features"
            )
        return network.to(self.device).eval().requires_grad_(False)

    def _trust(self) -> dict[str, Any]:
        """Return whose code may run, and whether it may be looked for on the hub: a repository may name another one's."""
        return {
            "trust_remote_code": self._model.code,
            "local_files_only": not self._model.code or is_offline(),
        }

    def _make_fingerprint(self, folder: Path) -> str:
        """Return the SHA-256 (hex) over all that decides the vectors: the content of the commit's files, not the commit.

        So another commit that only changed a card is the same model, and one that changed anything else is another.
        """
        config: dict[str, Any] = {
            "transformers": stated_json(folder / CONFIG_NAME),
            "pooling": str(self._model.pooling),
        }
        if self._model.code:
            parts = (self.network, self._processor, self._tokenize)
            config["code"] = code_sha256(inspect.getfile(type(part)) for part in parts if part is not None)
        preprocessing: dict[str, Any] = {name: stated_json(folder / name) for name in PROCESSOR_NAMES}
        # The class of today: Pillow's and torchvision's resize give other pixels.
        preprocessing["class"] = type(self._processor).__name__
        present = [folder / name for name in TOKENIZER_FILES if self.has_text and (folder / name).is_file()]
        return fingerprint_model(
            self.weights_sha256, config, preprocessing, {file.name: sha256_of(file) for file in present}
        )


def _places_by_shape(prepared: Sequence[Prepared]) -> list[list[int]]:
    """Return the places of the images whose tensors can be stacked, as not every processor crops to one size."""
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for place, one in enumerate(prepared):
        groups.setdefault(tuple(tuple(value.shape) for value in one.values()), []).append(place)
    return list(groups.values())


def _scale_and_bias(network: Any) -> tuple[float | None, float | None]:  # noqa: ANN401
    scale, bias = getattr(network, "logit_scale", None), getattr(network, "logit_bias", None)
    return (
        None if scale is None else float(scale.detach().float().exp()),
        None if bias is None else float(bias.detach().float()),
    )
