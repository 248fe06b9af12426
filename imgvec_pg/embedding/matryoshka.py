"""Fewer dimensions of a model: the first of them, brought to norm 1 again, as Matryoshka training makes possible.

The name says it, so every worker, cache of texts and function of the database has the same: NAME#dimensions=256 where the model
was trained for that, NAME#truncate=256 where somebody wants it all the same. Source: Kusupati et al., Matryoshka Representation
Learning, 2022, section 3.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imgvec_pg.embedding.description import ModelDescription
from imgvec_pg.embedding.embedder import Embedder, Float32Array
from imgvec_pg.errors import ModelError, ModelNotFoundError

TRAINED, FORCED = "dimensions", "truncate"
_SUFFIX = re.compile(rf"(?P<base>.+)[#&](?P<word>{TRAINED}|{FORCED})=(?P<number>[^#&]*)", re.DOTALL)

# By the last part of a model's name: the dimensions that it was trained to be cut to, None for any from the least to its own.
TRAINED_FOR: tuple[tuple[re.Pattern[str], tuple[int, ...], str], ...] = (
    (
        re.compile(r"jina-clip-v2"),
        (32, 64, 128, 256, 512, 768, 1024),
        "matryoshka_dimensions in config.json of jinaai/jina-clip-v2",
    ),
    (
        re.compile(r"embed-v4\.0"),
        (256, 512, 1024, 1536),
        "output_dimension in Cohere's documentation of Embed v4.0",
    ),
    (
        re.compile(r"qwen3-vl-embedding-(2b|8b)", re.IGNORECASE),
        (256, 512, 768, 1024, 1536, 2048, 3072, 4096),
        "MRL support in the README of QwenLM/Qwen3-VL-Embedding",
    ),
)


@dataclass(frozen=True)
class Shortening:
    """How a model's vectors are cut.

    Attributes:
        base: The name of the whole model.
        dimensions: How many are kept.
        is_forced: Whether the model need not have been trained for it.
    """

    base: str
    dimensions: int
    is_forced: bool


def split_name(name: str) -> Shortening | None:
    """Take the dimensions off a model's name; None where it says none.

    Raises:
        ModelNotFoundError: What it says is no whole number of at least 1.
    """
    found = _SUFFIX.fullmatch(name)
    if found is None:
        return None
    number = found["number"]
    if not (number.isascii() and number.isdecimal() and int(number[:9]) > 0 and len(number) < 7):
        raise ModelNotFoundError(
            f"{name!r} asks for {number!r} dimensions; expected a whole number, such as #{found['word']}=256"
        )
    return Shortening(found["base"], int(number), found["word"] == FORCED)


def whole_name(name: str) -> str:
    """Return a model's name without the dimensions that it is cut to."""
    found = _SUFFIX.fullmatch(name)
    return name if found is None else found["base"]


def with_dimensions(name: str, dimensions: int, *, is_forced: bool) -> str:
    """Return the name of a model cut to so many dimensions, in place of those that it may say already."""
    base = whole_name(name)
    # A model of a server may have prompts behind a # already.
    return f"{base}{'&' if '#' in base else '#'}{FORCED if is_forced else TRAINED}={dimensions}"


def trained_dimensions(base: str, stated: Sequence[int]) -> tuple[tuple[int, ...], str]:
    """Return the dimensions that a model was trained to be cut to, and who says so; none where nobody does.

    Args:
        stated: What the model's own configuration says.
    """
    if stated:
        return tuple(stated), "its own configuration"
    last = base.split("@http")[0].removeprefix("http:").split("@")[0].split("#")[0].rstrip("/").split("/")[-1]
    for pattern, dimensions, source in TRAINED_FOR:
        if pattern.fullmatch(last):
            return dimensions, source
    return (), ""


def check_shortening(short: Shortening, full: int, stated: Sequence[int]) -> None:
    """Refuse dimensions that a model does not have, or was not trained to be cut to.

    Args:
        full: The model's own dimensions.

    Raises:
        ModelError: It does so.
    """
    if short.dimensions >= full:
        raise ModelError(
            f"{short.base} has {full:,} dimensions, asked for are {short.dimensions:,}; expected fewer, or none said"
        )
    if short.is_forced:
        return
    trained, source = trained_dimensions(short.base, stated)
    if short.dimensions in trained:
        return
    forced = with_dimensions(short.base, short.dimensions, is_forced=True)
    advice = (
        f"to cut it all the same, at a loss that nobody measured, say --force-dimensions (the model {forced})"
    )
    if trained:
        offered = ", ".join(str(each) for each in trained if each < full)
        raise ModelError(
            f"{short.base} was trained to be cut to {offered} dimensions ({source}), not to {short.dimensions}; {advice}"
        )
    raise ModelError(
        f"{short.base} is not known to have been trained to be cut to fewer than its {full:,} dimensions; {advice}"
    )


def shorten_description(model: ModelDescription, short: Shortening) -> ModelDescription:
    """Describe a model cut to fewer dimensions.

    Raises:
        ModelError: It does not allow that.
    """
    check_shortening(short, model.dimensions, model.matryoshka)
    name = with_dimensions(model.name, short.dimensions, is_forced=short.is_forced)
    return replace(model, name=name, dimensions=short.dimensions, whole_dimensions=model.dimensions)


def whole_model(model: ModelDescription) -> ModelDescription:
    """Describe the model that a description is cut from; itself where it is whole."""
    if model.whole_dimensions is None:
        return model
    return replace(
        model, name=whole_name(model.name), dimensions=model.whole_dimensions, whole_dimensions=None
    )


class ShortenedEmbedder:
    """A loaded model whose vectors are cut to their first dimensions; all else is the model's own.

    Raises:
        ModelError: The model does not allow that.
    """

    def __init__(self, embedder: Embedder, short: Shortening, stated: Sequence[int] = ()) -> None:
        check_shortening(short, embedder.dimensions, stated)
        self._whole = embedder
        self.name = with_dimensions(embedder.name, short.dimensions, is_forced=short.is_forced)
        self.dimensions = short.dimensions
        # Whoever forced it has the same vectors as who was allowed to.
        parts = ("matryoshka 1", embedder.fingerprint, str(short.dimensions))
        self.fingerprint = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        self.precision = embedder.precision
        self.has_text = embedder.has_text
        self.logit_scale, self.logit_bias = embedder.logit_scale, embedder.logit_bias
        pictures: Float32Array | None = getattr(embedder, "golden_pictures", None)
        self.golden_pictures = None if pictures is None else shorten(pictures, short.dimensions)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - first_resize, text_length, weights_sha256, where there are such
        """Return what the whole model has beyond the protocol."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._whole, name)

    def prepare_image(self, image: Any) -> Any:  # noqa: ANN401
        """Prepare one image as the whole model does."""
        return self._whole.prepare_image(image)

    def embed_prepared(self, prepared: Sequence[Any]) -> Float32Array:
        """Embed n prepared images: shape (n, dimensions), float32, each row of L2 norm 1."""
        return shorten(self._whole.embed_prepared(prepared), self.dimensions)

    def embed_images(self, images: Sequence[Any]) -> Float32Array:
        """Embed n RGB images of any size: shape (n, dimensions), float32, each row of L2 norm 1."""
        return shorten(self._whole.embed_images(images), self.dimensions)

    def embed_texts(self, texts: Sequence[str]) -> Float32Array:
        """Embed n texts: shape (n, dimensions), float32, each row of L2 norm 1."""
        return shorten(self._whole.embed_texts(texts), self.dimensions)


def shorten(vectors: Float32Array, dimensions: int) -> Float32Array:
    """Return the first dimensions of vectors at norm 1, shape (n, dimensions); what is zero or not finite stays so."""
    kept = vectors[:, :dimensions].astype(np.float64)
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(kept, axis=1, keepdims=True)
        unit = np.where(norms > 0, kept / norms, kept)
    return unit.astype(np.float32)
