"""The libraries of the extra `map`, named in one line where one is missing."""

import importlib
from types import ModuleType

from imgvec_pg.errors import MissingExtraError


def require_module(name: str) -> ModuleType:
    """Import a module of the extra.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingExtraError(
            f"computing a map needs the package {package} ({error}): pip install 'imgvec-pg[map]'"
        ) from error
