"""Find weights on this machine or the hub, as safetensors only."""

import json
from collections.abc import Sequence
from pathlib import Path

from imgvec_pg import settings
from imgvec_pg.embedding.description import PLUGIN, TIMM, TRANSFORMERS, ModelDescription
from imgvec_pg.embedding.hub.hub_files import HubUnavailableError, cached_file, download_file
from imgvec_pg.embedding.hub.hub_name import is_hub_name, parse_hub_name
from imgvec_pg.embedding.hub.snapshot import OPEN_CLIP_WEIGHTS, find_snapshot, weights_patterns
from imgvec_pg.embedding.local_dir import CONFIG_NAME, read_folder_config
from imgvec_pg.embedding.matryoshka import whole_model
from imgvec_pg.embedding.openclip_names import architecture_config
from imgvec_pg.embedding.packaged_weights import INSTALL_LITE, LITE, packaged_source, packaged_weights
from imgvec_pg.embedding.runtime import require_models_extra
from imgvec_pg.errors import ImgvecError, MissingExtraError, ModelError, WeightsMissingError

# open_clip.factory._find_checkpoint_in_dir prefers these two, in this order, to everything else in a folder.
FOLDER_WEIGHTS = OPEN_CLIP_WEIGHTS
OUTSIDE_THE_HUB = (
    "published outside the hub, as a pickle: convert them to safetensors and give --weights FILE"
)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def find_weights(model: ModelDescription, given: Path | None = None) -> Path:
    """Return the safetensors file of a model.

    Looked for in this order: the file given, the model's own folder, IMGVEC_MODEL_DIR, an installed package, the hub's cache,
    the hub.

    Raises:
        WeightsMissingError: None of them has it; the message says how to get it.
        ModelError: A file is there but must not, or cannot, be used.
    """
    model = whole_model(model)
    if given is not None:
        if not given.is_file():
            raise WeightsMissingError(f"{model.name}: there is no weights file {given}: check the path")
        return require_safetensors(given)
    if is_hub_name(model.name):
        return weights_in_folder(
            model.name, find_snapshot(parse_hub_name(model.name), with_weights=True), weights_names(model)
        )
    if model.folder is not None:
        return weights_in_folder(model.name, model.folder, FOLDER_WEIGHTS)
    found = find_in_model_directory(model)
    if found is None:
        found = packaged_weights(model.name)
    if found is not None:
        return found
    if not model.hub_repository:
        raise WeightsMissingError(f"the weights of {model.name} are {OUTSIDE_THE_HUB}")
    try:
        return Path(download_file(model.hub_repository, model.hub_filename))
    except HubUnavailableError as error:
        raise WeightsMissingError(
            f"the weights of {model.name} are not on this machine ({error}): "
            + (f"{INSTALL_LITE} brings them; or " if model.name == LITE else "")
            + f"on one with a network run 'imgvec model fetch {model.name} --to DIR', carry DIR here and set IMGVEC_MODEL_DIR to "
            "it; or give a file with --weights"
        ) from error


def file_stem(model: ModelDescription) -> str:
    """Return the name of a model's folder or file in IMGVEC_MODEL_DIR, "ViT-B-32--laion2b_s34b_b79k"."""
    return model.name.replace("/", "--")


def weights_names(model: ModelDescription) -> tuple[str, ...]:
    """Return what the weights may be called in a model's folder, best first."""
    if model.library == TRANSFORMERS:
        return ("model.safetensors",)
    return FOLDER_WEIGHTS if model.library != TIMM else (model.hub_filename,)


def model_directory_folder(model: ModelDescription) -> Path | None:
    """Return <IMGVEC_MODEL_DIR>/<architecture>--<tag>, when there is such a folder."""
    directory = settings.model_directory()
    folder = directory / file_stem(model) if directory is not None and model.folder is None else None
    return folder if folder is not None and folder.is_dir() else None


def find_in_model_directory(model: ModelDescription) -> Path | None:
    """Return a model's weights in IMGVEC_MODEL_DIR, None where it is unset or has none.

    Raises:
        ModelError: What is there must not be used.
    """
    directory = settings.model_directory()
    if directory is None:
        return None
    if not directory.is_dir():
        raise ModelError(f"IMGVEC_MODEL_DIR is {directory}, which is no folder: correct it or unset it")
    folder = model_directory_folder(model)
    if folder is not None:
        if (folder / CONFIG_NAME).is_file():
            _check_same_model(model, folder)
        return weights_in_folder(model.name, folder, weights_names(model))
    file = directory / f"{file_stem(model)}.safetensors"
    if file.is_file():
        return require_safetensors(file)
    for suffix in _PICKLES:
        if file.with_suffix(suffix).is_file():
            require_safetensors(file.with_suffix(suffix))
    return None


def _check_same_model(model: ModelDescription, folder: Path) -> None:
    """Refuse a folder that bears the model's name but states another preprocessing or activation."""
    stated = read_folder_config(model.name, folder)
    expected = architecture_config(model.architecture)
    preprocessing = model.preprocessing
    differences = [
        f"{key} {stated['preprocess_cfg'][key]} instead of {wanted}"
        for key, wanted in (vars(preprocessing) if preprocessing is not None else {}).items()
        if key in stated["preprocess_cfg"] and json.dumps(stated["preprocess_cfg"][key]) != json.dumps(wanted)
    ]
    for key in ("embed_dim", "quick_gelu"):
        if (stated["model_cfg"].get(key) or False) != (expected.get(key) or False):
            differences.append(f"{key} {stated['model_cfg'].get(key)} instead of {expected.get(key)}")
    if differences:
        raise ModelError(
            f"{folder} is named after {model.name} but states {'; '.join(differences)}: "
            f"use it under its own name, local-dir:{folder}"
        )


def weights_in_folder(name: str, folder: Path, filenames: Sequence[str]) -> Path:
    """Return the safetensors file of a model's folder: the first of these names that is there."""
    for filename in filenames:
        if (folder / filename).is_file():
            return folder / filename
    others = sorted(path for path in folder.iterdir() if path.is_file())
    for path in others:
        if path.suffix in _PICKLES:
            require_safetensors(path)
    for path in others:
        if path.suffix == ".safetensors":
            raise ModelError(
                f"{name}: {path} must be called {filenames[0]}: rename it, if those are the weights"
            )
    raise WeightsMissingError(f"{name}: {folder} has no {filenames[0]}: put the weights there")


def require_safetensors(path: Path) -> Path:
    """Return the path of a .safetensors file, and refuse every other kind by its name."""
    if path.suffix == ".safetensors":
        return path
    if path.suffix in _PICKLES:
        raise ModelError(
            f"{path} is a pickle, which can run any code when it is opened: where you trust it, convert it "
            f'once with python -c "import torch, safetensors.torch as s; '
            f"s.save_file(torch.load('{path.name}', weights_only=True), '{path.stem}.safetensors')\""
        )
    raise ModelError(f"{path} is not a .safetensors file: weights are read in that format only")


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor in a safetensors file, reading its header only.

    Raises:
        MissingExtraError: The extra `models` is not installed.
        ModelError: It is cut short, or is not safetensors at all.
    """
    require_models_extra("reading weights")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is corrupt or no safetensors file ({error}): fetch it again") from error


MISSING = "not on this machine"


def where_weights_are(model: ModelDescription) -> str:
    """Return a file's path, or a line that says how to get it."""
    model = whole_model(model)
    if model.library == PLUGIN:
        return "the embedder's own"
    if is_hub_name(model.name) and model.hub_repository:
        patterns = weights_patterns(parse_hub_name(model.name))
        found = model.folder and next(
            filter(None, (next(model.folder.glob(p), None) for p in patterns)), None
        )
        return str(found) if found else f"{MISSING}; {model.hub_repository} on the hub, fetched at first use"
    try:
        if model.folder is not None:
            return str(weights_in_folder(model.name, model.folder, weights_names(model)))
        found = find_in_model_directory(model) or packaged_source(model.name)
    except ImgvecError as error:
        return str(error)
    if found is not None:
        return str(found)
    if not model.hub_repository:
        return f"{MISSING}; {OUTSIDE_THE_HUB}"
    try:
        cached = cached_file(model.hub_repository, model.hub_filename)
    except MissingExtraError as error:
        return f"{MISSING}, as far as is known: {error}"
    return cached or (
        f"{MISSING}; {model.hub_repository}/{model.hub_filename} on the hub, fetched at first use or by "
        f"imgvec model fetch {model.name} --to DIR"
    )
