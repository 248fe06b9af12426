"""The index methods that have a module here, by their names in pg_am."""

from imgvec_pg.database.index_methods.hnsw import HnswMethod
from imgvec_pg.database.index_methods.ivfflat import IvfflatMethod
from imgvec_pg.database.index_methods.scan import IndexMethod, OtherMethod

BUILT_HERE: dict[str, IndexMethod] = {"hnsw": HnswMethod(), "ivfflat": IvfflatMethod()}
"""Those that `imgvec index create` builds."""


def index_method(name: str) -> IndexMethod:
    """Return the method of this name, with nothing to set where it has no module here."""
    return BUILT_HERE.get(name) or OtherMethod(name)
