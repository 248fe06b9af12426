"""The statements that make, keep, rename and drop a collection's radius index."""

from dataclasses import replace

from psycopg import sql

from imgvec_pg.database.radius_bound import axis_count, radius_bound
from imgvec_pg.database.sql_templates import render
from imgvec_pg.store.collection import Collection

ELSEWHERE = "imgvec_schema_of_vector"
"""What stands for the extension's schema in a statement that is made as it runs."""


def coordinate_parts(collection: Collection, vector: str) -> dict[str, sql.Composable]:
    """Return the `{parts}` of the files about coordinates.

    Args:
        vector: The schema that holds the vector extension.
    """
    count = axis_count(collection.dimensions)
    return {
        **collection.parts(vector),
        "axis_count": sql.Literal(count),
        "products": _products(count, vector, sql.SQL("e.imgvec_norm")),
        "products_of_row": _products(
            count, vector, sql.SQL("{}.l2_norm(e.embedding)").format(sql.Identifier(vector))
        ),
        "axis_comment": sql.Literal(f"Axes of the radius index of {collection.name}"),
        "coordinate_comment": sql.Literal(
            f"Radius index of {collection.name}: coordinates of its embeddings, which within_{collection.name} compares first"
        ),
    }


def _products(count: int, vector: str, norm: sql.Composable) -> sql.Composed:
    """Return the products of a row's vector with each axis, over its norm."""
    product = sql.SQL("(imgvec_axes[{}] OPERATOR({}.<#>) e.embedding) OPERATOR(pg_catalog./) {}")
    return sql.SQL(", ").join(
        product.format(sql.Literal(number), sql.Identifier(vector), norm) for number in range(1, count + 1)
    )


def coordinate_tolerance(dimensions: int) -> float:
    """Return how far stored coordinates of a vector may lie from those that another machine computes."""
    return radius_bound(dimensions).moved


def coordinate_triggers(collection: Collection, vector: str) -> sql.Composed:
    """Return what makes the triggers that keep coordinates in step with embeddings, or makes them anew."""
    here, elsewhere = coordinate_parts(collection, vector), coordinate_parts(collection, ELSEWHERE)
    return render(
        "collection/coordinate_triggers.sql",
        **here,
        halfvec=sql.Literal(sql.Identifier(vector, "halfvec").as_string(None)),
        elsewhere=sql.Literal(sql.Identifier(ELSEWHERE).as_string(None)),
        insert_coordinates=render("collection/insert_coordinates.sql", **here),
        insert_coordinates_elsewhere=render("collection/insert_coordinates.sql", **elsewhere),
    )


def coordinate_policies(collection: Collection, *, hides_rows: bool) -> sql.Composed:
    """Return what makes the policies of coordinates, those of the embedding table, or makes them anew."""
    parts = collection.parts("public")
    named: dict[str, sql.Composable] = {
        **parts,
        "embedding_table": parts["coordinate_table"],
        "s_equals_embedding": collection.key_sql.visible("s", ("imgvec", f"{collection.name}_coordinates")),
    }
    name = "row_security" if hides_rows else "open_source"
    worker_policy = render("collection/worker_policy.sql", **named)
    return render(f"collection/{name}.sql", **named, worker_policy=worker_policy)


def dropping_coordinates(collection: Collection) -> sql.Composed:
    """Return the statement that drops a radius index, where there is one, once no function asks it."""
    return render("collection/drop_coordinates.sql", **collection.parts_without_source("public"))


def renaming_coordinates(collection: Collection, name: str, vector: str) -> list[sql.Composed]:
    """Return the statements that rename a radius index with its collection."""
    statements = [
        render(
            "collection/rename_pictures.sql",
            old_table=sql.Literal(f"{collection.name}_{ending}"),
            new_table=sql.Literal(f"{name}_{ending}"),
            old_functions=sql.Literal([f"{collection.name}_on_coordinates"]),
            new_functions=sql.Literal([f"{name}_on_coordinates"]),
        )
        for ending in ("coordinates", "axis")
    ]
    return [*statements, coordinate_triggers(replace(collection, name=name), vector)]
