"""Settings read from the environment, in one place.

The connection itself is libpq's business: PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSERVICE all work.
"""

import os
from pathlib import Path


def dsn_from_environment() -> str:
    """Return IMGVEC_DSN, or "" which lets libpq read its own PG* variables."""
    return os.environ.get("IMGVEC_DSN", "")


def model_directory() -> Path | None:
    """Return IMGVEC_MODEL_DIR, where weights are looked for before any hub, or None when unset."""
    value = os.environ.get("IMGVEC_MODEL_DIR")
    return Path(value).expanduser() if value else None


def state_directory() -> Path:
    """Return the folder for the private server and the demo: IMGVEC_HOME, else ~/.local/share/imgvec."""
    value = os.environ.get("IMGVEC_HOME")
    if value:
        return Path(value).expanduser()
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "imgvec"
