"""Pictures that are neither bytes in the table nor files below a folder: read by a function of the application's.

IMGVEC_FETCH names it as `package.module:function`, so that every process of a worker finds it. It is called with a
collection's name and returns a function from a path to the encoded bytes, or None where the collection's pictures
are ordinary files. That function is called by several threads at once, and raises ImageError for a picture that
cannot be had.
"""

import importlib
from collections.abc import Callable

from imgvec_pg.errors import UsageError
from imgvec_pg.settings import fetch_function

Fetch = Callable[[str], bytes]


def find_fetch(collection_name: str) -> Fetch | None:
    """Return what reads the pictures of a collection, None for files below its root folder.

    Raises:
        UsageError: IMGVEC_FETCH names no function.
    """
    named = fetch_function()
    if not named:
        return None
    module_name, _, function_name = named.partition(":")
    try:
        find = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f'IMGVEC_FETCH is "{named}", which cannot be loaded ({error}); expected package.module:function'
        ) from error
    fetch: Fetch | None = find(collection_name)
    return fetch
