"""Tokenizer of a model, chosen by its configuration and never by default."""

import hashlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imgvec_pg.embedding.hub.hub_files import HubUnavailableError, ask_for_file, cached_file
from imgvec_pg.embedding.openclip_names import open_clip_folder
from imgvec_pg.embedding.runtime import import_open_clip, one_line
from imgvec_pg.errors import MissingExtraError, ModelError, WeightsMissingError

Tokenizer = Callable[[Sequence[str]], Any]

CLIP_VOCABULARY = 49408  # open_clip.model.CLIPTextCfg.vocab_size, the size of CLIP's own byte-pair encoding
CLIP_CONTEXT_LENGTH = 77  # open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH
CLIP_MERGES = "bpe_simple_vocab_16e6.txt.gz"
_HUB_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "spiece.model",
    "tokenizer.model",
    "vocab.txt",
)


def merges_file(name: str, text: Mapping[str, Any], folder: Path | None) -> Path:
    """Return the file of byte-pair merges of a model that uses CLIP's kind of tokenizer.

    Raises:
        ModelError: The vocabulary is not CLIP's and no merges are named, or their file is missing.
    """
    named: str | None = (text.get("tokenizer_kwargs") or {}).get("bpe_path")
    if named is not None:
        path = (folder or Path()) / named
        if not path.is_file():
            raise ModelError(
                f"{name}: its tokenizer's merges file {path} (tokenizer_kwargs.bpe_path) is missing"
            )
        return path
    size = text.get("vocab_size", CLIP_VOCABULARY)
    if size != CLIP_VOCABULARY:
        raise ModelError(
            f"{name} has a vocabulary of {size} tokens, CLIP's own has {CLIP_VOCABULARY}, and its "
            "text_cfg names no tokenizer: state hf_tokenizer_name or tokenizer_kwargs.bpe_path there"
        )
    return open_clip_folder() / CLIP_MERGES


def tokenizer_identity(name: str, text: Mapping[str, Any], folder: Path | None) -> dict[str, str]:
    """Return what tells this tokenizer from another: its published name, or hashes of its files."""
    hub_name = text.get("hf_tokenizer_name")
    if hub_name and folder is None:
        return {"hub": hub_name}
    files = _tokenizer_files(folder) if hub_name and folder is not None else [merges_file(name, text, folder)]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def load_tokenizer(name: str, text: Mapping[str, Any], folder: Path | None, *, own_files: bool) -> Tokenizer:
    """Load a model's tokenizer.

    Args:
        name: The model's name, for errors.
        text: `text_cfg` of the model's configuration.
        folder: A folder that may hold the tokenizer's files.
        own_files: They must be there (a local-dir model), since the hub's may be others.

    Raises:
        MissingExtraError: It needs transformers, which is not installed.
        WeightsMissingError: Its files are not on this machine.
        ModelError: Its files do not fit the model.
    """
    if text.get("hf_tokenizer_name"):
        return _load_hub_tokenizer(name, text, folder, own_files=own_files)
    options = {**(text.get("tokenizer_kwargs") or {}), "bpe_path": str(merges_file(name, text, folder))}
    try:
        tokenizer = import_open_clip().SimpleTokenizer(
            context_length=text.get("context_length", CLIP_CONTEXT_LENGTH), **options
        )
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise ModelError(
            f"{name}: its tokenizer cannot be read from {options['bpe_path']}: {error}"
        ) from error
    return _fitting(name, tokenizer, tokenizer.vocab_size, text)


def _load_hub_tokenizer(
    name: str, text: Mapping[str, Any], folder: Path | None, *, own_files: bool
) -> Tokenizer:
    """Load a transformers tokenizer, as SigLIP needs, with OpenCLIP's own cleaning and padding."""
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError(
            f"{name} reads words through a tokenizer of the package transformers, which is not installed: "
            "pip install 'imgvec-pg[siglip]' (embedding images needs no tokenizer)"
        )
    source: str = text["hf_tokenizer_name"]
    options = dict(text.get("tokenizer_kwargs") or {})
    if folder is not None and _tokenizer_files(folder):
        source = str(folder)
    elif own_files:
        raise WeightsMissingError(
            f"{name}: {folder} has no tokenizer.json: save the tokenizer of {source} there"
        )
    elif _is_cached(source):
        options["local_files_only"] = True  # else each optional file is asked for over the network
    else:
        _require_reachable(name, source)
    try:
        tokenizer = import_open_clip().tokenizer.HFTokenizer(
            source,
            context_length=text.get("context_length", CLIP_CONTEXT_LENGTH),
            tokenizer_mode=text.get("tokenizer_mode"),
            **options,
        )
    except ImportError as error:
        raise MissingExtraError(
            f"the tokenizer of {name} needs one more package ({one_line(error)}): "
            "pip install 'imgvec-pg[siglip]'"
        ) from error
    except Exception as error:  # transformers raises OSError, ValueError, KeyError and its own
        raise ModelError(f"{name}: its tokenizer {source} cannot be loaded: {one_line(error)}") from error
    return _fitting(name, tokenizer, len(tokenizer.tokenizer), text)


def _is_cached(repository: str) -> bool:
    return any(cached_file(repository, name) for name in ("tokenizer_config.json", "tokenizer.json"))


def _require_reachable(name: str, repository: str) -> None:
    """Fail in seconds where transformers would retry for minutes."""
    try:
        ask_for_file(repository, "tokenizer_config.json")
    except HubUnavailableError as error:
        raise WeightsMissingError(
            f"the tokenizer of {name} is not on this machine ({error}): on one with a network run "
            f"'hf download {repository} --include \"*token*\"' and carry the cache folder (HF_HOME) over"
        ) from error


def count_tokens(tokenizer: Any, text: str) -> int:  # noqa: ANN401 - one of OpenCLIP's two
    """Return how many tokens a text has before it is cut, those that begin and end it included."""
    if hasattr(tokenizer, "tokenizer"):  # open_clip.tokenizer.HFTokenizer
        # Not verbose: transformers would warn on stderr of a text longer than its own idea of the model.
        return len(tokenizer.tokenizer(tokenizer.clean_fn(text), verbose=False)["input_ids"])
    return len(tokenizer.encode(text)) + 2


def _tokenizer_files(folder: Path) -> list[Path]:
    return [folder / filename for filename in _HUB_TOKENIZER_FILES if (folder / filename).is_file()]


def _fitting(name: str, tokenizer: Tokenizer, tokens: int, text: Mapping[str, Any]) -> Tokenizer:
    size = text.get("vocab_size", CLIP_VOCABULARY)
    if "hf_model_name" not in text and tokens > size:
        raise ModelError(
            f"{name}: its tokenizer knows {tokens} tokens, its text tower {size}: they do not belong together"
        )
    return tokenizer
