"""What searches order by distance: the rows of a collection, or its different pictures joined with their rows."""

from collections.abc import Sequence

from psycopg import sql


def ranking_parts(
    embedding_table: str, picture_table: str, key_columns: Sequence[str], vector: str, *, by_picture: bool
) -> dict[str, sql.Composable]:
    """Return the `{parts}` that name the table with the HNSW index, its vectors, and rows in the order of their distances.

    Args:
        vector: The schema that holds the vector extension.
        by_picture: Whether the index is over different pictures.
    """
    rows = sql.SQL("imgvec.{}").format(sql.Identifier(embedding_table))
    if not by_picture:
        return {
            "indexed_table": sql.Identifier(embedding_table),
            "ranked": sql.SQL("e"),
            "ranked_rows": sql.SQL("{} AS e").format(rows),
            "near_keys": sql.SQL(", ").join(map(sql.Identifier, key_columns)),
            "near_embedding": sql.SQL("embedding"),
            "near_rows": rows,
        }
    # The vectors as a function's arguments: as operands of = PostgreSQL would count on next to no rows. A role under
    # row-level security gets the index on a column by an operator that leaks nothing, not one on an expression.
    joined = sql.SQL(
        "imgvec.{pictures} AS p JOIN {rows} AS e ON e.content_hash OPERATOR(pg_catalog.=) p.content_hash "
        "AND NOT {vector}.halfvec_ne(e.embedding, p.embedding)"
    ).format(pictures=sql.Identifier(picture_table), rows=rows, vector=sql.Identifier(vector))
    return {
        "indexed_table": sql.Identifier(picture_table),
        "ranked": sql.SQL("p"),
        "ranked_rows": joined,
        "near_keys": sql.SQL(", ").join(sql.Identifier("e", name) for name in key_columns),
        "near_embedding": sql.SQL("p.embedding"),
        "near_rows": joined,
    }
