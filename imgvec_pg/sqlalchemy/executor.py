"""search(): the nearest rows of any SQLAlchemy select over a collection's source, never fewer than k while more match."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy.typing as npt
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.orm import Session

from imgvec_pg.errors import UsageError
from imgvec_pg.search.nearest import check_k
from imgvec_pg.search.query_types import as_unit_vector, vector_text
from imgvec_pg.search.strategy import Strategy, find
from imgvec_pg.sqlalchemy.collection_cache import UNTYPED, State, forget_state, read_state, run, run_text
from imgvec_pg.sqlalchemy.expected_rows import Explain, expected_rows
from imgvec_pg.sqlalchemy.fold_copies import DISTANCE, select_pictures
from imgvec_pg.sqlalchemy.select_shape import check_select, forbidden_clause
from imgvec_pg.store.pictures.bursts import ListHead, list_head_statement

AT_ONCE: dict[str, Any] = {"stream_results": False, "yield_per": None}
"""Execution options of what is read whole: a cursor on the server takes no EXPLAIN, and none outside a transaction."""
VECTOR, CANDIDATES, NAME, ID = "imgvec_vector", "imgvec_candidates", "imgvec_name", "imgvec_id"
"""Names of bound values."""
RESTRICTING = ("_where_criteria", "_setup_joins", "_from_obj")
"""What can leave rows of the source out, likewise."""


@dataclass(frozen=True)
class Found:
    """The rows, nearest first, each with what the select has and `distance` (0 to 2) last; and how they were found.

    Of different pictures each has `copies` behind it, the rows with its picture. Of a collection that spans shards strategy also
    says of how many: "index (3 of 3 shards)".
    """

    rows: "Sequence[sa.Row[*tuple[Any, ...]]]"  # of any columns, as SQLAlchemy 2.1 writes it
    strategy: Strategy | str


def search(
    connection: sa.Connection | Session,
    statement: sa.Select[Any],
    collection: str,
    vector: npt.ArrayLike,
    k: int = 10,
    *,
    key: Sequence[sa.ColumnElement[Any]] | None = None,
    distinct: bool = False,
) -> Found:
    """Find the k nearest of the rows that a select gives, by the way that suits its filters.

    Settings of the running transaction are as before afterwards; in autocommit mode, where none would last, searches
    take the session's own. How large the collection is and whether
    it has an index is looked up every five seconds: in between it may cost time that this has changed, never rows. A collection
    that was dropped and created again is another one at once.

    Args:
        statement: A select over the collection's source, with any joins and conditions, without ORDER BY and LIMIT.
        collection: Name of a collection or alias.
        vector: Shape (dimensions,), of any length, from the collection's own model.
        k: Rows wanted, 1 to 10,000.
        key: The source's key columns in the statement, where it has the source under another name or twice.
        distinct: k different pictures, as search() of this package has it.

    Raises:
        UsageError: k, the vector or the select cannot be used.
        CollectionNotFoundError: The collection does not exist.
    """
    check_k(k)
    _check_arguments(statement, collection)
    bound = connection_of(connection, statement)

    def find_by(state: State) -> Found:
        backend = _backend(connection, bound, statement, state, vector, key, distinct=distinct)
        try:
            rows, strategy = find(backend, k, state.stats)
        except sa.exc.DBAPIError:
            forget_state(bound, collection)
            raise
        if distinct:
            return Found(rows, strategy)
        return Found(sorted(rows, key=lambda row: float(row[-1])), strategy)

    return _find_by_cached_state(bound, collection, find_by)


def _check_arguments(statement: sa.Select[Any], collection: str) -> None:
    if not isinstance(collection, str):
        raise UsageError(f"the collection is {collection!r}; expected its name")
    check_select(statement, "search()")
    clause = forbidden_clause(statement)
    if clause is not None:
        raise UsageError(
            f"the select has {clause}; expected none, as search() puts the nearest k rows in order"
        )


def _find_by_cached_state(bound: sa.Connection, collection: str, find_by: Callable[[State], Found]) -> Found:
    """Find by the state that is cached, and again by a fresh one where the cached one may be of another collection.

    Such a state gives no rows: the collection was dropped since and created again, or an alias switched.
    """
    cached = read_state(bound, collection)
    found = None
    try:
        found = find_by(cached)
    except UsageError:
        if cached.is_fresh:
            raise
    if found is not None and (cached.is_fresh or found.rows):
        return found
    fresh = read_state(bound, collection, is_fresh=True)
    return found if found is not None and fresh.id == cached.id else find_by(fresh)


def connection_of(connection: sa.Connection | Session, statement: sa.Select[Any]) -> sa.Connection:
    """Return the connection on which a session runs a select, where it has several databases too."""
    if not isinstance(connection, Session):
        return connection
    entities = (described.get("entity") for described in statement.column_descriptions)
    entity = next((found for found in entities if found is not None), None)
    arguments: dict[str, Any] = {"clause": statement}
    if entity is not None:
        arguments["mapper"] = sa.inspect(entity).mapper
    return connection.connection(bind_arguments=arguments)


def source_key(
    connection: sa.Connection | Session, statement: sa.Select[Any], collection: str
) -> list[sa.ColumnElement[Any]]:
    """Return the key columns of a collection's source where a select reads it, as the database knows them.

    Raises:
        CollectionNotFoundError: The collection does not exist.
        UsageError: The select reads its source not at all, or twice.
    """
    return _key_columns(statement, read_state(connection_of(connection, statement), collection))


def _backend(
    connection: sa.Connection | Session,
    bound: sa.Connection,
    statement: sa.Select[Any],
    state: State,
    vector: npt.ArrayLike,
    key: Sequence[sa.ColumnElement[Any]] | None,
    *,
    distinct: bool,
) -> "_SelectBackend":
    """Put a search together.

    Raises:
        UsageError: The vector, the select or its key do not fit the collection.
    """
    text = vector_text(as_unit_vector(vector, state.dimensions))
    columns = list(key) if key is not None else _key_columns(statement, state)
    if len(columns) != len(state.key_columns):
        raise UsageError(
            f'{len(columns)} key columns were given; the key of collection "{state.given_name}" is '
            f"{', '.join(state.key_columns)}"
        )
    return _SelectBackend(connection, bound, statement, state, columns, text, distinct)


@dataclass(frozen=True)
class _SelectBackend:
    """Runs a select over SQLAlchemy."""

    connection: sa.Connection | Session
    bound: sa.Connection
    matching: sa.Select[Any]
    state: State
    key: Sequence[sa.ColumnElement[Any]]
    vector: str
    distinct: bool

    iterative_scan: ClassVar[str] = "relaxed_order"

    def set(self, settings: Mapping[str, str]) -> Mapping[str, str | None]:
        values = {"settings": json.dumps(settings)}
        return {name: was for name, was, _ in run(self.bound, "queries/set_for_scan.sql", values)}

    def expect_rows(self) -> float:
        if not any(getattr(self.matching, name) for name in RESTRICTING):
            return math.inf
        explained = self.bound.execute(Explain(self.matching), execution_options=AT_ONCE)
        return expected_rows(str(explained.scalar()))

    def fetch(self, limit: int, candidates: int | None) -> Sequence[sa.Row[Any]]:
        near, order, is_same = _near(
            self.state.given_name,
            self.state.key_columns,
            is_alias=self.state.given_name != self.state.name,
            is_index_asked=candidates is not None,
        )
        if self.distinct:
            names = self.state.key_columns
            nearest = select_pictures(self.matching, self.state.name, names, self.key, near, is_same, limit)
        else:
            pairs = zip(self.state.key_columns, self.key, strict=True)
            same_key = [near.c[name] == column for name, column in pairs]
            nearest = self.matching.add_columns(near.c[DISTANCE]).where(*same_key, is_same).order_by(order)
        values: dict[str, object] = {VECTOR: self.vector, NAME: self.state.given_name, ID: self.state.id}
        if candidates is not None:
            values[CANDIDATES] = candidates
        result = self.connection.execute(nearest.limit(limit), values, execution_options=AT_ONCE)
        # Where collections are loaded by a join SQLAlchemy wants to be told to put their rows together; it has limited the
        # entities, not the joined rows. Other rows may be equal, and each counts.
        must_be_unique = getattr(result, "_unique_filter_state", None) is not None
        return (result.unique() if must_be_unique else result).all()

    def distances(self, rows: Sequence[sa.Row[Any]]) -> Sequence[float]:
        # Of different pictures `copies` comes behind it.
        place = -2 if self.distinct else -1
        return [float(row[place]) for row in rows]

    def read_list_head(self, rows: int) -> ListHead:
        state = self.state
        statement = _list_head(state.given_name, state.name, state.key_columns)
        ((count, nearest, near_copies, vectors),) = run_text(
            self.bound, statement, {UNTYPED: self.vector, "list_rows": rows}
        )
        return ListHead(count, nearest, near_copies, vectors)


@lru_cache(maxsize=64)
def _list_head(given_name: str, collection: str, key_columns: Sequence[str]) -> str:
    """Return the statement that tells what the first rows of the index have in common, for a driver to run."""
    near = sql.Identifier("imgvec", f"near_{given_name}")
    # Without a type PostgreSQL reads the text as the function's own, wherever the extension lives.
    call = sql.SQL("{near}({vector})").format(near=near, vector=sql.Placeholder(UNTYPED))
    return list_head_statement(call, f"{collection}_embedding", key_columns).as_string(None)


@lru_cache(maxsize=64)
def _near(
    collection: str, key_columns: Sequence[str], *, is_alias: bool, is_index_asked: bool
) -> tuple[sa.FromClause, sa.ColumnElement[Any], sa.ColumnElement[bool]]:
    """Return the call of near_<collection>, its values still to be bound, the order to run it in, and whether it is the same.

    All rows in an order that no index has, or the first candidates in the index's order.
    """
    is_same = _is_same(is_alias=is_alias)
    # Without a type PostgreSQL reads the text as the function's own, wherever the extension lives.
    vector = sa.bindparam(VECTOR, type_=sa.types.NullType())
    call = getattr(sa.func.imgvec, f"near_{collection}")(vector)
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in key_columns]
    near = call.table_valued(*columns, sa.column(DISTANCE, sa.Double)).alias("imgvec_near")
    if not is_index_asked:
        return near, near.c[DISTANCE] + sa.literal_column("0"), is_same
    candidates = sa.bindparam(CANDIDATES, type_=sa.Integer())
    nearest = sa.select(near).order_by(near.c[DISTANCE]).limit(candidates).subquery("imgvec_nearest")
    return nearest, nearest.c[DISTANCE], is_same


def _is_same(*, is_alias: bool) -> sa.ColumnElement[bool]:
    """Return whether the name given still means the collection of the id; PostgreSQL evaluates it once, not for each row."""
    table, column = ("alias", "collection_id") if is_alias else ("collection", "id")
    named = sa.table(table, sa.column("name", sa.Text), sa.column(column, sa.Integer), schema="imgvec")
    is_meant = named.c.name == sa.bindparam(NAME), named.c[column] == sa.bindparam(ID)
    return sa.select(sa.literal_column("1")).select_from(named).where(*is_meant).exists()


def _key_columns(statement: sa.Select[Any], state: State) -> list[sa.ColumnElement[Any]]:
    """Return the key columns of the source where the select reads it.

    Raises:
        UsageError: It does not, or does so twice.
    """
    schema, name = state.source

    def is_source(table: sa.FromClause) -> bool:
        return isinstance(table, sa.Table) and table.name == name and table.schema in (None, schema)

    # Nearly always there; all that the select reads is known only once it is compiled.
    tables = [table for table in statement.columns_clause_froms if is_source(table)]
    if len(tables) != 1:
        froms = statement.get_final_froms()
        tables = [table for source in froms for table in _tables(source) if is_source(table)]
    if len(tables) != 1:
        raise UsageError(
            f'the select reads {schema}.{name}, the source of collection "{state.given_name}", {len(tables)} times under its own '
            "name; expected once, or its key columns as key=[…]"
        )
    by_name = {column.name: column for column in tables[0].columns}
    return [by_name[name] for name in state.key_columns]


def _tables(source: sa.FromClause) -> Iterator[sa.Table]:
    """Give the tables that a FROM clause has under their own names."""
    if isinstance(source, sa.Join):
        yield from _tables(source.left)
        yield from _tables(source.right)
    elif isinstance(source, sa.Table):
        yield source
