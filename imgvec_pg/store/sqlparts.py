"""Names of a source inside statements with bound values."""

from collections.abc import Mapping

from psycopg import sql


def bindable(parts: Mapping[str, sql.Composable]) -> dict[str, sql.Composable]:
    """Double the percent signs of names such as "discount %", where psycopg would look for a placeholder."""
    return {name: escape_percent(part) for name, part in parts.items()}


def escape_percent(part: sql.Composable) -> sql.SQL:
    """Return a part without placeholders as text for a statement with bound values."""
    return sql.SQL(part.as_string(None).replace("%", "%%"))
