"""SHA-256 of weights: computed once per load and compared with the recorded one."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgvec_pg.errors import ModelError

SUMS_NAME = "SHA256SUMS"
"""As `sha256sum` writes and checks it, beside the files of a model's folder."""
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recorded_sha256(path: Path) -> str | None:
    """Return what a file's SHA-256 should be: by SHA256SUMS beside it, or by its name in the hub's cache.

    Raises:
        ModelError: SHA256SUMS has a line that cannot be read.
    """
    sums = path.with_name(SUMS_NAME)
    if sums.is_file():
        for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
            found = _LINE.fullmatch(line.strip())
            if found is None and line.strip():
                raise ModelError(
                    f"{sums} is no list of SHA-256 sums (line {line[:60]!r}): fetch the model again"
                )
            if found is not None and found[2] == path.name:
                return found[1]
    # huggingface_hub keeps a large file as blobs/<its SHA-256>, and its snapshots are links to these.
    blob = path.resolve()
    if blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return blob.name
    return None


_hashed: dict[tuple[str, int, int, int, int], str] = {}
"""By path, device, inode, size and time of the last change in ns: one command may look at the same gigabytes three times."""


def _sha256_of_same(path: Path) -> str:
    """Return the SHA-256 (hex) of a file, that of before where this process has read it and it has not changed since."""
    found = path.stat()
    key = (str(path.resolve()), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    if key not in _hashed:
        _hashed[key] = sha256_of(path)
    return _hashed[key]


def verified_sha256(path: Path) -> str:
    """Return a file's SHA-256 (hex), after comparing it with the recorded one where there is one.

    Raises:
        ModelError: They differ.
    """
    expected = recorded_sha256(path)
    actual = _sha256_of_same(path)
    if expected is not None and actual != expected:
        raise ModelError(
            f"{path} has the SHA-256 {actual[:12]}…, recorded is {expected[:12]}…: it is damaged or was replaced; "
            "fetch it again"
        )
    return actual


def write_sums(folder: Path, names: list[str]) -> Path:
    """Write SHA256SUMS for files of a folder and return its path."""
    sums = folder / SUMS_NAME
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in sorted(names)]
    sums.write_text("".join(lines), encoding="utf-8")
    return sums


def fingerprint_model(
    weights_sha256: str,
    config: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    tokenizer: Mapping[str, str],
) -> str:
    """Return SHA-256 (hex) over all that decides a model's embeddings, save precision and device.

    The weights count as the bytes of their file: the same numbers in another dtype are another model.
    """
    parts = {
        "weights": weights_sha256,
        "model": config,
        "preprocessing": preprocessing,
        "tokenizer": tokenizer,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
