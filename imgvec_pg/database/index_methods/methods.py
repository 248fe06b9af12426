"""The index methods that have a module here, by their names in pg_am."""

from imgvec_pg.database.index_methods.hnsw import HnswMethod
from imgvec_pg.database.index_methods.ivfflat import IvfflatMethod, check_lists
from imgvec_pg.database.index_methods.scan import IndexMethod, OtherMethod
from imgvec_pg.errors import UsageError

QUANTIZATIONS = ("bit",)

BUILT_HERE: dict[str, IndexMethod] = {"hnsw": HnswMethod(), "ivfflat": IvfflatMethod()}
"""Those that `imgvec index create` builds."""


def index_method(name: str) -> IndexMethod:
    """Return the method of this name, with nothing to set where it has no module here."""
    return BUILT_HERE.get(name) or OtherMethod(name)


def check_quantization(quantization: str | None) -> None:
    """Refuse an unknown kind of index.

    Raises:
        UsageError: Neither "bit" nor None.
    """
    if quantization is not None and quantization not in QUANTIZATIONS:
        raise UsageError(f"quantization is {quantization!r}; expected {' or '.join(QUANTIZATIONS)}, or None")


def check_index_method(method: str, lists: int | None, quantization: str | None) -> None:
    """Refuse a method that is not built here, or options of another one.

    Raises:
        UsageError: Neither "hnsw" nor "ivfflat"; lists without "ivfflat"; bits with it.
    """
    if method not in BUILT_HERE:
        raise UsageError(f"the index method is {method!r}; expected {' or '.join(BUILT_HERE)}")
    check_lists(lists)
    if method != "ivfflat" and lists is not None:
        raise UsageError(f"lists are of the index method ivfflat, this is {method}; leave them out")
    if method == "ivfflat" and quantization is not None:
        raise UsageError(
            f"the quantization {quantization} is of the index method hnsw, this is {method}; expected none"
        )
