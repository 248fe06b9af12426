"""The files of a repository of the hub, all of one commit: in the hub's cache on this machine, else fetched once."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from imgvec_pg.embedding.hub.hub_files import CONNECT_SECONDS, HubUnavailableError, is_offline
from imgvec_pg.embedding.hub.hub_name import HubName
from imgvec_pg.embedding.runtime import one_line, require_models_extra
from imgvec_pg.errors import ModelError, ModelNotFoundError, WeightsMissingError

SMALL_FILES = ("*.json", "*.txt", "*.txt.gz", "*.model", "*.py", "README.md")
"""Configuration, processor, tokenizer, code (not run unless it is trusted) and the card: what describing a model takes."""
OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
# transformers 5.24 src/transformers/utils/__init__.py: SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, and the shards it names
TRANSFORMERS_WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")
NOT_READ = ("onnx/*", "openvino/*", "*/*.json")
"""Exports for other runtimes, and parts in folders below (a sentence-transformers' modules), which nothing here reads."""

logger = logging.getLogger(__name__)


def weights_patterns(named: HubName) -> tuple[str, ...]:
    """Return what the files of a model's weights are called."""
    return OPEN_CLIP_WEIGHTS if named.is_open_clip else TRANSFORMERS_WEIGHTS


def find_snapshot(named: HubName, *, with_weights: bool) -> Path:
    """Return the folder of a repository at its commit, with its small files or all that loading takes.

    What the cache has comes first, without asking the hub: a machine keeps the commit that it began with.

    Raises:
        MissingExtraError: The extra `models` is not installed.
        WeightsMissingError: It is not cached and cannot be fetched.
        ModelNotFoundError: The hub has no such repository or revision, or not for this user.
        ModelError: Its weights are a pickle only.
    """
    if named.folder is not None:
        if not named.folder.is_dir():
            raise ModelNotFoundError(f"{named.text}: there is no folder {named.folder}")
        return named.folder
    require_models_extra(f"looking for {named.text} in the hub's cache")
    patterns = [*SMALL_FILES, *(weights_patterns(named) if with_weights else ())]
    cached = _cached(named, patterns)
    if cached is not None and (not with_weights or _has_weights(named, cached)):
        return cached
    # Of a commit whose small files are here the weights are fetched, not those of a newer one.
    revision = cached.name if cached is not None else named.revision or "main"
    _require_usable(named, revision, with_weights=with_weights)
    from huggingface_hub import snapshot_download

    if with_weights:
        logger.info("fetching %s at %s from the hub", named.repository, revision[:12])
    try:
        with contextlib.nullcontext() if with_weights else _without_progress_bars():
            return Path(
                snapshot_download(
                    named.repository,
                    revision=revision,
                    allow_patterns=patterns,
                    ignore_patterns=list(NOT_READ),
                    etag_timeout=CONNECT_SECONDS,
                )
            )
    except Exception as error:  # HTTP clients, proxies, the disk
        raise WeightsMissingError(
            f"fetching {named.repository} from the hub broke off ({one_line(error, 160)}): try again"
        ) from error


def commit_of(snapshot: Path) -> str:
    """Return the commit of a snapshot in the hub's cache, "" for another folder."""
    return snapshot.name if snapshot.parent.name == "snapshots" else ""


def card_licence(folder: Path) -> str:
    """Return the licence that a repository's card names, "" where it names none or there is no card."""
    path = folder / "README.md"
    if not path.is_file():
        return ""
    from huggingface_hub import ModelCard

    try:
        data = ModelCard.load(path).data.to_dict()
    except Exception:  # somebody's YAML, which says nothing of a licence then
        return ""
    named = data.get("license_name") or data.get("license") or ""
    named = ", ".join(map(str, named)) if isinstance(named, list) else str(named)
    return "".join(filter(str.isprintable, named))[:80]


def _cached(named: HubName, patterns: Sequence[str]) -> Path | None:
    """Return the snapshot in the cache, None where it is not there or known to lack one of its files."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                named.repository,
                revision=named.revision or None,
                allow_patterns=list(patterns),
                ignore_patterns=list(NOT_READ),
                local_files_only=True,
            )
        )
    except Exception:  # not there, or only a part of it
        return _partly_cached(named, patterns)


@contextlib.contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Show no bars for a few kilobytes; there are some for the weights."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _partly_cached(named: HubName, patterns: Sequence[str]) -> Path | None:
    """Return the snapshot that has the small files of a model whose weights are not here yet."""
    small = [pattern for pattern in patterns if pattern in SMALL_FILES]
    return _cached(named, small) if len(small) < len(patterns) else None


def _has_weights(named: HubName, folder: Path) -> bool:
    return any(next(folder.glob(pattern), None) is not None for pattern in weights_patterns(named))


def _require_usable(named: HubName, revision: str, *, with_weights: bool) -> None:
    """Ask the hub once, in seconds, for the repository: snapshot_download would try for minutes where nothing answers.

    Raises:
        As find_snapshot.
    """
    wanted = f"{named.text} is not on this machine"
    carry = (
        f"on one with a network run 'hf download {named.repository}"
        f"{f' --revision {named.revision}' if named.revision else ''}' and carry the cache folder (HF_HOME) over"
    )
    try:
        info = _ask(named, revision)
    except HubUnavailableError as error:
        raise WeightsMissingError(f"{wanted} ({error}): {carry}") from error
    names = [entry.rfilename for entry in info.siblings or ()]
    if with_weights and not any(Path(name).match(p) for name in names for p in weights_patterns(named)):
        pickles = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl"))]
        if pickles:
            raise ModelError(
                f"{named.text} has its weights as a pickle only ({pickles[0]}), which can run any code when it is opened: ask "
                "its authors for safetensors, or convert it where you trust it and name the folder"
            )
        raise ModelError(f"{named.text} has no weights as {' or '.join(weights_patterns(named))}")


def _ask(named: HubName, revision: str) -> Any:  # noqa: ANN401 - huggingface_hub's ModelInfo
    if is_offline():
        raise HubUnavailableError("HF_HUB_OFFLINE forbids asking the hub")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return HfApi().model_info(named.repository, revision=revision, timeout=CONNECT_SECONDS)
    except RevisionNotFoundError as error:
        raise ModelNotFoundError(f"{named.repository} has no revision {revision!r} on the hub") from error
    except GatedRepoError as error:
        raise WeightsMissingError(
            f"{named.repository} is given to those only who accepted its terms: accept them on its page, then 'hf auth login'"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"the hub has no repository {named.repository}, or not for you: check the name; for a private one 'hf auth login'"
        ) from error
    except Exception as error:  # HTTP clients, proxies and name resolution each raise their own
        raise HubUnavailableError(
            f"the hub did not give {named.repository}: {one_line(error, 160)}"
        ) from error
