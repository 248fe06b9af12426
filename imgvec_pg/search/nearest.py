"""The nearest rows to a query, together with their own columns."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.explain import has_ordered_scan
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.errors import UsageError
from imgvec_pg.search.bit_index import call_bits, candidate_count
from imgvec_pg.search.code_of_others import json_columns
from imgvec_pg.search.nearest_pictures import nearest_pictures, picture_parts
from imgvec_pg.search.query_types import Float32Array, RowKey, dump_keys, vector_text
from imgvec_pg.search.strategy import CollectionStats, Strategy, find
from imgvec_pg.search.transaction import bracketed, read_only_transaction
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.pictures.bursts import ListHead, list_head_statement
from imgvec_pg.store.queue.jobs import Key

MAX_K = 10_000


def check_k(k: object, or_else: str = "") -> None:
    """Refuse what is no number of rows.

    Raises:
        UsageError: It is no integer, or out of range.
    """
    # A bool is an int to Python, and one of NumPy an Integral.
    if isinstance(k, bool) or not isinstance(k, Integral) or not 1 <= int(k) <= MAX_K:
        raise UsageError(f"k is {k!r}; expected 1 to {MAX_K} rows{or_else}")


@dataclass(frozen=True)
class NearestOptions:
    """Which rows, and what of them.

    Attributes:
        k: Rows wanted, 1 to 10,000.
        where: An SQL condition over the source's columns, run with the rights of the connection's role. Never
            pass on one from somebody whom you would not let use psql.
        columns: Columns of the source to return.
        max_distance: Leave out rows further away, 0 to 2.
        distinct: k different pictures: of the rows with the same picture, among those that match and that the role may see,
            the one with the smallest key, with the number of them.

    Raises:
        UsageError: A value is out of range.
    """

    k: int = 10
    where: str | None = None
    columns: Sequence[str] = ()
    max_distance: float | None = None
    distinct: bool = False

    def __post_init__(self) -> None:
        check_k(self.k)
        if self.max_distance is not None and not 0 <= self.max_distance <= 2:
            raise UsageError(f"the largest distance is {self.max_distance}; expected 0 to 2")
        bracketed(self.where)


@dataclass(frozen=True)
class Neighbour:
    """A row found: key, cosine distance (0 to 2), the columns wanted as JSON values (fractions as Decimal).

    Attributes:
        copies: Rows with its picture, itself among them, where different pictures were asked for; else 1.
    """

    key: Key
    distance: float
    columns: dict[str, Any]
    copies: int = 1

    @property
    def similarity(self) -> float:
        """Cosine similarity, 1 to -1."""
        return 1 - self.distance


@dataclass(frozen=True)
class Neighbours:
    """The rows found, nearest first, and the way they were found: by the index or by comparing all that match."""

    rows: Sequence[Neighbour]
    strategy: Strategy


def find_nearest(
    connection: Connection,
    collection: Collection,
    target: Float32Array | RowKey,
    options: NearestOptions | None = None,
    *,
    without: Sequence[Key] = (),
) -> Neighbours:
    """Find the nearest rows in a read-only transaction of its own; never fewer than k while more match.

    A row that is searched with is not in its own answer; other rows with its picture are.

    Args:
        without: Rows to leave out, of different pictures only: they are not counted either.

    Raises:
        UsageError: PostgreSQL does not understand the condition or a column.
        DatabaseError: The role may not read what was asked for.
    """
    options = options or NearestOptions()
    schema = vector_schema(connection)
    search = _Search(connection, collection, target, options, schema, without)
    with read_only_transaction(connection, collection, options.where) as cursor:
        # pgvector's settings exist once its library is loaded.
        cursor.execute(sql.SQL("SELECT '[1]'::{}.halfvec").format(sql.Identifier(schema)))
        return search.run(cursor)


class _Search:
    """One search as SQL."""

    def __init__(
        self,
        connection: Connection,
        collection: Collection,
        target: Float32Array | RowKey,
        options: NearestOptions,
        schema: str,
        without: Sequence[Key] = (),
    ) -> None:
        self.options = options
        self.is_quantized = collection.quantization is not None
        self.breadth = candidate_count(options.k, collection.ef_search) if self.is_quantized else options.k
        self.columns = list(dict.fromkeys(options.columns))
        key = collection.key_sql
        parts = bindable(collection.parts(schema))
        self.near_call, self.values = _call_near(collection, target, parts)
        wanted = dict.fromkeys([*collection.key_columns, *self.columns])
        shown = json_columns(connection, collection, self.columns)
        self.parts = {
            **parts,
            **bindable(
                {
                    "selected": sql.SQL(", ").join([key.json("n"), sql.Identifier("n", "distance"), *shown]),
                    "wanted": sql.SQL(", ").join(map(sql.Identifier, wanted)),
                    "n_equals_s": key.equal("n", "s"),
                    "condition": bracketed(options.where),
                }
            ),
        }
        if options.distinct:
            own_parts, own_values = picture_parts(connection, collection, target, schema, shown, without)
        elif self.is_quantized:
            own_parts, own_values = call_bits(collection, target, schema)
        else:
            own_parts, own_values = {}, {}
        self.parts |= own_parts
        known = [Jsonb(key, dumps=dump_keys) for key in without]
        self.values |= {**own_values, "k": options.k, "candidates": self.breadth, "without": known}
        self.ef_search = collection.ef_search
        self.collection = collection

    def run(self, cursor: psycopg.Cursor[Any]) -> Neighbours:
        """Run it by the strategy that suits the condition."""
        backend = _CursorBackend(cursor, self)
        if self.is_quantized:
            rows, strategy = self._over_bits(backend)
        else:
            rows, strategy = find(backend, self.options.k, backend.begin(self.collection.name))
        nearest = [self._neighbour(*row) for row in rows]
        if self.options.max_distance is not None:
            # Cut off here, not in the scan: an index scan for rows that near would go on to its limits.
            nearest = [row for row in nearest if row.distance <= self.options.max_distance]
        return Neighbours(nearest, strategy)

    def _neighbour(self, key: Key, distance: float, *values: Any) -> Neighbour:  # noqa: ANN401 - any JSON values
        copies, values = (values[0], values[1:]) if self.options.distinct else (1, values)
        return Neighbour(key, distance, dict(zip(self.columns, values, strict=True)), copies)

    def statement(self, *, exact: bool) -> sql.Composed:
        """Return the statement over all rows, or over %(candidates)s of them in the index's order."""
        if self.options.distinct:
            return nearest_pictures(self.parts, self.near_call, self.collection, exact=exact)
        if self.is_quantized and not exact:
            return render("collection/nearest_bit.sql", **self.parts)
        if exact:
            order = sql.SQL("{} OPERATOR(pg_catalog.+) 0").format(sql.Identifier("n", "distance"))
            return render(
                "collection/nearest.sql", **{**self.parts, "near_rows": self.near_call, "order": order}
            )
        near_rows = render("collection/nearest_candidates.sql", near_call=self.near_call)
        order = sql.SQL("{}").format(sql.Identifier("n", "distance"))
        return render("collection/nearest.sql", **{**self.parts, "near_rows": near_rows, "order": order})

    def list_head(self) -> sql.Composed:
        """Return the statement that tells what the first %(list_rows)s rows of the index have in common."""
        collection = self.collection
        return list_head_statement(self.near_call, collection.embedding_table, collection.key_columns)

    def _over_bits(self, backend: "_CursorBackend") -> tuple[Sequence[tuple[Any, ...]], Strategy]:
        """Scan the index over bits for candidates, then all rows exactly where it gave too few."""
        cursor, by_bits = backend.cursor, self.statement(exact=False)
        cursor.execute(
            load_sql("queries/search_settings.sql"), {"k": self.breadth, "ef_search": self.ef_search}
        )
        values = {**self.values, "limit": self.options.k}
        explained = cursor.execute(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(by_bits), values).fetchone()
        # Bits without the index would still choose the candidates.
        if explained is None or not has_ordered_scan(explained[0]):
            return backend.fetch(self.options.k, None), "exact"
        rows = cursor.execute(by_bits, values).fetchall()
        if len(rows) >= self.options.k:
            return rows, "index"
        return backend.fetch(self.options.k, None), "index, then exact"


@dataclass(frozen=True)
class _CursorBackend:
    """Runs a search over psycopg."""

    cursor: psycopg.Cursor[Any]
    search: _Search

    def begin(self, name: str) -> CollectionStats:
        """Return what is known of the collection and the session."""
        row = self.cursor.execute(load_sql("queries/search_begin.sql"), {"name": name}).fetchone()
        assert row is not None  # noqa: S101 - the collection was read before
        return CollectionStats.of(row)

    iterative_scan: ClassVar[str] = "relaxed_order"

    def set(self, settings: Mapping[str, str]) -> Mapping[str, str | None]:
        values = {"settings": json.dumps(settings)}
        return {
            name: was for name, was, _ in self.cursor.execute(load_sql("queries/set_for_scan.sql"), values)
        }

    def expect_rows(self) -> float:
        if self.search.options.where is None:
            return math.inf
        statement = sql.SQL("EXPLAIN (FORMAT JSON) {}").format(
            render("collection/matching.sql", **self.search.parts)
        )
        row = self.cursor.execute(statement, {"bound": 0}).fetchone()
        assert row is not None  # noqa: S101 - EXPLAIN gives one row
        return float(row[0][0]["Plan"]["Plan Rows"])

    def fetch(self, limit: int, candidates: int | None) -> list[tuple[Any, ...]]:
        values = {**self.search.values, "limit": limit, "candidates": candidates}
        return self.cursor.execute(self.search.statement(exact=candidates is None), values).fetchall()

    def distances(self, rows: Sequence[tuple[Any, ...]]) -> Sequence[float]:
        return [float(row[1]) for row in rows]

    def read_list_head(self, rows: int) -> ListHead:
        values = {**self.search.values, "list_rows": rows}
        row = self.cursor.execute(self.search.list_head(), values).fetchone()
        assert row is not None  # noqa: S101 - an aggregate gives one row
        return ListHead(*row)


def _call_near(
    collection: Collection, target: Float32Array | RowKey, parts: dict[str, sql.Composable]
) -> tuple[sql.Composed, dict[str, object]]:
    """Return the call of near_<collection> or near_<collection>_row, and its values."""
    if not isinstance(target, RowKey):
        call = sql.SQL("imgvec.{near}(%(query)s::{vector}.halfvec)").format(
            near=parts["near"], vector=parts["vector"]
        )
        return call, {"query": vector_text(target)}
    names = [f"key_{position}" for position in range(len(target.texts))]
    arguments = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(sql.Placeholder(name), sql.SQL(type_name))
        for name, type_name in zip(names, collection.key_types, strict=True)
    )
    call = sql.SQL("imgvec.{near_row}({arguments})").format(near_row=parts["near_row"], arguments=arguments)
    return call, dict(zip(names, target.texts, strict=True))
