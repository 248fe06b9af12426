"""The folder that paths are under: there, or gone with a mount."""

import os
from pathlib import Path


def explain_absence(root: Path, *, may_be_empty: bool) -> str | None:
    """Say why no picture below a root can be had, or None when nothing speaks against it.

    Args:
        may_be_empty: False where an empty folder means one that is not mounted.
    """
    found = None
    try:
        # Fails for what is no folder, and for one that this user may not enter.
        os.stat(f"{root}/.")  # noqa: PTH116 - Path would drop the dot
        if not may_be_empty and is_empty(root):
            found = "is empty"
    except OSError as error:
        found = f"cannot be opened ({error.strerror})"
    return found and f"the root folder {root} {found}: mount it, or name another with --root"


def is_empty(folder: Path) -> bool:
    """Whether nothing is in a folder; False where this user may not list it."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except PermissionError:
        return False
