"""Alembic plugin (entry point alembic.plugins): registers the operations and the autogenerate comparators.

In env.py: context.configure(…, autogenerate_plugins=["alembic.autogenerate.*", "imgvec_pg"]).
"""

from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from alembic.util import DispatchPriority

from imgvec_pg.alembic import alter_collection, alter_collection_key, collection_ops, index_ops

if TYPE_CHECKING:
    from alembic.runtime.plugins import Plugin

__all__ = ["alter_collection", "alter_collection_key", "collection_ops", "index_ops", "module", "setup"]


def setup(plugin: "Plugin") -> None:
    """Register what autogenerate compares, after Alembic's own."""
    plugin.add_autogenerate_comparator(
        _compare, "schema", priority=DispatchPriority.LAST, qualifier="postgresql"
    )


def _compare(*arguments: Any) -> Any:  # noqa: ANN401
    # Imported late: Alembic is still loading as it loads this.
    from imgvec_pg.alembic.compare import compare_schema

    return compare_schema(*arguments)


class PluginModule(ModuleType):
    """What the entry point gives: Alembic 1.18 goes through it as a collection of modules, later ones take it as a module."""

    setup = staticmethod(setup)

    def __iter__(self) -> Iterator[ModuleType]:
        yield self


module = PluginModule(__name__)
