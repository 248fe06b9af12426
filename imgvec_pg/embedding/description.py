"""Description of a model before its weights are read: dimensions, preprocessing, precision."""

from dataclasses import dataclass
from pathlib import Path

OPEN_CLIP, TIMM, TRANSFORMERS, PLUGIN = "open_clip", "timm", "transformers", "plugin"


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the model's input; it belongs to the weights, not to the architecture."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    """"shortest" edge then centre crop, "longest" edge then pad, or "squash" to the square."""


@dataclass(frozen=True)
class ModelFacts:
    """Facts of a catalogued model for choosing it; loading needs none of them."""

    best_for: str
    licence: str
    """Of the published weights."""
    gflops: float
    """Of one image, 10^9 operations; a multiplication with its addition counts as two."""
    parameters: float
    """Of the whole model, in millions."""
    image_parameters: float
    """Of the part that embeds images, in millions."""
    family: str = ""

    def memory_gb(self, precision: str) -> float:
        """Return the weights' size in memory in GB (10^9 bytes); a batch comes on top."""
        return self.parameters * 1e6 * (4 if precision == "fp32" else 2) / 1e9

    def images_per_second(self, peak_gflops: float, share: float) -> float:
        """Return the expected rate on a device of that matrix peak, of which `share` is reached."""
        return peak_gflops * share / self.gflops


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
    """A folder that holds the whole model: in OpenCLIP's local-dir format, or as transformers saves it."""
    library: str = OPEN_CLIP
    """Who builds the network: OPEN_CLIP, TIMM, TRANSFORMERS, or PLUGIN for a team's own."""
    crop_share: float = 1.0
    """timm's crop_pct: the middle of the resized image that is used."""
    scoring: str = ""
    """How similarities become probabilities: "softmax" (CLIP), "sigmoid" (SigLIP); "" without words or where unknown."""
    half: str = "bf16"
    """The half precision that suits it: deep convolutions lose too much in bf16 (cosine 0.995), not in fp16; "fp32": none."""
    facts: ModelFacts | None = None
    revision: str = ""
    """The commit of the hub's repository that is on this machine; "" where the name says no repository."""
    licence: str = ""
    """As the repository's card has it; "" where it says none. A catalogued model's is in its facts."""
    processor: str = ""
    """The class of transformers that prepares the pictures, in place of `preprocessing`."""
    pooling: str = ""
    """Which output of a network without words is the vector, in words."""
    matryoshka: tuple[int, ...] = ()
    """The dimensions that it was trained to be cut to, as its own configuration says."""
    whole_dimensions: int | None = None
    """How many the model has of its own where its name cuts it to fewer, None elsewhere."""
