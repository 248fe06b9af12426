"""The statements that measure recall: draw rows, ask by the index, ask exactly."""

from psycopg import sql

from imgvec_pg.database.index_methods.hnsw import MAX_EF_SEARCH
from imgvec_pg.database.sql_templates import bindable, escape_percent, render
from imgvec_pg.search.bit_index import call_bits, candidate_count
from imgvec_pg.search.query_types import RowKey
from imgvec_pg.store.collection import Collection


class RecallSql:
    """The statements for one collection and condition.

    Args:
        schema: The one that holds the vector extension.
        where: SQL condition over the source's columns.
    """

    def __init__(self, collection: Collection, schema: str, where: str | None) -> None:
        self.collection = collection
        self.schema = schema
        self.is_quantized = collection.quantization is not None
        self._key = collection.key_sql
        # The line break keeps a trailing comment of the condition from swallowing the bracket.
        condition = escape_percent(sql.SQL("true" if where is None else f"(\n{where}\n)"))
        self._parts = bindable(
            {
                **collection.parts(schema),
                "e_key": self._key.json("e"),
                "e_texts": sql.SQL(", ").join(
                    sql.SQL("{}::pg_catalog.text").format(sql.Identifier("e", name))
                    for name in collection.key_columns
                ),
                "n_key": self._key.json("n"),
                "n_equals_s": self._key.equal("n", "s"),
            }
        )
        self._matching = sql.SQL("(SELECT {keys} FROM {source} WHERE {condition})").format(
            keys=self._parts["keys"], source=self._parts["source"], condition=condition
        )
        self._has_condition = where is not None

    def candidates(self, k: int) -> int:
        """Return how many rows the bits give at least, for k to be chosen from."""
        return candidate_count(k, None)

    def least_ef_search(self, k: int) -> int:
        """Return the least that a search for k rows sets: hnsw.ef_search, 1 to 1000; of bits the candidates, up to 20,000."""
        return self.candidates(k) if self.is_quantized else min(k, MAX_EF_SEARCH)

    def session_ef_search(self) -> sql.Composed:
        """Return a statement that loads pgvector, whose settings exist from then on, and gives the session's ef_search."""
        return render("queries/session_ef_search.sql", vector=sql.Identifier(self.schema))

    def sample(self, *, matching: bool) -> sql.Composed:
        """Return the statement that draws rows; its values are percent, seed and sample."""
        restriction: sql.Composable = sql.SQL("true")
        if matching:
            restriction = sql.SQL("EXISTS (SELECT FROM {} AS s WHERE {})").format(
                self._matching, self._parts["e_equals_s"]
            )
        return render("collection/sample_rows.sql", **self._parts, restriction=restriction)

    def nearest(self, row: RowKey, *, exactly: bool) -> tuple[sql.Composed, dict[str, object]]:
        """Return the statement that gives a row's nearest distances, and the values of its key; k is to be added."""
        join: sql.Composable = sql.SQL("")
        if self._has_condition:
            join = sql.SQL("JOIN {} AS s ON {}").format(self._matching, self._parts["n_equals_s"])
        if self.is_quantized and not exactly:
            parts, values = call_bits(self.collection, row, self.schema)
            return render("collection/recall_bit.sql", **self._parts, **parts, join=join), values
        names = [f"key_{position}" for position in range(len(row.texts))]
        arguments = sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Placeholder(name), sql.SQL(type_name))
            for name, type_name in zip(names, self.collection.key_types, strict=True)
        )
        call = sql.SQL("imgvec.{}({})").format(self._parts["near_row"], arguments)
        order = sql.SQL("n.distance OPERATOR(pg_catalog.+) 0" if exactly else "n.distance")
        statement = render("collection/recall.sql", **self._parts, near_call=call, join=join, order=order)
        return statement, dict(zip(names, row.texts, strict=True))

    def vector_of(self, row: RowKey) -> tuple[sql.Composed, dict[str, object]]:
        """Return the statement that gives a row's vector as text, null where the row has gone, and its values."""
        parts, values = call_bits(self.collection, row, self.schema)
        return sql.SQL("SELECT {}::pg_catalog.text").format(parts["query"]), values

    def together(self) -> sql.Composed:
        """Return the statement that reads all rows once and gives those within a bound of each of several vectors.

        Its values are vectors, as texts, and bounds; its rows the vector's place from 1, a row's key as JSON, and the distance.
        """
        join: sql.Composable = sql.SQL("")
        if self._has_condition:
            join = sql.SQL("JOIN {} AS s ON {}").format(self._matching, self._parts["e_equals_s"])
        return render("collection/recall_together.sql", **self._parts, join=join)

    def explain(self, statement: sql.Composed) -> sql.Composed:
        """Return a statement's EXPLAIN as JSON text."""
        return sql.SQL("EXPLAIN (FORMAT JSON) {}").format(statement)
