"""Names of a collection's map, and the statements that drop and rename it with its collection."""

from psycopg import sql

from imgvec_pg.database.sql_templates import render

MAP_RELATIONS = {
    "map_view": "map_{}",
    "map_point_table": "{}_map_point",
    "map_cluster_table": "{}_map_cluster",
    "map_run_table": "{}_map_run",
}
"""`{parts}` of SQL files, and the names in the schema imgvec that they stand for."""


def map_relation_parts(collection_name: str) -> dict[str, sql.Composable]:
    """Return the `{parts}` that name a collection's map."""
    return {part: sql.Identifier(pattern.format(collection_name)) for part, pattern in MAP_RELATIONS.items()}


def dropping_map(collection_name: str) -> sql.Composed:
    """Return the statement that drops a collection's map, where there is one."""
    return render("collection/drop_map.sql", **map_relation_parts(collection_name))


def renaming_map(collection_name: str, new_name: str) -> sql.Composed:
    """Return the statement that renames it with its collection."""
    old = {f"old_{part}": name for part, name in map_relation_parts(collection_name).items()}
    return render("collection/rename_map.sql", **old, **map_relation_parts(new_name))
