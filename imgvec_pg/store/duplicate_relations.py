"""The relations that `imgvec duplicates` fills for a collection: names, statements that drop and rename them."""

from psycopg import sql

from imgvec_pg.database.sql_templates import render

RELATIONS = {
    "duplicate_view": "duplicate_{}",
    "duplicate_group_view": "duplicate_group_{}",
    "duplicate_pair_table": "{}_duplicate_pair",
    "duplicate_member_table": "{}_duplicate_member",
}
"""`{parts}` of SQL files, and the names in the schema imgvec that they stand for."""


def relation_parts(collection_name: str) -> dict[str, sql.Composable]:
    """Return the `{parts}` that name a collection's relations of duplicates."""
    return {part: sql.Identifier(pattern.format(collection_name)) for part, pattern in RELATIONS.items()}


def dropping_duplicates(collection_name: str) -> sql.Composed:
    """Return the statement that drops a collection's pairs and groups, where there are any; a run makes them again."""
    return render("collection/drop_duplicates.sql", **relation_parts(collection_name))


def renaming_duplicates(collection_name: str, new_name: str) -> sql.Composed:
    """Return the statement that renames them with their collection."""
    old = {f"old_{part}": name for part, name in relation_parts(collection_name).items()}
    return render("collection/rename_duplicates.sql", **old, **relation_parts(new_name))
