"""What is known of a model before its weights are read."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input; it belongs to the weights, not to the architecture."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    """"shortest" edge then centre crop, "longest" edge then pad, or "squash" to the square."""


@dataclass(frozen=True)
class ModelDescription:
    """One model: what a collection must know before it is created, and where its weights are published."""

    name: str
    """What users type, in canonical spelling: "ViT-L-14/laion2b_s32b_b82k", "demo", "local-dir:/path"."""
    architecture: str
    """An OpenCLIP architecture; the model's own name where it is none."""
    pretrained: str
    """The OpenCLIP tag; "" for a folder or a team's own embedder."""
    dimensions: int
    has_text: bool
    image_size: tuple[int, int] | None = None
    """Height and width of the input in pixels; None where the embedder keeps it to itself."""
    preprocessing: Preprocessing | None = None
    hub_repository: str = ""
    """"organisation/name" on the Hugging Face hub."""
    hub_filename: str = "open_clip_model.safetensors"
    folder: Path | None = None
    """A folder in OpenCLIP's local-dir format that holds the whole model."""
