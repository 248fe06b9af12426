"""What transformers' configuration says of a model before its weights are read: kind, dimensions, whose code builds it."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgvec_pg.embedding.hub.hub_name import HubName
from imgvec_pg.embedding.hub.pooling import IMAGE_MODELS, Pooling
from imgvec_pg.embedding.runtime import import_transformers, one_line
from imgvec_pg.errors import ModelError, ModelNotFoundError
from imgvec_pg.settings import trusted_repositories

CONFIG_NAME = "config.json"
PROCESSOR_NAMES = ("preprocessor_config.json", "processor_config.json")

WORDS_AND_IMAGES = {"clip": "softmax", "metaclip_2": "softmax", "siglip": "sigmoid", "siglip2": "sigmoid"}
"""By model_type how similarities become probabilities. Others are refused: VLMs have a method of the same name, too."""
_PADDED = ("siglip", "siglip2")
"""Trained with texts that were padded to their full length, as their cards say; shorter rows give other vectors."""


@dataclass(frozen=True)
class TransformersModel:
    """A model of transformers as its configuration has it.

    Attributes:
        config: transformers' own object.
        stated: The file, as it is.
        pooling: None for a model with words, which is asked by its own methods.
        code: Whether code of the repository builds it.
    """

    config: Any
    stated: dict[str, Any]
    dimensions: int
    pooling: Pooling | None
    image_size: tuple[int, int] | None
    scoring: str
    half: str
    code: bool

    @property
    def pads_texts(self) -> bool:
        """Whether each text is padded to the longest that the model reads."""
        return self.stated.get("model_type") in _PADDED


def read_transformers_config(named: HubName, folder: Path) -> TransformersModel:
    """Read a model's configuration.

    Raises:
        MissingExtraError: The extra `hub` is not installed.
        ModelNotFoundError: The folder has no configuration of transformers.
        ModelError: It needs code that is not trusted, or is of a kind whose vectors are not known to be right.
    """
    stated = _read_json(named, folder / CONFIG_NAME)
    if not any((folder / name).is_file() for name in PROCESSOR_NAMES):
        raise ModelError(
            f"{named.text} has no {' and no '.join(PROCESSOR_NAMES)}, which say how its pictures are prepared: that is never "
            "guessed"
        )
    transformers = import_transformers(f"loading the model {named.text}")
    code = is_trusted(named) and "auto_map" in stated
    kind = str(stated.get("model_type", ""))
    if not code and kind not in WORDS_AND_IMAGES and kind not in IMAGE_MODELS:
        raise ModelError(_refusal(named, kind, stated))
    try:
        with quiet_transformers():
            config = transformers.AutoConfig.from_pretrained(
                folder, trust_remote_code=code, local_files_only=not code
            )
    except Exception as error:  # transformers raises OSError, ValueError, KeyError; foreign code anything
        raise ModelError(f"{named.text}: its {CONFIG_NAME} cannot be used: {one_line(error)}") from error
    pooling = IMAGE_MODELS.get(kind)
    return TransformersModel(
        config=config,
        stated=stated,
        dimensions=_dimensions(named, config, pooling),
        pooling=pooling,
        image_size=_image_size(config),
        scoring=WORDS_AND_IMAGES.get(kind, ""),
        half=pooling.half if pooling is not None else "bf16",
        code=code,
    )


def is_trusted(named: HubName) -> bool:
    """Return whether code that comes with a model may run: where IMGVEC_TRUST_REMOTE_CODE names its repository or folder."""
    trusted = trusted_repositories()
    return named.repository in trusted or (named.folder is not None and str(named.folder) in trusted)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bars and advice off the terminal; what matters of it is an error here."""
    import_transformers("loading a model of transformers")
    logging: Any = importlib.import_module("transformers.utils.logging")
    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _read_json(named: HubName, path: Path) -> dict[str, Any]:
    if not path.is_file():
        other = (
            f"it is a model of OpenCLIP, hf-hub:{named.repository}"
            if named.repository and (path.parent / "open_clip_config.json").is_file()
            else "expected a model of transformers"
        )
        raise ModelNotFoundError(f"{named.text} has no {path.name}: {other}")
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{named.text}: {path} cannot be read as JSON: {one_line(error)}") from error
    if not isinstance(stated, dict):
        raise ModelError(f"{named.text}: {path} must hold a JSON object, it holds a {type(stated).__name__}")
    return stated


def _refusal(named: HubName, kind: str, stated: dict[str, Any]) -> str:
    """Say why a model is not loaded."""
    own = named.repository or str(named.folder)
    if "auto_map" in stated:
        return (
            f"{named.text} is built by code of its repository, which is not run unless you say so: read it, then set "
            f"IMGVEC_TRUST_REMOTE_CODE={own} wherever it is loaded"
        )
    known = ", ".join((*WORDS_AND_IMAGES, *IMAGE_MODELS))
    return (
        f"{named.text} is a {kind or 'model without a model_type'}, of which it is not known what its vectors are; expected "
        f"one of {known}"
    )


def _dimensions(named: HubName, config: Any, pooling: Pooling | None) -> int:  # noqa: ANN401
    vision = getattr(config, "vision_config", None)
    if pooling is None:
        found = getattr(config, "projection_dim", None) or getattr(vision, "hidden_size", None)
    else:
        sizes = getattr(config, "hidden_sizes", None)
        found = sizes[-1] if sizes else getattr(config, "hidden_size", None)
    if not isinstance(found, int):
        raise ModelError(
            f"{named.text}: its {CONFIG_NAME} has neither projection_dim nor vision_config.hidden_size, so its dimensions are "
            "not known"
        )
    return found


def _image_size(config: Any) -> tuple[int, int] | None:  # noqa: ANN401
    size = getattr(getattr(config, "vision_config", config), "image_size", None)
    if isinstance(size, int):
        return size, size
    return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) and len(size) == 2 else None
