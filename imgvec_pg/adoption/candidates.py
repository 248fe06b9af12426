"""Models that may have made vectors of a number of dimensions, of those whose weights are on this machine."""

from collections.abc import Iterable
from pathlib import Path

from imgvec_pg import settings
from imgvec_pg.embedding.catalog import CATALOGUE, DEMO_NAME, LOCAL_DIR_PREFIX, describe_model
from imgvec_pg.embedding.description import PLUGIN
from imgvec_pg.embedding.local_dir import CONFIG_NAME
from imgvec_pg.embedding.weights import where_weights_are
from imgvec_pg.errors import ImgvecError

AUTO = "auto"
"""What --model is where the maker is not known."""


def find_candidates(dimensions: int, known: Iterable[str] = ()) -> list[str]:
    """Return the names of models of so many dimensions that can be loaded here without fetching anything.

    Those of the catalogue, of IMGVEC_MODEL_DIR (folders in OpenCLIP's format under names of their own), the demo's, and others.

    Args:
        known: Further names, such as those that the database has.
    """
    names = [*known, *CATALOGUE, *_own_folders(), DEMO_NAME]
    return [name for name in dict.fromkeys(names) if _is_candidate(name, dimensions)]


def _is_candidate(name: str, dimensions: int) -> bool:
    try:
        model = describe_model(name)
    except ImgvecError:
        return False  # of a package, a folder or a release that is no longer here
    if model.dimensions != dimensions:
        return False
    return model.library == PLUGIN or Path(where_weights_are(model)).is_file()


def _own_folders() -> list[str]:
    directory = settings.model_directory()
    if directory is None or not directory.is_dir():
        return []
    published = {name.replace("/", "--") for name in CATALOGUE}
    return [
        f"{LOCAL_DIR_PREFIX}{folder}"
        for folder in sorted(directory.iterdir())
        if folder.name not in published and (folder / CONFIG_NAME).is_file()
    ]
