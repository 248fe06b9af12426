"""The SQL behind what a page shows, as psql takes it: the library's own functions, the source's own columns."""

from collections.abc import Sequence

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.pages.browse.ordered_rows import RowOrder
from imgvec_pg.pages.browse.ordering import NEAR_ENOUGH_ROWS
from imgvec_pg.pages.browse.question import Question
from imgvec_pg.pages.browse.targets import Target, vector_literal
from imgvec_pg.search.query_types import Float32Array, RowKey
from imgvec_pg.store.collection import Collection


def nearest_statement(
    connection: Connection,
    collection: Collection,
    question: Question,
    target: Target,
    where: str | None,
    rows: int,
    cut: float | None,
) -> str:
    """Return a statement that gives the nearest rows.

    Args:
        rows: How many.
        cut: With an order: the distance within which rows are near enough.
    """
    keys = sql.SQL(", ").join(map(sql.Identifier, collection.key_columns))
    is_ordered = question.order_column is not None
    limit = NEAR_ENOUGH_ROWS if is_ordered else rows
    conditions: list[sql.Composable] = [] if where is None else [sql.SQL("({})").format(sql.SQL(where))]
    if isinstance(target.query, RowKey):
        # The row that is asked with is not in its own answer.
        conditions.append(_is_other(collection, target.query))
    arguments: list[sql.Composable] = [target.expression, sql.Literal(limit)]
    if conditions:
        arguments.append(filtered_keys(collection, collection.source, conditions))
    if not question.all_rows:
        arguments.append(sql.SQL("distinct_pictures => true"))
    made = sql.SQL(
        "SELECT s.*, n.distance\nFROM imgvec.{search}(\n         {arguments}\n     ) AS n\nJOIN {source} AS s USING ({keys})\n"
    ).format(
        search=sql.Identifier(f"search_{collection.name}"),
        arguments=sql.SQL(",\n         ").join(arguments),
        source=collection.source,
        keys=keys,
    )
    if is_ordered:
        order = RowOrder(question.order_column, question.descending).column_clause("s")
        made += sql.SQL("WHERE n.distance <= {}\nORDER BY {}, n.distance;").format(sql.Literal(cut), order)
    else:
        made += sql.SQL("ORDER BY n.distance;")
    return made.as_string(connection)


def plain_statement(
    connection: Connection,
    collection: Collection,
    vectors: Sequence[Float32Array],
    where: str | None,
    rows: int,
) -> str:
    """Return a statement that gives the rows nearest to one of several vectors.

    Args:
        rows: How many.
    """
    keys = sql.SQL(", ").join(map(sql.Identifier, collection.key_columns))
    options: list[sql.Composable] = [sql.Literal(rows)]
    if where is not None:
        options.append(filtered_keys(collection, collection.source, [sql.SQL("({})").format(sql.SQL(where))]))
    options.append(sql.SQL("distinct_pictures => true"))
    calls = [
        sql.SQL("SELECT {keys}, distance FROM imgvec.{search}({arguments})").format(
            keys=keys,
            search=sql.Identifier(f"search_{collection.name}"),
            arguments=sql.SQL(", ").join([vector_literal(connection, vector), *options]),
        )
        for vector in vectors
    ]
    return (
        sql.SQL(
            "SELECT s.*, n.distance\nFROM (\n    SELECT {keys}, min(distance) AS distance\n    FROM (\n        {calls}\n"
            "    ) AS plain\n    GROUP BY {keys} ORDER BY min(distance), {keys} LIMIT {rows}\n) AS n\n"
            "JOIN {source} AS s USING ({keys})\nORDER BY n.distance, {keys};"
        )
        .format(
            keys=keys,
            calls=sql.SQL("\n        UNION ALL\n        ").join(calls),
            rows=sql.Literal(rows),
            source=collection.source,
        )
        .as_string(connection)
    )


def rows_statement(
    connection: Connection, collection: Collection, order: RowOrder | None, where: str | None, rows: int
) -> str:
    """Return a statement that gives rows without a question.

    Args:
        order: None for what was embedded last.
    """
    keys = sql.SQL(", ").join(map(sql.Identifier, collection.key_columns))
    # In brackets: the embedding table has columns too.
    source: sql.Composable = collection.source
    if where is not None:
        source = sql.SQL("(SELECT * FROM {} WHERE {})").format(source, sql.SQL(where))
    ordering = (
        sql.SQL("e.embedded_at DESC, {}").format(RowOrder().clause(collection, "s"))
        if order is None
        else order.clause(collection, "s")
    )
    return (
        sql.SQL(
            "SELECT s.*\nFROM {source} AS s\nJOIN imgvec.{embedding_table} AS e USING ({keys})\n"
            "ORDER BY {ordering}\nLIMIT {rows};"
        )
        .format(
            source=source,
            embedding_table=sql.Identifier(collection.embedding_table),
            keys=keys,
            ordering=ordering,
            rows=sql.Literal(rows),
        )
        .as_string(connection)
    )


def filtered_keys(
    collection: Collection, source: sql.Composable, conditions: Sequence[sql.Composable]
) -> sql.Composed:
    """Return the argument `among` of a function: the keys of the source's rows that meet all conditions."""
    return sql.SQL("among => ARRAY(SELECT {key} FROM {source} AS s WHERE {conditions})").format(
        key=key_value(collection, "s"), source=source, conditions=sql.SQL(" AND ").join(conditions)
    )


def key_value(collection: Collection, row: str) -> sql.Composable:
    """Return a row's key as one value: of several columns as the collection's own type."""
    columns = sql.SQL(", ").join(sql.Identifier(row, name) for name in collection.key_columns)
    if len(collection.key_columns) == 1:
        return columns
    return sql.SQL("ROW({})::{}").format(columns, sql.Identifier("imgvec", f"{collection.name}_key"))


def _is_other(collection: Collection, row: RowKey) -> sql.Composable:
    names, values = collection.key_columns, row.texts
    return sql.SQL("NOT ({})").format(
        sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("s", name), sql.Literal(value))
            for name, value in zip(names, values, strict=True)
        )
    )
