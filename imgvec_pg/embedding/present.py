"""Where a model's weights are on this machine, without fetching or reading them."""

from imgvec_pg.embedding.description import PLUGIN, ModelDescription
from imgvec_pg.embedding.hub import cached_file
from imgvec_pg.embedding.weights import (
    OUTSIDE_THE_HUB,
    find_in_model_directory,
    weights_in_folder,
    weights_names,
)
from imgvec_pg.errors import ImgvecError

MISSING = "not on this machine"


def where_weights_are(model: ModelDescription) -> str:
    """Return a file's path, or a line that says how to get it."""
    if model.library == PLUGIN:
        return "the embedder's own"
    try:
        if model.folder is not None:
            return str(weights_in_folder(model.name, model.folder, weights_names(model)))
        found = find_in_model_directory(model)
    except ImgvecError as error:
        return str(error)
    if found is not None:
        return str(found)
    if not model.hub_repository:
        return f"{MISSING}; {OUTSIDE_THE_HUB}"
    cached = cached_file(model.hub_repository, model.hub_filename)
    return cached or (
        f"{MISSING}; {model.hub_repository}/{model.hub_filename} on the hub, fetched at first use or by "
        f"imgvec model fetch {model.name} --to DIR"
    )
