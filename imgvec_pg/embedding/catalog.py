"""Which models there are, by name. Neither importing this module nor a catalogued name imports torch."""

from pathlib import Path

from imgvec_pg.embedding.architectures import (
    architecture_names,
    canonical_tag,
    describe_open_clip_model,
    nearest,
)
from imgvec_pg.embedding.description import ModelDescription, Preprocessing
from imgvec_pg.embedding.localdir import describe_folder
from imgvec_pg.embedding.plugins import find_plugin, load_plugin
from imgvec_pg.errors import ModelNotFoundError

LOCAL_DIR_PREFIX = "local-dir:"
DEMO_NAME = "demo"
DEMO_FOLDER = Path(__file__).parents[1] / "demo" / "model"

# open-clip-torch 3.3 src/open_clip/constants.py
_OPENAI = Preprocessing((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_HALF = (0.5, 0.5, 0.5)


def _published(
    architecture: str, pretrained: str, dimensions: int, pixels: int, preprocessing: Preprocessing, hub: str
) -> ModelDescription:
    return ModelDescription(
        name=f"{architecture}/{pretrained}",
        architecture=architecture,
        pretrained=pretrained,
        dimensions=dimensions,
        has_text=True,
        image_size=(pixels, pixels),
        preprocessing=preprocessing,
        hub_repository=hub,
    )


# As open-clip-torch 3.3 publishes them (src/open_clip/pretrained.py); a test compares the two.
CATALOGUE = {
    model.name: model
    for model in (
        _published(
            "ViT-L-14-quickgelu", "openai", 768, 224, _OPENAI, "timm/vit_large_patch14_clip_224.openai"
        ),
        _published(
            "ViT-L-14",
            "laion2b_s32b_b82k",
            768,
            224,
            Preprocessing(_HALF, _HALF),
            "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
        ),
        _published(
            "ViT-B-32", "laion2b_s34b_b79k", 512, 224, _OPENAI, "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
        ),
        _published(
            "ViT-SO400M-14-SigLIP-384",
            "webli",
            1152,
            384,
            Preprocessing(_HALF, _HALF, resize_mode="squash"),
            "timm/ViT-SO400M-14-SigLIP-384",
        ),
    )
}


def describe_model(name: str) -> ModelDescription:
    """Describe the model of this name, without its weights.

    A catalogued name, `demo` and `local-dir:/path` need no torch; another OpenCLIP name imports it. A team's
    own embedder (entry point group imgvec_pg.embedders) is loaded, since only it knows its dimensions.

    Args:
        name: "architecture/pretrained", "demo", "local-dir:/path" or the name of an entry point.

    Raises:
        ModelNotFoundError: No such model; the nearest names are told.
        ModelError: The name is known, but the model behind it cannot be trusted.
    """
    if name.startswith(LOCAL_DIR_PREFIX):
        path = name.removeprefix(LOCAL_DIR_PREFIX)
        if not path:
            raise ModelNotFoundError(f"{name!r} names no folder: write local-dir:/path/to/folder")
        return describe_folder(name, Path(path).expanduser())
    architecture, slash, tag = name.partition("/")
    if not slash:
        return _describe_word(name)
    known = CATALOGUE.get(f"{architecture}/{canonical_tag(tag)}")
    return known or describe_open_clip_model(architecture, tag)


def _describe_word(name: str) -> ModelDescription:
    """Describe a model whose name has no "/": an entry point or the demo."""
    plugin = find_plugin(name)
    if plugin is not None:
        embedder = load_plugin(plugin)
        return ModelDescription(
            name=name,
            architecture=name,
            pretrained="",
            dimensions=embedder.dimensions,
            has_text=embedder.has_text,
        )
    if name == DEMO_NAME:
        return describe_folder(name, DEMO_FOLDER)
    if name in architecture_names():
        raise ModelNotFoundError(
            f"{name} is an architecture, not a model: name its weights too, {name}/TAG; for weights of your "
            "own name the tag whose preprocessing they share and give --weights FILE.safetensors, or make a "
            "folder in OpenCLIP's local-dir format, which states it, and name it local-dir:/path"
        )
    known = [*CATALOGUE, DEMO_NAME, *architecture_names()]
    raise ModelNotFoundError(f"there is no model {name!r}: {nearest(name, known)}")
