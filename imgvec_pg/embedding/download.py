"""Download a model into a folder for machines without network, in IMGVEC_MODEL_DIR's layout."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imgvec_pg.embedding.checksums import SUMS_NAME, sha256_of, verified_sha256, write_sums
from imgvec_pg.embedding.description import OPEN_CLIP, PLUGIN, ModelDescription
from imgvec_pg.embedding.hub.hub_files import HubUnavailableError, download_file
from imgvec_pg.embedding.hub.hub_name import is_hub_name
from imgvec_pg.embedding.local_dir import CONFIG_NAME
from imgvec_pg.embedding.matryoshka import whole_model
from imgvec_pg.embedding.openclip_names import architecture_config
from imgvec_pg.embedding.runtime import require_models_extra
from imgvec_pg.embedding.torch_models.openclip_text_tower import TEXT_TOWER_CONFIG, text_tower_config
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

    All of it is made in a hidden folder beside and moved when it is complete, so what was interrupted can be repeated and is
    never loaded.

    Args:
        weights: A local safetensors file to take instead of the hub's.
        sha256: What the weights must have, as their publisher says.

    Raises:
        MissingExtraError: The extra `models` is not installed.
        WeightsMissingError: The hub is out of reach, or has them as a pickle only.
        ModelError: They are damaged, others than said, or of another architecture.
    """
    model = whole_model(model)
    if is_hub_name(model.name):
        raise ModelError(
            f"{model.name} is kept in the hub's own cache: run 'hf download {model.hub_repository or 'org/name'}' and carry that "
            "folder (HF_HOME), or 'hf download … --local-dir DIR' and name the folder"
        )
    if model.library == PLUGIN or model.folder is not None:
        raise ModelError(f"{model.name} brings its own weights: there is nothing to fetch")
    require_models_extra(f"fetching the model {model.name}")
    source = find_weights(model, weights)
    tensor_shapes(source)
    actual = verified_sha256(source)
    if sha256 is not None and actual != sha256.lower():
        raise ModelError(
            f"the weights of {model.name} have the SHA-256 {actual}, expected was {sha256.lower()}: nothing was fetched"
        )
    if weights is not None:
        from imgvec_pg.embedding.load import check_weights_fit

        check_weights_fit(model, source)
    folder = to / file_stem(model)
    files = {weights_names(model)[0]: source}
    if model.library == OPEN_CLIP:
        files |= _files_of_the_hub(model)
    try:
        to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=to) as hidden:
            made = Path(hidden) / folder.name
            made.mkdir()
            size = _fill(made, model, files, actual)
            _move(made, folder)
    except OSError as error:
        raise ModelError(f"{folder} cannot be written ({error}): choose another --to DIR") from error
    return Fetched(folder, size, actual)


def _files_of_the_hub(model: ModelDescription) -> dict[str, Path]:
    """Return the files beside the weights: the tokenizer where it is not part of OpenCLIP, a text tower's configuration."""
    text = architecture_config(model.architecture)["text_cfg"]
    files = {}
    if "hf_model_name" in text:
        files[TEXT_TOWER_CONFIG] = text_tower_config(model, text)
    repository = text.get("hf_tokenizer_name")
    for name in TOKENIZER_FILES if repository else ():
        try:
            files[name] = Path(download_file(repository, name))
        except HubUnavailableError as error:
            if name == TOKENIZER_FILES[0]:  # the others are not everywhere
                raise WeightsMissingError(
                    f"the tokenizer of {model.name} cannot be fetched ({error}): nothing was written"
                ) from error
    return files


def _fill(made: Path, model: ModelDescription, files: Mapping[str, Path], weights_sha256: str) -> int:
    """Copy a model's files, write OpenCLIP's configuration and SHA256SUMS, and return the bytes."""
    for name, source in files.items():
        shutil.copyfile(source, made / name)
    copied = made / next(iter(files))
    if sha256_of(copied) != weights_sha256:
        raise ModelError(f"copying {copied.name} damaged it: is the disk failing?")
    names = [*files]
    if model.library == OPEN_CLIP:
        config: dict[str, Any] = architecture_config(model.architecture)
        preprocessing = asdict(model.preprocessing) if model.preprocessing is not None else {}
        stated = {"model_cfg": config, "preprocess_cfg": preprocessing}
        (made / CONFIG_NAME).write_text(json.dumps(stated, indent=2), encoding="utf-8")
        names.append(CONFIG_NAME)
    write_sums(made, names)
    return sum((made / name).stat().st_size for name in names)


def _move(made: Path, folder: Path) -> None:
    """Move a complete folder to its place, or its files over those of one that is there."""
    if not folder.exists():
        made.rename(folder)
        return
    # The sums first: should this break off, what is there does not fit them and is refused.
    for name in (SUMS_NAME, *(path.name for path in made.iterdir() if path.name != SUMS_NAME)):
        (made / name).replace(folder / name)
