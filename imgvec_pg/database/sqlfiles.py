"""SQL is kept in files; this finds them and fills in identifiers."""

from functools import cache
from pathlib import Path

from psycopg import sql

PACKAGE = Path(__file__).resolve().parent.parent


def shipped_directory(name: str) -> Path:
    """Return the folder `sql` or `migrations`: inside an installed package, beside it in a checkout."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


@cache
def load_sql(name: str) -> sql.SQL:
    """Return the statement in `sql/<name>`, its `{parts}` not yet filled in."""
    return sql.SQL((shipped_directory("sql") / name).read_text(encoding="utf-8"))


def render(name: str, **parts: sql.Composable) -> sql.Composed:
    """Return the statement in `sql/<name>` with its `{parts}` filled in; %(values)s stay bound parameters."""
    return load_sql(name).format(**parts)
