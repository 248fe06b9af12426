"""Load SQL files and fill in identifiers."""

from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg import sql

from imgvec_pg.errors import InstallationError

if TYPE_CHECKING:
    from sqlalchemy import TextClause
from collections.abc import Iterator, Mapping

PACKAGE = Path(__file__).resolve().parent.parent
SHARED = {
    **{part: f"index_methods/{part}.sql" for part in ("distance_indexes", "index_lists", "index_probes")},
    "drop_mapped_server": "shards/drop_mapped_server.sql",
    "spans_shards": "shards/spans_shards.sql",
    "vacuum_settings": "collection/vacuum_settings.sql",
}
"""`{parts}` that any file may use, and the files that they are."""


def shipped_directory(name: str) -> Path:
    """Return the folder `sql` or `migrations`: inside an installed package, beside it in a checkout.

    Raises:
        InstallationError: It is in neither place.
    """
    for folder in (PACKAGE / name, PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise _incomplete(PACKAGE / name)


@cache
def load_sql(name: str) -> sql.SQL:
    """Return the statement in `sql/<name>`, its `{parts}` not yet filled in.

    Raises:
        InstallationError: There is no such file.
    """
    file = shipped_directory("sql") / name
    try:
        return sql.SQL(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _incomplete(file) from error


def _incomplete(path: Path) -> InstallationError:
    return InstallationError(
        f"this installation is incomplete: {path}, which belongs to it, is missing; "
        "install it again: pip install --force-reinstall --no-deps imgvec-pg"
    )


def render(name: str, **parts: sql.Composable) -> sql.Composed:
    """Return the statement in `sql/<name>` with its `{parts}` filled in; %(values)s stay bound parameters."""
    shared = {part: load_sql(file) for part, file in SHARED.items()}
    return load_sql(name).format(**{**shared, **parts})


def as_alembic_text(name: str, **parts: sql.Composable) -> "TextClause":
    """Return `sql/<name>` for Alembic's op.execute(), online and with --sql."""
    from sqlalchemy import text

    statement = render(name, **parts).as_string(None).rstrip().removesuffix(";")
    return text(statement.replace(":", "\\:"))


@contextmanager
def pinned_revision_path() -> Iterator[None]:
    """Have names in a revision mean PostgreSQL's own; an application, whose revisions may follow, gets its path back."""
    from alembic import op

    op.execute(
        "SELECT pg_catalog.set_config('imgvec.search_path', pg_catalog.current_setting('search_path'), true)"
    )
    op.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    yield
    # With a version table of ours the path ends with the transaction: Alembic's own UPDATE of it is still to come.
    if op.get_context().version_table_schema != "imgvec":
        op.execute(
            "SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('imgvec.search_path'), true)"
        )


def bindable(parts: Mapping[str, sql.Composable]) -> dict[str, sql.Composable]:
    """Double the percent signs of names such as "discount %", where psycopg would look for a placeholder."""
    return {name: escape_percent(part) for name, part in parts.items()}


def escape_percent(part: sql.Composable) -> sql.SQL:
    """Return a part without placeholders as text for a statement with bound values."""
    return sql.SQL(part.as_string(None).replace("%", "%%"))
