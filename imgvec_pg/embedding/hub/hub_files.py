"""Hugging Face hub: look into its cache, and download once what is missing."""

import os

from imgvec_pg.embedding.runtime import one_line, require_models_extra
from imgvec_pg.errors import ModelError

CONNECT_SECONDS = 5.0


class HubUnavailableError(ModelError):
    """The hub may not be asked, cannot be reached or does not have the file."""


def cached_file(repository: str, filename: str) -> str | None:
    """Return the path of a file in the hub's cache on this machine, or None.

    Raises:
        MissingExtraError: The extra `models` is not installed.
    """
    require_models_extra("looking into the hub's cache")
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, filename)
    return found if isinstance(found, str) else None


def is_offline() -> bool:
    """Return whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids any request."""
    values = (os.environ.get(name, "").upper() for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value in {"1", "ON", "YES", "TRUE"} for value in values)


def ask_for_file(repository: str, filename: str) -> None:
    """Ask the hub once whether it has the file.

    hf_hub_download alone would retry an unreachable hub for 23 seconds and more (huggingface_hub 2.4).

    Raises:
        HubUnavailableError: No.
    """
    if is_offline():
        raise HubUnavailableError("HF_HUB_OFFLINE forbids asking the hub")
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        get_hf_file_metadata(hf_hub_url(repository, filename), timeout=CONNECT_SECONDS)
    except Exception as error:  # HTTP clients, proxies and name resolution each raise their own
        raise HubUnavailableError(
            f"the hub did not give {repository}/{filename}: {one_line(error, 160)}"
        ) from error


def download_file(repository: str, filename: str) -> str:
    """Return the path of a file from the hub's cache, fetching it when it is not there.

    Raises:
        HubUnavailableError: It is not cached and cannot be fetched.
    """
    found = cached_file(repository, filename)
    if found is not None:
        return found
    ask_for_file(repository, filename)
    from huggingface_hub import hf_hub_download

    try:
        return str(hf_hub_download(repository, filename, etag_timeout=CONNECT_SECONDS))
    except Exception as error:
        raise HubUnavailableError(
            f"fetching {repository}/{filename} broke off: {one_line(error, 160)}"
        ) from error
