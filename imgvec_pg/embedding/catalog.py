"""Describe any model by its name. Neither this module nor a catalogued name imports torch."""

import difflib
from dataclasses import replace
from functools import cache
from pathlib import Path

from imgvec_pg.embedding.description import OPEN_CLIP, PLUGIN, ModelDescription
from imgvec_pg.embedding.hub.describe import describe_hub_model
from imgvec_pg.embedding.hub.hub_name import is_hub_name, parse_hub_name
from imgvec_pg.embedding.known_models import CATALOGUE as CATALOGUE
from imgvec_pg.embedding.light_embedder import TEST_NAME, LightEmbedder
from imgvec_pg.embedding.local_dir import describe_folder
from imgvec_pg.embedding.matryoshka import shorten_description, split_name
from imgvec_pg.embedding.openclip_names import (
    architecture_names,
    canonical_tag,
    describe_open_clip_model,
    nearest,
)
from imgvec_pg.embedding.plugins import find_plugin, load_plugin
from imgvec_pg.embedding.remote.model_name import is_remote, parse_remote
from imgvec_pg.embedding.remote.remote_embedder import RemoteEmbedder
from imgvec_pg.embedding.runtime import has_models_extra, require_models_extra
from imgvec_pg.embedding.timm_names import TIMM_PREFIX, describe_timm_model
from imgvec_pg.errors import ImgvecError, ModelNotFoundError

LOCAL_DIR_PREFIX = "local-dir:"
DEMO_NAME = "demo"
DEMO_FOLDER = Path(__file__).parents[1] / "demo" / "model"


def describe_model(name: str) -> ModelDescription:
    """Describe the model of this name, without its weights.

    A catalogued name, `demo` and `local-dir:/path` need no torch; another name of OpenCLIP or timm imports it. Of a model of the
    hub the small files are fetched. A team's
    own embedder (entry point group imgvec_pg.embedders) is loaded, and a server asked, since only they know its dimensions.

    Args:
        name: "architecture/pretrained", "timm/architecture.tag", "hf-hub:org/name", "transformers:org/name", "demo", "test",
            "local-dir:/path", "http:NAME@URL" or the name of an entry point; "#dimensions=256" behind it cuts its vectors.

    Raises:
        ModelNotFoundError: No such model; the nearest names are told.
        MissingExtraError: The catalogue has no such model, and OpenCLIP and timm are not installed.
        ModelError: The name is known, but the model behind it cannot be trusted.
    """
    short = split_name(name)
    if short is not None:
        return shorten_description(describe_model(short.base), short)
    if is_remote(name):
        return _describe_remote(name)
    if is_hub_name(name):
        return CATALOGUE.get(name) or describe_hub_model(name)
    if name.startswith(LOCAL_DIR_PREFIX):
        path = name.removeprefix(LOCAL_DIR_PREFIX)
        if not path:
            raise ModelNotFoundError(f"{name!r} names no folder: write local-dir:/path/to/folder")
        return describe_folder(name, Path(path).expanduser())
    architecture, slash, tag = name.partition("/")
    if not slash:
        return _describe_word(name)
    known = _catalogued(name)
    if known is not None:
        return known
    if not has_models_extra():
        offered = nearest(name, CATALOGUE, otherwise=CATALOGUE)
        require_models_extra(f"{name!r} is not in the catalogue ({offered}); a model beyond it")
    if name.startswith(TIMM_PREFIX):
        return describe_timm_model(tag)
    if architecture not in architecture_names():
        raise ModelNotFoundError(f"OpenCLIP has no architecture {architecture!r}: {_offer(architecture)}")
    return describe_open_clip_model(architecture, tag)


def _describe_remote(name: str) -> ModelDescription:
    """Describe the model of a server, which is asked for it: only it knows its dimensions."""
    embedder = RemoteEmbedder(name)
    return ModelDescription(
        name=name,
        architecture=name,
        pretrained="",
        dimensions=embedder.dimensions,
        has_text=embedder.has_text,
        library=PLUGIN,
    )


def _catalogued(name: str) -> ModelDescription | None:
    if name.startswith(TIMM_PREFIX):
        return CATALOGUE.get(name)
    architecture, _, tag = name.partition("/")
    return CATALOGUE.get(f"{architecture}/{canonical_tag(tag)}")


def _architectures() -> list[str]:
    """Return the architectures that OpenCLIP can build; where it is not installed, those of the catalogue."""
    if has_models_extra():
        return architecture_names()
    return sorted({model.architecture for model in CATALOGUE.values() if model.library == OPEN_CLIP})


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
            library=PLUGIN,
        )
    if name == TEST_NAME:
        return ModelDescription(
            name=name,
            architecture=name,
            pretrained="",
            dimensions=LightEmbedder.dimensions,
            has_text=True,
            library=PLUGIN,
        )
    if name == DEMO_NAME:
        # So small that half precision gains nothing, and its answers stay the same on every CPU.
        return replace(describe_folder(name, DEMO_FOLDER), half="fp32")
    as_timm = f"{TIMM_PREFIX}{name}"
    if as_timm in CATALOGUE:
        raise ModelNotFoundError(f"{name} is a model of timm: name it {as_timm}")
    if name in _architectures():
        known = [model for model in CATALOGUE if model.startswith((f"{name}/", f"{name}-quickgelu/"))]
        known = known or [f"{name}/TAG"]
        raise ModelNotFoundError(
            f"{name} is an architecture, not a model: name its weights too, {' or '.join(known)}; for weights of your "
            "own name the tag whose preprocessing they share and give --weights FILE.safetensors, or make a "
            "folder in OpenCLIP's local-dir format, which states it, and name it local-dir:/path"
        )
    raise ModelNotFoundError(f"there is no model {name!r}: {_offer(name)}")


def _offer(word: str) -> str:
    """Say which models are like a word that is no architecture; what else OpenCLIP publishes only torch could tell."""
    like = difflib.get_close_matches(word, _architectures(), n=4)
    catalogued = [
        model.name
        for model in CATALOGUE.values()
        if model.architecture in like or (word and word.lower() in model.name.lower())
    ]
    if like and not catalogued:
        return f"the nearest architectures are {', '.join(like)}; a model's name has its weights too, {like[0]}/TAG"
    return nearest(word, [DEMO_NAME], otherwise=catalogued)


@cache
def describe_known(name: str) -> ModelDescription | None:
    """Describe a model of the catalogue, a local folder or the demo; None where only torch or an entry point could tell.

    Raises:
        ModelNotFoundError: There is no such model, architecture or folder.
    """
    short = split_name(name)
    if short is not None:
        whole = describe_known(short.base)
        return None if whole is None else shorten_description(whole, short)
    if is_remote(name):
        parse_remote(name)
        return None
    if is_hub_name(name):
        parse_hub_name(name)
        return CATALOGUE.get(name)
    architecture, slash, _ = name.partition("/")
    if slash and not name.startswith(LOCAL_DIR_PREFIX):
        is_catalogued = _catalogued(name) is not None
        if not is_catalogued and (
            not has_models_extra() or name.startswith(TIMM_PREFIX) or architecture in architecture_names()
        ):
            return None
    elif find_plugin(name) is not None:
        return None
    return describe_model(name)


def known_dimensions(name: str | None) -> int | None:
    """Return how many dimensions a model's vectors have; None where that is not known."""
    try:
        known = None if name is None else describe_known(name)
    except ImgvecError:
        return None
    return None if known is None else known.dimensions
