"""A model's files in a folder that can be carried to a machine without network: IMGVEC_MODEL_DIR's own layout."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imgvec_pg.embedding.architectures import architecture_config
from imgvec_pg.embedding.checksums import sha256_of, verified_sha256, write_sums
from imgvec_pg.embedding.description import OPEN_CLIP, PLUGIN, ModelDescription
from imgvec_pg.embedding.hub import HubUnavailableError, download_file
from imgvec_pg.embedding.localdir import CONFIG_NAME
from imgvec_pg.embedding.weights import file_stem, find_weights, tensor_shapes, weights_names
from imgvec_pg.errors import ModelError, WeightsMissingError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class Fetched:
    """A model's folder, its size in bytes and the SHA-256 of its weights."""

    folder: Path
    size: int
    weights_sha256: str


def fetch_model(
    model: ModelDescription, to: Path, weights: Path | None = None, sha256: str | None = None
) -> Fetched:
    """Put a model's weights, configuration and tokenizer into a folder under `to`, with SHA256SUMS.

    Files come under their names only when they are complete, so what was interrupted can be repeated.

    Args:
        weights: A local safetensors file to take instead of the hub's.
        sha256: What the weights must have, as their publisher says.

    Raises:
        WeightsMissingError: The hub is out of reach, or has them as a pickle only.
        ModelError: They are damaged or others than said; nothing is left in their place.
    """
    if model.library == PLUGIN or model.folder is not None:
        raise ModelError(f"{model.name} brings its own weights: there is nothing to fetch")
    source = find_weights(model, weights)
    tensor_shapes(source)
    actual = verified_sha256(source)
    if sha256 is not None and actual != sha256.lower():
        raise ModelError(
            f"the weights of {model.name} have the SHA-256 {actual}, expected was {sha256.lower()}: nothing was fetched"
        )
    folder = to / file_stem(model)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = [weights_names(model)[0]]
        _copy(source, folder / names[0])
        if sha256_of(folder / names[0]) != actual:
            raise ModelError(f"copying {source} to {folder} damaged it: is the disk failing?")
        if model.library == OPEN_CLIP:
            names += _write_open_clip_files(model, folder)
        write_sums(folder, names)
    except OSError as error:
        raise ModelError(f"{folder} cannot be written ({error}): choose another --to DIR") from error
    size = sum((folder / name).stat().st_size for name in names)
    return Fetched(folder, size, actual)


def _copy(source: Path, target: Path) -> None:
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.copyfile(source, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _write_open_clip_files(model: ModelDescription, folder: Path) -> list[str]:
    """Write OpenCLIP's configuration, and the tokenizer where it is not part of OpenCLIP."""
    config: dict[str, Any] = architecture_config(model.architecture)
    preprocessing = asdict(model.preprocessing) if model.preprocessing is not None else {}
    stated = {"model_cfg": config, "preprocess_cfg": preprocessing}
    (folder / CONFIG_NAME).write_text(json.dumps(stated, indent=2), encoding="utf-8")
    names = [CONFIG_NAME]
    repository = config["text_cfg"].get("hf_tokenizer_name")
    for name in TOKENIZER_FILES if repository else ():
        try:
            _copy(Path(download_file(repository, name)), folder / name)
        except HubUnavailableError as error:
            if name != TOKENIZER_FILES[0]:  # the others are not everywhere
                continue
            raise WeightsMissingError(
                f"the tokenizer of {model.name} cannot be fetched ({error}); its weights are in {folder}"
            ) from error
        names.append(name)
    return names
