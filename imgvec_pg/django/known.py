"""What is known of a model at no cost: neither torch nor a team's own embedder is loaded."""

from functools import cache

from imgvec_pg.embedding.catalog import CATALOGUE, LOCAL_DIR_PREFIX, describe_model
from imgvec_pg.embedding.description import ModelDescription
from imgvec_pg.embedding.openclip_names import architecture_names, canonical_tag
from imgvec_pg.embedding.plugins import find_plugin
from imgvec_pg.embedding.timm_names import TIMM_PREFIX
from imgvec_pg.errors import ImgvecError


@cache
def describe_known(name: str) -> ModelDescription | None:
    """Describe a model of the catalogue, a local folder or the demo; None where only torch or an entry point could tell.

    Raises:
        ModelNotFoundError: There is no such model, architecture or folder.
    """
    architecture, slash, tag = name.partition("/")
    if slash and not name.startswith(LOCAL_DIR_PREFIX):
        is_catalogued = name in CATALOGUE or f"{architecture}/{canonical_tag(tag)}" in CATALOGUE
        if not is_catalogued and (name.startswith(TIMM_PREFIX) or architecture in architecture_names()):
            return None
    elif find_plugin(name) is not None:
        return None
    return describe_model(name)


def known_dimensions(name: str | None) -> int | None:
    """Return how many dimensions a model's vectors have; None where that is not known."""
    try:
        known = None if name is None else describe_known(name)
    except ImgvecError:
        return None
    return None if known is None else known.dimensions
