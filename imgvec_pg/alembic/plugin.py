"""Alembic loads this as it starts (entry point alembic.plugins): the operations are there, and autogenerate can be told.

In env.py: context.configure(…, autogenerate_plugins=["alembic.autogenerate.*", "imgvec_pg"]).
"""

from typing import TYPE_CHECKING, Any

from alembic.util import DispatchPriority

from imgvec_pg.alembic import collections, hnswindexes

if TYPE_CHECKING:
    from alembic.runtime.plugins import Plugin

__all__ = ["collections", "hnswindexes", "setup"]


def setup(plugin: "Plugin") -> None:
    """Register what autogenerate compares, after Alembic's own."""
    plugin.add_autogenerate_comparator(
        _compare, "schema", priority=DispatchPriority.LAST, qualifier="postgresql"
    )


def _compare(*arguments: Any) -> Any:  # noqa: ANN401
    # Imported late: Alembic is still loading as it loads this.
    from imgvec_pg.alembic.compare import compare_schema

    return compare_schema(*arguments)
