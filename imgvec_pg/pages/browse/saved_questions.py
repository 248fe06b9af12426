"""Saved questions of the page, asked by SQL functions: rows least like the rest, and rows that differ most from each other."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import render
from imgvec_pg.pages.browse.statement import filtered_keys, key_value
from imgvec_pg.pages.browse.targets import Target
from imgvec_pg.search.nearest import Neighbour
from imgvec_pg.search.rows import NO_DISTANCE
from imgvec_pg.search.transaction import read_only_transaction, shown_columns
from imgvec_pg.store.collection import Collection

DIFFERENT_ROWS = 48
"""Each is compared with all candidates: the function takes 100 at most."""
SAMPLE_ROWS = 1000
"""Candidates of diverse_*, its most; without a question so many rows, by chance."""
DIVERSITY = 0.5
LARGE_ROWS = 50_000
"""Beyond, without a filter, the sample is of some of the table's blocks instead of all rows."""
SAMPLED_ROWS = 4 * SAMPLE_ROWS
"""In these blocks about so many."""


@dataclass(frozen=True)
class SavedCall:
    """A call of a function of the collection, as SQL.

    Attributes:
        target: What to be near to; None for nothing.
        where: SQL condition, as NearestOptions has it.
        embedded: How many rows are embedded, about.
        source: What the source's rows are read from.
    """

    connection: Connection
    collection: Collection
    target: Target | None
    where: str | None
    embedded: float
    source: sql.Composable

    def outliers(self, rows: int) -> sql.Composed:
        """Return the call that gives the rows least like the rest."""
        return self._call("outliers", [sql.Literal(rows), *self._among()])

    def different(self) -> sql.Composed:
        """Return the call that gives rows unlike each other: near the target, else of rows by chance, the most typical first."""
        options = [sql.SQL("candidates => {}").format(SAMPLE_ROWS)]
        if self.target is not None:
            given = [self.target.expression, sql.Literal(DIFFERENT_ROWS), *self._among()]
            return self._call("diverse", [*given, sql.SQL("diversity => {}").format(DIVERSITY), *options])
        given = [sql.SQL("r.imgvec_middle"), sql.Literal(DIFFERENT_ROWS), sql.SQL("among => r.imgvec_keys")]
        call = self._call("diverse", [*given, sql.SQL("diversity => 1"), *options])
        return sql.SQL("{}CROSS JOIN LATERAL {}").format(self._sample(), call)

    def _call(self, function: str, arguments: Sequence[sql.Composable]) -> sql.Composed:
        return sql.SQL("imgvec.{}(\n         {}\n     )").format(
            sql.Identifier(f"{function}_{self.collection.name}"), sql.SQL(",\n         ").join(arguments)
        )

    def _among(self) -> list[sql.Composable]:
        if self.where is None:
            return []
        return [filtered_keys(self.collection, self.source, [sql.SQL("({})").format(sql.SQL(self.where))])]

    def _sample(self) -> sql.Composed:
        """Return a relation of one row, the mean and the keys of a sample; of none where there are no rows."""
        names, vector = self.collection.key_columns, sql.Identifier(vector_schema(self.connection))
        keys = sql.SQL(", ").join(sql.Identifier("e", name) for name in names)
        rows: sql.Composable = sql.SQL("imgvec.{} AS e").format(
            sql.Identifier(self.collection.embedding_table)
        )
        if self.where is not None:
            # The keys alone: a role may not be allowed to read every column.
            rows = sql.SQL(
                "{rows} JOIN (SELECT {keys} FROM {source} WHERE {where}) AS s USING ({keys})"
            ).format(
                rows=rows,
                source=self.source,
                where=sql.SQL(self.where),
                keys=sql.SQL(", ").join(map(sql.Identifier, names)),
            )
        elif self.embedded > LARGE_ROWS:
            share = sql.SQL(f"{min(100.0, 100 * SAMPLED_ROWS / self.embedded):.6f}")
            rows = sql.SQL("{} TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(rows, share)
        return render(
            "collection/saved_sample.sql",
            vector=vector,
            r_key=key_value(self.collection, "r"),
            e_keys=keys,
            rows=rows,
            sample_rows=sql.Literal(SAMPLE_ROWS),
        )


def rows_of_call(
    connection: Connection,
    collection: Collection,
    columns: Sequence[str],
    call: sql.Composable,
    where: str | None,
    *,
    has_distance: bool,
) -> list[Neighbour]:
    """Return the rows that a call gives, in its order.

    Args:
        has_distance: Whether its distance is one to what a person asked for; else it is -1.

    Raises:
        UsageError: PostgreSQL does not understand the condition.
        DatabaseError: The role may not read what was asked for.
    """
    shown = shown_columns(connection, collection, columns)
    statement = render(
        "collection/saved_question.sql",
        asked=call,
        n_key=collection.key_sql.json("n"),
        shown=sql.SQL(", ") + shown["shown"] if columns else sql.SQL(""),
        wanted=shown["wanted"],
        source=collection.rows,
        n_equals_s=collection.key_sql.equal("n", "s"),
    )
    with read_only_transaction(connection, collection, where) as cursor:
        found = cursor.execute(statement).fetchall()
    return [
        Neighbour(key, distance if has_distance else NO_DISTANCE, dict(zip(columns, values, strict=True)))
        for key, distance, *values in found
    ]


def call_statement(connection: Connection, collection: Collection, call: sql.Composable) -> str:
    """Return a statement that gives the rows of a call with all their columns."""
    return (
        sql.SQL(
            "SELECT s.*, n.distance\nFROM {call} WITH ORDINALITY AS n\nJOIN {source} AS s USING ({keys})\nORDER BY n.ordinality;"
        )
        .format(
            call=call,
            source=collection.source,
            keys=sql.SQL(", ").join(map(sql.Identifier, collection.key_columns)),
        )
        .as_string(connection)
    )
