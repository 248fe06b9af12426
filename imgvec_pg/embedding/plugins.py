"""Plugins: embedders of the entry point group `imgvec_pg.embedders`."""

from importlib.metadata import EntryPoint, entry_points

from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ModelError

ENTRY_POINT_GROUP = "imgvec_pg.embedders"


def find_plugin(name: str) -> EntryPoint | None:
    """Return the entry point of this name, or None.

    Raises:
        ModelError: Two installed packages claim the name.
    """
    found = tuple(entry_points(group=ENTRY_POINT_GROUP, name=name))
    if len({point.value for point in found}) > 1:
        claims = ", ".join(sorted(point.value for point in found))
        raise ModelError(
            f"the embedder {name!r} is claimed by several packages ({claims}): uninstall all but one"
        )
    return found[0] if found else None


def load_plugin(plugin: EntryPoint, *, device: str = "auto", precision: str = "auto") -> Embedder:
    """Call an entry point's `callable(device=, precision=)` and return its embedder.

    Raises:
        ModelError: It cannot be imported, or fails.
    """
    try:
        embedder: Embedder = plugin.load()(device=device, precision=precision)
    except Exception as error:  # other people's code may raise anything
        raise ModelError(
            f"the embedder {plugin.name!r} ({plugin.value}) failed to load: {error!r}"
        ) from error
    missing = [
        part for part in ("name", "dimensions", "fingerprint", "has_text") if not hasattr(embedder, part)
    ]
    if missing:
        raise ModelError(
            f"the embedder {plugin.name!r} ({plugin.value}) lacks {', '.join(missing)}: "
            "see imgvec_pg.embedding.embedder.Embedder"
        )
    return embedder
