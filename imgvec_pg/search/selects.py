"""search(): the nearest rows of any SQLAlchemy select over a collection's source, never fewer than k while more match."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.expression import ClauseElement, Executable

from imgvec_pg.database.sqlfiles import load_sql
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.search.nearest import MAX_K
from imgvec_pg.search.question import vector_text
from imgvec_pg.search.ways import SETTINGS, Before, Way, find

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

DISTANCE = "distance"
FORBIDDEN = {
    "_limit_clause": "LIMIT",
    "_offset_clause": "OFFSET",
    "_order_by_clauses": "ORDER BY",
    "_group_by_clauses": "GROUP BY",
    "_distinct": "DISTINCT",
}
"""What would stand between the index and the LIMIT; SQLAlchemy 2.0's own attributes of a Select."""


@dataclass(frozen=True)
class Found:
    """The rows, nearest first, each with what the select has and `distance` (0 to 2) last; and how they were found."""

    rows: Sequence[sa.Row[Any]]
    way: Way


def search(
    connection: sa.Connection | Session,
    statement: sa.Select[Any],
    collection: str,
    vector: npt.ArrayLike,
    k: int = 10,
    *,
    key: Sequence[sa.ColumnElement[Any]] | None = None,
) -> Found:
    """Find the k nearest of the rows that a select gives, by the way that suits its filters.

    Settings of the running transaction are as before afterwards. Needs a driver with %(name)s values, such as
    psycopg.

    Args:
        statement: A select over the collection's source, with any joins and conditions, without ORDER BY and LIMIT.
        collection: Name of a collection or alias.
        vector: Shape (dimensions,), from the collection's own model.
        k: Rows wanted, 1 to 10,000.
        key: The source's key columns in the statement, where it has the source under another name or twice.

    Raises:
        UsageError: k, the vector or the select cannot be used.
        CollectionError: The collection does not exist.
    """
    if not 1 <= k <= MAX_K:
        raise UsageError(f"k is {k}; expected 1 to {MAX_K} rows")
    for attribute, clause in FORBIDDEN.items():
        found = getattr(statement, attribute)
        if found is not None and found is not False and found != ():
            raise UsageError(
                f"the select has {clause}; expected none, as search() puts the nearest k rows in order"
            )
    bound = connection.connection() if isinstance(connection, Session) else connection
    row = bound.exec_driver_sql(_text("queries/collections.sql"), {"name": collection}).mappings().first()
    if row is None:
        raise CollectionError(
            f'collection "{collection}" does not exist; the table imgvec.collection has those that do'
        )
    near = _near(row, _checked(vector, int(row["dimensions"])))
    columns = list(key) if key is not None else _key_columns(statement, row)
    nearest = statement.add_columns(near.c[DISTANCE]).where(
        *(near.c[name] == column for name, column in zip(row["key_columns"], columns, strict=True))
    )
    asker = _SelectAsker(connection, bound, nearest, near.c[DISTANCE], f"imgvec.{row['name']}_embedding")
    rows, way = find(asker, k, row["ef_search"])
    return Found(sorted(rows, key=lambda found: float(found[-1])), way)


@dataclass(frozen=True)
class _SelectAsker:
    """Asks a select over SQLAlchemy."""

    connection: sa.Connection | Session
    bound: sa.Connection
    statement: sa.Select[Any]
    distance: sa.ColumnElement[float]
    table: str

    def begin(self) -> Before:
        row = self.bound.exec_driver_sql(
            _text("queries/search_begin.sql"), {"names": list(SETTINGS), "table": self.table}
        ).one()
        return Before(row.settings, row.embedded_rows)

    def set(self, settings: Mapping[str, str]) -> None:
        self.bound.exec_driver_sql(
            _text("queries/set_for_transaction.sql"), {"settings": json.dumps(settings)}
        ).close()

    def explain(self, limit: int) -> dict[str, Any]:
        found = self.bound.execute(_Explain(self._ordered(limit, exact=False))).scalar()
        assert isinstance(found, list)  # noqa: S101 - the drivers read JSON
        plan: dict[str, Any] = found[0]["Plan"]
        return plan

    def ask(self, limit: int, *, exact: bool) -> Sequence[sa.Row[Any]]:
        return self.connection.execute(self._ordered(limit, exact=exact)).all()

    def _ordered(self, limit: int, *, exact: bool) -> sa.Select[Any]:
        order = self.distance + sa.literal_column("0") if exact else self.distance
        return self.statement.order_by(order).limit(limit)


class _Explain(Executable, ClauseElement):
    """EXPLAIN (FORMAT JSON) of a statement with its values."""

    inherit_cache = False

    def __init__(self, statement: sa.Select[Any]) -> None:
        self.statement = statement


@compiles(_Explain)  # type: ignore[no-untyped-call, untyped-decorator, unused-ignore]
def _compile_explain(element: _Explain, compiler: "SQLCompiler", **options: Any) -> str:  # noqa: ANN401
    return "EXPLAIN (FORMAT JSON) " + compiler.process(element.statement, **options)


def _near(row: sa.RowMapping, text: str) -> sa.TableValuedAlias:
    """Return the call of near_<collection>, with the vector bound."""
    # Without a type PostgreSQL reads the text as the function's own, wherever the extension lives.
    vector = sa.literal(text, sa.types.NullType())
    near = getattr(sa.func.imgvec, f"near_{row['name']}")(vector)
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in row["key_columns"]]
    found: sa.TableValuedAlias = near.table_valued(*columns, sa.column(DISTANCE, sa.Double)).alias(
        "imgvec_near"
    )
    return found


def _key_columns(statement: sa.Select[Any], row: sa.RowMapping) -> list[sa.ColumnElement[Any]]:
    """Return the key columns of the source where the select reads it.

    Raises:
        UsageError: It does not, or does so twice.
    """
    shown = f"{row['source_schema']}.{row['source_name']}"
    tables = [
        table
        for source in statement.get_final_froms()
        for table in _tables(source)
        if table.name == row["source_name"] and table.schema in (None, row["source_schema"])
    ]
    if len(tables) != 1:
        raise UsageError(
            f'the select reads {shown}, the source of collection "{row["name"]}", {len(tables)} times under its own name; '
            "expected once, or its key columns as key=[…]"
        )
    by_name = {column.name: column for column in tables[0].columns}
    return [by_name[name] for name in row["key_columns"]]


def _tables(source: sa.FromClause) -> Iterator[sa.Table]:
    """Give the tables that a FROM clause has under their own names."""
    if isinstance(source, sa.Join):
        yield from _tables(source.left)
        yield from _tables(source.right)
    elif isinstance(source, sa.Table):
        yield source


def _checked(vector: npt.ArrayLike, dimensions: int) -> str:
    """Return a vector as text.

    Raises:
        UsageError: Another shape, not finite, or zero.
    """
    array = np.asarray(vector, dtype=np.float32)
    if array.shape != (dimensions,):
        raise UsageError(f"the vector has shape {array.shape}; the collection's model gives ({dimensions},)")
    if not np.isfinite(array).all() or not array.any():
        raise UsageError("the vector is zero or not finite; expected one that has a direction")
    return vector_text(array)


def _text(name: str) -> str:
    return load_sql(name).as_string(None)
