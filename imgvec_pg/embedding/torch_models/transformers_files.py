"""Files of a model of transformers: its weights, and what of its configuration and code decides its vectors."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from imgvec_pg.embedding.weights import require_safetensors, tensor_shapes, weights_in_folder
from imgvec_pg.errors import ModelError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# What transformers writes anew at each save, and reads nothing of for computing.
_OF_THE_SAVE = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "_commit_hash")


def transformers_weights(name: str, folder: Path) -> list[Path]:
    """Return the safetensors files that transformers reads from a folder, each looked at.

    Raises:
        WeightsMissingError: There are none.
        ModelError: They are a pickle, or one of them is missing or corrupt.
    """
    if not (folder / INDEX).is_file() or (folder / WEIGHTS).is_file():
        files = [weights_in_folder(name, folder, (WEIGHTS,))]
    else:
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            named = sorted(set(index["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{name}: {folder / INDEX} cannot be read: {error}; fetch it again") from error
        files = [folder / each for each in named if Path(each).name == each]
        missing = [file.name for file in files if not file.is_file()]
        if missing or len(files) != len(named):
            raise ModelError(
                f"{name}: {folder} lacks {missing or named} that its index names: fetch it again"
            )
    for file in files:
        tensor_shapes(require_safetensors(file))
    return files


def stated_json(path: Path) -> Any:  # noqa: ANN401 - somebody's JSON
    """Return what a JSON file states, without the traces of its last save; None where there is none."""
    if not path.is_file():
        return None
    stated = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(stated, dict):
        return stated
    return {key: value for key, value in stated.items() if key not in _OF_THE_SAVE}


def code_sha256(files: Iterable[str]) -> str:
    """Return the SHA-256 (hex) over the Python files of the folders that these files are in: a model's own code."""
    digest = hashlib.sha256()
    for folder in sorted({Path(file).parent for file in files}):
        for path in sorted(folder.glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
