"""search() over a collection that spans shards: by the coordinator's search_*, among the rows that a select gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from imgvec_pg.errors import UsageError
from imgvec_pg.search.query_types import as_unit_vector, vector_text
from imgvec_pg.sqlalchemy.executor import AT_ONCE, RESTRICTING, Found
from imgvec_pg.sqlalchemy.fold_copies import DISTANCE
from imgvec_pg.sqlalchemy.select_shape import forbidden_clause


@dataclass(frozen=True)
class Span:
    """A collection that spans shards, as the coordinator registered it."""

    name: str
    dimensions: int
    key_columns: tuple[str, ...]


def find_span(bound: sa.Connection, name: str) -> Span | None:
    """Return the collection of this name that spans shards; None where there is none."""
    if bound.execute(sa.text("SELECT to_regclass('imgvec.sharded_collection')")).scalar_one() is None:
        return None
    row = bound.execute(
        sa.text("SELECT dimensions, key_columns FROM imgvec.sharded_collection WHERE name = :name"),
        {"name": name},
    ).one_or_none()
    return None if row is None else Span(name, row[0], tuple(row[1]))


def span_key(statement: sa.Select[Any], span: Span) -> list[sa.ColumnElement[Any]]:
    """Return the key columns where a select reads the one table that has them.

    Raises:
        UsageError: None has them, or several.
    """
    tables = [
        table for table in statement.columns_clause_froms if all(name in table.c for name in span.key_columns)
    ]
    if len(tables) != 1:
        raise UsageError(
            f"{len(tables)} tables of the select have the key of {span.name} ({', '.join(span.key_columns)}); expected one, or "
            "its columns as key=[…]"
        )
    return [tables[0].c[name] for name in span.key_columns]


def search_span(
    connection: sa.Connection | Session,
    statement: sa.Select[Any],
    span: Span,
    vector: npt.ArrayLike,
    k: int,
    *,
    key: Sequence[sa.ColumnElement[Any]],
    distinct: bool = False,
) -> Found:
    """Find the k nearest of the rows that a select gives, never fewer while more match.

    A select without conditions is joined with the k nearest of all rows; where the source here lacks some of these, and for
    any other select, its keys are read first and sent to the shards.

    Raises:
        UsageError: The vector, the select or its key do not fit.
        sqlalchemy.exc.DBAPIError: A shard is away, whose name it says.
    """
    if distinct:
        raise UsageError(
            f"distinct counts rows with one picture, which shards do not tell; leave it out, or ask search_{span.name} in SQL"
        )
    if (clause := forbidden_clause(statement)) is not None:
        raise UsageError(
            f"the select has {clause}; expected none, as search() puts the nearest k rows in order"
        )
    if len(key) != len(span.key_columns):
        raise UsageError(
            f'{len(key)} key columns were given; the key of collection "{span.name}" is {", ".join(span.key_columns)}'
        )
    text = vector_text(as_unit_vector(vector, span.dimensions))
    if not any(getattr(statement, name) for name in RESTRICTING):
        rows = _run(connection, _joined(statement, span, key, k), text, k)
        if len(rows) == k:
            return Found(rows, _strategy(connection))
    rows = _run(connection, _joined(statement, span, key, k, _among(statement, span, key)), text, k)
    return Found(rows, _strategy(connection))


def _among(
    statement: sa.Select[Any], span: Span, key: Sequence[sa.ColumnElement[Any]]
) -> sa.ColumnElement[Any]:
    """Return the array of the select's keys, as search_* take it."""
    value: sa.ColumnElement[Any]
    if len(key) == 1:
        value = key[0]
    else:
        preparer = sa.dialects.postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]
        value = sa.type_coerce(
            sa.cast(sa.func.row(*key), _Named(f"imgvec.{preparer.quote(span.name + '_key')}")),
            sa.types.NullType(),
        )
    keys = statement.with_only_columns(value, maintain_column_froms=True).distinct()
    return sa.func.array(keys.scalar_subquery())


class _Named(sa.types.UserDefinedType[Any]):
    """A type of PostgreSQL by its name."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:  # noqa: ANN401 - a dialect's arguments
        return self.name


def _joined(
    statement: sa.Select[Any],
    span: Span,
    key: Sequence[sa.ColumnElement[Any]],
    k: int,
    among: sa.ColumnElement[Any] | None = None,
) -> sa.Select[Any]:
    arguments = [
        sa.bindparam("imgvec_vector", type_=sa.types.NullType()),
        sa.bindparam("imgvec_k", type_=sa.Integer()),
        *([] if among is None else [among]),
    ]
    call = getattr(sa.func.imgvec, f"search_{span.name}")(*arguments)
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in span.key_columns]
    found = call.table_valued(*columns, sa.column(DISTANCE, sa.Double)).alias("imgvec_found")
    same = [found.c[name] == column for name, column in zip(span.key_columns, key, strict=True)]
    # By their keys, rows of one distance.
    order = [found.c[DISTANCE], *(found.c[name] for name in span.key_columns)]
    return statement.add_columns(found.c[DISTANCE]).where(*same).order_by(*order).limit(k)


def _run(
    connection: sa.Connection | Session, statement: sa.Select[Any], vector: str, k: int
) -> Sequence[sa.Row[Any]]:
    values = {"imgvec_vector": vector, "imgvec_k": k}
    result = connection.execute(statement, values, execution_options=AT_ONCE)
    must_be_unique = getattr(result, "_unique_filter_state", None) is not None
    return (result.unique() if must_be_unique else result).all()


def _strategy(connection: sa.Connection | Session) -> str:
    return str(connection.execute(sa.text("SELECT imgvec.last_search_strategy()")).scalar_one())
