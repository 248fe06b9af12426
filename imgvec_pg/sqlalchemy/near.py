"""near(): the rows of a select by their distance from a query, in the shape that keeps the HNSW index."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeVarTuple, overload

import numpy as np
import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

from imgvec_pg.database.index_methods.hnsw import DEFAULT_EF_SEARCH, MAX_EF_SEARCH
from imgvec_pg.errors import UsageError
from imgvec_pg.search.nearest import MAX_K, check_k
from imgvec_pg.search.query_types import vector_text
from imgvec_pg.sqlalchemy.fold_copies import (
    COPIES,
    DISTANCE,
    embedding_table,
    fold_copies,
    matching_keys,
)
from imgvec_pg.sqlalchemy.query import (
    NearQuery,
    Picture,
    QueryInput,
    Row,
    Words,
    as_column,
    read_query,
)
from imgvec_pg.sqlalchemy.resolve import AnySelect, EmbeddedSource, resolve, target_of
from imgvec_pg.sqlalchemy.select_shape import check_select, forbidden_clause
from imgvec_pg.store.mixin import SCHEMA, EmbeddingMixin, distance_between

Entities = TypeVarTuple("Entities")

CURES = {
    "LIMIT": "leave it out and pass k",
    "OFFSET": "add .offset() afterwards",
    "FETCH": "leave it out and pass k",
    "ORDER BY": "leave it out, or sort outside: select(…).select_from(near(…).subquery())",
    "GROUP BY": "group outside: select(…).select_from(near(…, k=100).subquery()).group_by(…)",
    "HAVING": "group outside: select(…).select_from(near(…, k=100).subquery()).group_by(…).having(…)",
    "DISTINCT": "make it distinct outside: select(…).select_from(near(…, k=100).subquery()).distinct()",
}
"""What to do instead with a clause that would read every row before the LIMIT."""
ROWS_PER_PICTURE, LEAST_ROWS = 10, 200
"""How many of the nearest rows near(distinct=True) looks for pictures among."""


class NearestFirst(sa.ColumnElement[float]):
    """A distance to order by: the index's order where the select has a LIMIT, else an order that no index has.

    Without a LIMIT all rows are read, by a cursor on the server too (yield_per), which PostgreSQL plans for its first tenth: by
    the index, whose scan ends before all rows have come.
    """

    __visit_name__ = "imgvec_nearest_first"
    inherit_cache = True
    _traverse_internals = [("distance", InternalTraversal.dp_clauseelement)]  # noqa: RUF012 - SQLAlchemy's own protocol

    def __init__(self, distance: sa.ColumnElement[float]) -> None:
        self.distance = distance
        self.type = distance.type


@compiles(NearestFirst)
def _order_by_distance(element: NearestFirst, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    distance = str(compiler.process(element.distance, **options))
    select = compiler.stack[-1]["selectable"]
    has_limit = (
        getattr(select, "_limit_clause", None) is not None
        or getattr(select, "_fetch_clause", None) is not None
    )
    return distance if has_limit else f"{distance} + 0"


class VectorText(sa.types.UserDefinedType[str]):
    """A vector as text. Without a cast PostgreSQL reads it as the function's own type, wherever the extension lives."""

    cache_ok = True

    def literal_processor(self, dialect: sa.Dialect) -> Callable[[str], str]:
        """Return how it is written into a statement that is compiled with literal_binds: digits need no escapes."""
        return "'{}'".format


@overload
def near(
    statement: "sa.Select[*Entities]",
    question: QueryInput,
    k: int | None = 10,
    *,
    by: type[EmbeddingMixin] | str | None = None,
    key: Sequence[sa.ColumnElement[Any]] | None = None,
    distinct: Literal[False] = False,
) -> "sa.Select[*Entities, float]": ...


@overload
def near(
    statement: "sa.Select[*Entities]",
    question: QueryInput,
    k: int | None = 10,
    *,
    by: type[EmbeddingMixin] | str | None = None,
    key: Sequence[sa.ColumnElement[Any]] | None = None,
    distinct: Literal[True],
) -> "sa.Select[*Entities, float, int]": ...


def near(
    statement: "sa.Select[*Entities]",
    question: QueryInput,
    k: int | None = 10,
    *,
    by: type[EmbeddingMixin] | str | None = None,
    key: Sequence[sa.ColumnElement[Any]] | None = None,
    distinct: bool = False,
) -> "sa.Select[*Entities, float] | sa.Select[*Entities, float, int]":
    """Return the select with its rows in order of their distance from a query, the nearest k only.

    The rows get the column `distance` (cosine, 0 to 2) last; rows that are not embedded are left out. where(), join(),
    options(), offset() and limit() may follow, in any order. Nothing is run here, so it suits Session and AsyncSession.
    From k = 40 on, where a scan of the index would end short by itself, the statement has the scan go on, as SET LOCAL does:
    for the rest of its transaction. Below that, conditions can leave fewer than k rows; search() never does.

    Args:
        statement: A select of the source, with any joins and conditions.
        question: Words; a picture (bytes, a Path, a PIL image); a row of the source or Row(key), which is then not in its
            own answer; a vector, shape (dimensions,).
        k: Rows at most, 1 to 10,000; None to page with limit() and offset() of your own, or without a limit() to read all
            rows, which are then compared and sorted.
        by: The embedding class, where the source has several; or a collection's name, together with `key`.
        key: The source's key columns in the select, where it reads the source twice.
        distinct: Different pictures: of the rows with one picture that the select gives as it is passed, that with the
            smallest key, and `copies`, how many they are, as the last column. Conditions that follow are about that row alone.
            They are looked for among the nearest 10 k rows, at least 200; search() goes on where these are too few.

    Raises:
        UsageError: The query, the select or k cannot be used.
    """
    if k is not None:
        check_k(k, ", or None")
    check_select(statement, "near()")
    _refuse_clauses(statement)
    target, columns = resolve(statement, by, key)
    query = read_query(question, target.source, target.dimensions)
    found = _neighbours(target, query)
    if distinct:
        return _near_pictures(statement, target, columns, query, found, k)
    same = [found.c[name] == column for (name, _), column in zip(target.key, columns, strict=True)]
    distance = found.c[DISTANCE]
    condition = same[0] if len(same) == 1 else sa.and_(*same)
    nearest = statement.add_columns(distance).join(found, condition).order_by(NearestFirst(distance))
    # A row that is searched with is one of the candidates, and not in its own answer.
    if k is None or k >= DEFAULT_EF_SEARCH:
        nearest = nearest.where(_scan_goes_on(k))
    return nearest if k is None else nearest.limit(k)


def _near_pictures(
    statement: "sa.Select[*Entities]",
    target: EmbeddedSource,
    columns: Sequence[sa.ColumnElement[Any]],
    query: NearQuery,
    found: sa.FromClause,
    k: int | None,
) -> "sa.Select[*Entities, float, int]":
    names = [name for name, _ in target.key]
    asked = query.key(names) if isinstance(query, Row) else vars(query).values()
    if any(as_column(value) is not None for value in asked):
        raise UsageError("near(distinct=True) takes no column to search with; expected a value")
    matching = matching_keys(statement, columns, names)  # type: ignore[arg-type]
    inner = matching.alias()
    rows = sa.select(*(found.c[name] for name in names), found.c[DISTANCE]).join(
        inner, sa.and_(*(found.c[name] == inner.c[name] for name in names))
    )
    if k is not None:
        looked_at = min(MAX_K, max(LEAST_ROWS, ROWS_PER_PICTURE * k))
        rows = rows.where(_scan_goes_on(looked_at)).order_by(found.c[DISTANCE]).limit(looked_at)

    def is_other(row: sa.FromClause) -> sa.ColumnElement[bool]:
        if not isinstance(query, Row):
            return sa.true()
        values = zip(query.key(names), target.key, strict=True)
        return sa.not_(sa.and_(*(row.c[name] == _bound(value, type_) for value, (name, type_) in values)))

    table = embedding_table(target.name, target.key)
    pictures = fold_copies(rows.subquery(), table, names, matching, k=k, is_other=is_other)
    distance = pictures.c[DISTANCE]
    same = sa.and_(*(pictures.c[name] == column for name, column in zip(names, columns, strict=True)))
    nearest = statement.add_columns(distance, pictures.c[COPIES]).join(pictures, same)
    nearest = nearest.order_by(NearestFirst(distance), *columns)
    return nearest if k is None else nearest.limit(k)


def neighbours(by: type[EmbeddingMixin], question: QueryInput) -> sa.FromClause:
    """Return a collection's rows as a FROM item, with the source's key columns and `distance`: near_<collection> itself.

    For selects that near() does not write: add ORDER BY distance and LIMIT yourself.

    Raises:
        UsageError: The query or the class cannot be used.
    """
    target = target_of(by)
    return _neighbours(target, read_query(question, target.source, target.dimensions))


def _refuse_clauses(statement: AnySelect) -> None:
    clause = forbidden_clause(statement)
    if clause is not None:
        raise UsageError(
            f"the select has {clause}, which would stand before the nearest rows; {CURES[clause]}"
        )


def _scan_goes_on(k: int | None) -> sa.ColumnElement[bool]:
    """Return a condition that is always true, and by which the index gives more rows than its ef_search.

    No row is part of it, so PostgreSQL evaluates it once, before the first row is read. What the session has set is kept
    where it goes further.
    """
    set_to = partial(sa.func.set_config, type_=sa.Text())
    scan = sa.func.nullif(sa.func.current_setting("hnsw.iterative_scan", True), "off")
    settings: sa.ColumnElement[str] = set_to(
        "hnsw.iterative_scan", sa.func.coalesce(scan, "strict_order"), True
    )
    if k is not None:
        present = sa.cast(sa.func.current_setting("hnsw.ef_search", True), sa.Integer)
        wanted = sa.func.greatest(present, min(k + 1, MAX_EF_SEARCH))
        settings = settings + set_to("hnsw.ef_search", sa.cast(wanted, sa.Text), True)
    # An IVFFlat index goes on in relaxed order only: the rows of the next lists come after those of the nearest.
    settings = settings + set_to("ivfflat.iterative_scan", "relaxed_order", True)
    return sa.select(settings).scalar_subquery().is_not(None)


def _neighbours(target: EmbeddedSource, query: NearQuery) -> sa.FromClause:
    if isinstance(query, Picture):
        return _by_picture(target, query)
    if isinstance(query, Words):
        call, arguments = f"near_{target.name}_text", [_bound(query.text, sa.Text())]
    elif isinstance(query, Row):
        values = query.key([name for name, _ in target.key])
        call = f"near_{target.name}_row"
        arguments = [_bound(value, type_) for value, (_, type_) in zip(values, target.key, strict=True)]
    else:
        value = query.value
        vector = vector_text(value) if isinstance(value, np.ndarray) else value
        call, arguments = f"near_{target.name}", [_bound(vector, VectorText())]
    function: sa.Function[Any] = sa.Function(call, *arguments, packagenames=(SCHEMA,))
    found: sa.TableValuedAlias = function.table_valued(*target.columns)
    # A column among the arguments needs no LATERAL: to PostgreSQL functions in FROM are so by themselves.
    return found


def _by_picture(target: EmbeddedSource, query: Picture) -> sa.FromClause:
    """Compare with one picture: the vector is a scalar sub-select, which is evaluated once, as near_*_text has it."""
    table: sa.FromClause = (
        target.table if target.table is not None else embedding_table(target.name, target.key)
    )
    embedded = getattr(sa.func, SCHEMA).embed_image(
        sa.literal(target.name, sa.Text()), sa.literal(query.content, sa.LargeBinary()), type_=HALFVEC()
    )
    vector = sa.select(embedded).scalar_subquery()
    distance = distance_between(table.c.embedding, vector)
    return sa.select(*(table.c[name] for name, _ in target.key), distance.label(DISTANCE)).subquery()


def _bound(value: Any, type_: sa.types.TypeEngine[Any]) -> sa.ColumnElement[Any]:  # noqa: ANN401
    column = as_column(value)
    return sa.literal(value, type_) if column is None else column
