"""Load a model from one folder, in OpenCLIP's own local-dir format.

`open_clip_config.json` with `model_cfg` and `preprocess_cfg`, `open_clip_model.safetensors`, and the
tokenizer's files.
"""

import json
from pathlib import Path
from typing import Any

from imgvec_pg.embedding.description import ModelDescription, Preprocessing
from imgvec_pg.embedding.openclip_names import half_precision_of, image_size_of
from imgvec_pg.errors import ModelError, ModelNotFoundError

CONFIG_NAME = "open_clip_config.json"


def describe_folder(name: str, folder: Path) -> ModelDescription:
    """Describe the model in a folder, under the name that users call it by.

    Raises:
        ModelNotFoundError: There is no such folder, or no configuration in it.
        ModelError: The configuration cannot be read or leaves something to guess.
    """
    config = read_folder_config(name, folder)
    model = config["model_cfg"]
    preprocess = config["preprocess_cfg"]
    return ModelDescription(
        name=name,
        architecture=name,
        pretrained="",
        dimensions=int(model["embed_dim"]),
        has_text=True,
        image_size=image_size_of(model),
        preprocessing=Preprocessing(
            mean=tuple(preprocess["mean"]),
            std=tuple(preprocess["std"]),
            interpolation=preprocess.get("interpolation", "bicubic"),
            resize_mode=preprocess.get("resize_mode", "shortest"),
        ),
        half=half_precision_of(model),
        folder=folder,
    )


def read_folder_config(name: str, folder: Path) -> dict[str, Any]:
    """Return a folder's configuration, after checking that it leaves nothing to guess."""
    path = folder / CONFIG_NAME
    if not folder.is_dir():
        raise ModelNotFoundError(f"{name}: there is no folder {folder}")
    if not path.is_file():
        raise ModelNotFoundError(
            f"{name}: {folder} has no {CONFIG_NAME}, which OpenCLIP's local-dir format begins with"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{name}: {path} cannot be read as JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{name}: {path} must hold a JSON object, it holds a {type(config).__name__}")
    _require(name, path, config.get("model_cfg"), "model_cfg", ("embed_dim", "vision_cfg", "text_cfg"))
    # Without mean and std open_clip takes OpenAI's, in silence.
    _require(name, path, config.get("preprocess_cfg"), "preprocess_cfg", ("mean", "std"))
    return config


def _require(name: str, path: Path, section: object, title: str, keys: tuple[str, ...]) -> None:
    if not isinstance(section, dict):
        raise ModelError(f"{name}: {path} has no section {title!r}: add it with {', '.join(keys)}")
    missing = [key for key in keys if key not in section]
    if missing:
        raise ModelError(
            f"{name}: {title} in {path} lacks {', '.join(missing)}: state them, they are never guessed"
        )
