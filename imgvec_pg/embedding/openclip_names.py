"""Names of OpenCLIP's architectures and pretrained tags, read from its package.

Architectures are JSON files and need no torch. Tags are Python code inside open_clip, whose import brings
torch along (seconds), so they are asked for only when the name is not in our own catalogue.
"""

import difflib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from imgvec_pg.embedding.description import ModelDescription, Preprocessing
from imgvec_pg.embedding.runtime import import_open_clip, require_models_extra
from imgvec_pg.errors import ModelNotFoundError

# open-clip-torch 3.3 src/open_clip/constants.py: HF_SAFE_WEIGHTS_NAME
SAFE_WEIGHTS_NAME = "open_clip_model.safetensors"


@cache
def open_clip_folder() -> Path:
    """Return the folder of the installed open_clip package, without importing it.

    Raises:
        MissingExtraError: It is not installed.
    """
    require_models_extra("telling OpenCLIP's architectures")
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None  # noqa: S101 - just looked for
    assert spec.origin is not None  # noqa: S101
    return Path(spec.origin).parent


def architecture_names() -> list[str]:
    """Return every architecture that the installed OpenCLIP can build."""
    return sorted(path.stem for path in (open_clip_folder() / "model_configs").glob("*.json"))


def architecture_config(architecture: str) -> dict[str, Any]:
    """Return OpenCLIP's configuration of one architecture.

    Raises:
        ModelNotFoundError: OpenCLIP has no such architecture.
    """
    if architecture not in architecture_names():  # a listed name only: never a path made from user input
        raise ModelNotFoundError(f"OpenCLIP has no architecture {architecture!r}")
    path = open_clip_folder() / "model_configs" / f"{architecture}.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config


def describe_open_clip_model(architecture: str, tag: str) -> ModelDescription:
    """Describe an architecture with one of its published weights.

    Raises:
        ModelNotFoundError: Unknown architecture or tag, or weights trained with another activation.
    """
    config = architecture_config(architecture)
    open_clip = import_open_clip()
    tag = canonical_tag(tag)
    published: dict[str, Any] = open_clip.get_pretrained_cfg(architecture, tag)
    if not published:
        names = usable_names()
        own = [name for name in names if name.startswith(f"{architecture}/")]
        own += [name for name in names if name.startswith(f"{architecture}-quickgelu/")]
        wanted = f"{architecture}/{tag}"
        raise ModelNotFoundError(
            f"{architecture} has no weights called {tag!r}: {nearest(wanted, names, otherwise=own)}"
        )
    if is_other_activation(config, published):
        # open_clip builds plain GELU here and merely warns.
        raise ModelNotFoundError(
            f"the weights {tag!r} were trained with QuickGELU, {architecture} computes plain GELU and would "
            f"give wrong vectors: use {architecture}-quickgelu/{tag}"
        )
    repository, _, filename = published.get("hf_hub", "").rpartition("/")
    return ModelDescription(
        name=f"{architecture}/{tag}",
        architecture=architecture,
        pretrained=tag,
        dimensions=int(config["embed_dim"]),
        has_text=True,
        image_size=image_size_of(config),
        preprocessing=Preprocessing(
            mean=tuple(published["mean"]),
            std=tuple(published["std"]),
            interpolation=published["interpolation"],
            resize_mode=published["resize_mode"],
        ),
        hub_repository=repository,
        half=half_precision_of(config),
        scoring="sigmoid" if config.get("init_logit_bias") is not None else "softmax",
        hub_filename=str(Path(filename).with_suffix(".safetensors")) if filename else SAFE_WEIGHTS_NAME,
    )


def usable_names() -> list[str]:
    """Return every model that OpenCLIP publishes, save weights under an architecture of another activation."""
    open_clip = import_open_clip()
    return [
        f"{architecture}/{tag}"
        for architecture, tag in open_clip.list_pretrained()
        if not is_other_activation(
            architecture_config(architecture), open_clip.get_pretrained_cfg(architecture, tag)
        )
    ]


def is_other_activation(config: Mapping[str, Any], published: Mapping[str, Any]) -> bool:
    """Whether weights were trained with QuickGELU and the architecture computes plain GELU."""
    return bool(published.get("quick_gelu")) and not config.get("quick_gelu")


def half_precision_of(config: Mapping[str, Any]) -> str:
    """Return the half precision that suits a model: fp16 for convolutions (ResNet, FastViT, ConvNeXt).

    "fp32" where open_clip converts only some of the layers, so that none would run (CoCa, text towers of the hub).
    """
    vision = config["vision_cfg"]
    if "timm_model_name" not in vision and (
        vision.get("attentional_pool") or "hf_model_name" in config["text_cfg"]
    ):
        return "fp32"
    name = vision.get("timm_model_name") or "vit_"
    return "bf16" if name.startswith(("vit_", "eva")) and isinstance(vision.get("layers", 0), int) else "fp16"


def canonical_tag(tag: str) -> str:
    """Spell a tag as OpenCLIP keeps it, so that one model has one name."""
    return tag.lower().replace("-", "_")


def image_size_of(config: dict[str, Any]) -> tuple[int, int]:
    """Return height and width of the input from a model configuration."""
    size = config["vision_cfg"].get("image_size", 224)  # open_clip.model.CLIPVisionCfg.image_size
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))


def nearest(
    wanted: str,
    known: Iterable[str],
    otherwise: Iterable[str] = (),
    fallback: str = "a name looks like ViT-L-14/laion2b_s32b_b82k",
) -> str:
    """Say which known names, other than the wanted one, are nearest to it."""
    by_lower = {name.lower(): name for name in known if name != wanted}
    close = difflib.get_close_matches(wanted.lower(), by_lower, n=40, cutoff=0.6)
    # Of equally near ones difflib gives the alphabet's last first: a3 before a1.
    close.sort(key=lambda name: (-difflib.SequenceMatcher(None, name, wanted.lower()).ratio(), name))
    names = [by_lower[name] for name in close[:4]] or list(otherwise)[:8]
    if not names:
        return fallback
    return "the nearest names are " + ", ".join(names)
