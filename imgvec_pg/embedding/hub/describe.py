"""Describe a model of the hub by the small files of its repository, without its weights."""

import json
from dataclasses import replace
from pathlib import Path

from imgvec_pg.embedding.description import TRANSFORMERS, ModelDescription
from imgvec_pg.embedding.hub.hub_name import HubName, parse_hub_name
from imgvec_pg.embedding.hub.snapshot import card_licence, commit_of, find_snapshot
from imgvec_pg.embedding.hub.transformers_config import PROCESSOR_NAMES, read_transformers_config
from imgvec_pg.embedding.local_dir import CONFIG_NAME, describe_folder
from imgvec_pg.errors import ModelNotFoundError


def describe_hub_model(name: str) -> ModelDescription:
    """Describe hf-hub:org/name or transformers:org/name; its small files are fetched where they are not cached.

    Raises:
        ModelNotFoundError: The name is none, or the hub has no such repository.
        MissingExtraError: The extra `models`, or for transformers `hub`, is not installed.
        WeightsMissingError: The repository is not on this machine and cannot be fetched.
        ModelError: Its configuration cannot be used, or needs code that is not trusted.
    """
    named = parse_hub_name(name)
    folder = find_snapshot(named, with_weights=False)
    describe = _describe_open_clip if named.is_open_clip else _describe_transformers
    return replace(
        describe(named, folder),
        hub_repository=named.repository,
        revision=commit_of(folder),
        licence=card_licence(folder),
    )


def _describe_open_clip(named: HubName, folder: Path) -> ModelDescription:
    if not (folder / CONFIG_NAME).is_file():
        other = f": try transformers:{named.repository}" if (folder / "config.json").is_file() else ""
        raise ModelNotFoundError(
            f"{named.repository} has no {CONFIG_NAME}, so it is no model of OpenCLIP{other}"
        )
    described = describe_folder(named.text, folder)
    stated = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))["model_cfg"]
    scoring = "sigmoid" if stated.get("init_logit_bias") is not None else "softmax"
    return replace(described, scoring=scoring)


def _describe_transformers(named: HubName, folder: Path) -> ModelDescription:
    model = read_transformers_config(named, folder)
    return ModelDescription(
        name=named.text,
        architecture=named.text,
        pretrained="",
        dimensions=model.dimensions,
        has_text=model.pooling is None,
        image_size=model.image_size,
        folder=folder,
        library=TRANSFORMERS,
        scoring=model.scoring,
        half=model.half,
        processor=_processor_name(folder),
        matryoshka=_matryoshka(model.stated),
        pooling="" if model.pooling is None else model.pooling.rule,
    )


def _matryoshka(stated: dict[str, object]) -> tuple[int, ...]:
    """Return the dimensions that a configuration says its model was trained to be cut to (jina-clip-v2's word for it)."""
    said = stated.get("matryoshka_dimensions")
    return tuple(each for each in said if isinstance(each, int)) if isinstance(said, list) else ()


def _processor_name(folder: Path) -> str:
    """Return the class that prepares pictures, as the repository names it; "its own" where it names none."""
    for filename in PROCESSOR_NAMES:
        path = folder / filename
        stated = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        stated = stated.get("image_processor", stated)
        if name := stated.get("image_processor_type") or stated.get("feature_extractor_type"):
            return str(name)
    return "its own"
