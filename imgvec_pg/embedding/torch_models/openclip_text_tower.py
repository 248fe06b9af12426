"""Text towers from Hugging Face: find their configuration on this machine, as OpenCLIP has only their names."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgvec_pg.embedding.description import ModelDescription
from imgvec_pg.embedding.hub.hub_files import HubUnavailableError, download_file
from imgvec_pg.embedding.hub.hub_name import is_hub_name
from imgvec_pg.embedding.weights import model_directory_folder
from imgvec_pg.errors import MissingExtraError, WeightsMissingError

TEXT_TOWER_CONFIG = "config.json"  # transformers src/transformers/utils: CONFIG_NAME


def local_text_tower(model: ModelDescription, text: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return `text_cfg` with the folder of the tower's configuration in place of its name on the hub.

    open_clip would ask the hub for minutes. None where the tower is OpenCLIP's own.

    Raises:
        MissingExtraError: transformers is not installed.
        WeightsMissingError: The configuration is not on this machine and cannot be fetched.
    """
    if "hf_model_name" not in text:
        return None
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError(
            f"{model.name} has a text tower of the package transformers: pip install 'imgvec-pg[siglip]'"
        )
    folder = text_tower_config(model, text).parent
    return {**text, "hf_model_name": str(folder), "hf_model_pretrained": False}


def text_tower_config(model: ModelDescription, text: Mapping[str, Any]) -> Path:
    """Return the configuration's file: in the model's folder, in the hub's cache, or fetched.

    Raises:
        WeightsMissingError: It is in none of them.
    """
    # A repository's config.json is its own, for another library.
    own = None if is_hub_name(model.name) else model.folder
    for folder in (own, model_directory_folder(model)):
        if folder is not None and (folder / TEXT_TOWER_CONFIG).is_file():
            return folder / TEXT_TOWER_CONFIG
    try:
        return Path(download_file(text["hf_model_name"], TEXT_TOWER_CONFIG))
    except HubUnavailableError as error:
        remedy = (
            f"on one with a network run 'hf download {text['hf_model_name']} {TEXT_TOWER_CONFIG}' and carry the cache folder "
            "(HF_HOME) over"
            if is_hub_name(model.name)
            else f"on one with a network run 'imgvec model fetch {model.name} --to DIR', carry DIR here and set IMGVEC_MODEL_DIR "
            "to it"
            if model.folder is None
            else f"save {TEXT_TOWER_CONFIG} of {text['hf_model_name']} in {model.folder}"
        )
        raise WeightsMissingError(
            f"the configuration of the text tower of {model.name} is not on this machine ({error}): {remedy}"
        ) from error
