"""Libraries that a format takes: each in an extra of the package, named in one line where it is missing."""

import importlib
from types import ModuleType

from imgvec_pg.errors import MissingExtraError

EXTRAS = {"pyarrow": "transfer", "lancedb": "lancedb", "faiss": "faiss"}
"""Module and the extra that brings it."""


def require_module(name: str, purpose: str) -> ModuleType:
    """Import a module of an extra, or of a part of one such as "pyarrow.parquet".

    Args:
        purpose: What needs it, the subject of the error's line: "reading a LanceDB table".

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        extra = EXTRAS[package]
        raise MissingExtraError(
            f"{purpose} needs the package {package} ({error}): pip install 'imgvec-pg[{extra}]'"
        ) from error
