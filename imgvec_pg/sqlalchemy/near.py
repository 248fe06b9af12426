"""near(): the rows of a select by their distance from a question, in the shape that keeps the HNSW index."""

from collections.abc import Sequence
from typing import Any, TypeVarTuple

import numpy as np
import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC

from imgvec_pg.errors import UsageError
from imgvec_pg.search.nearest import check_k
from imgvec_pg.search.question import vector_text
from imgvec_pg.search.selects import DISTANCE, FORBIDDEN
from imgvec_pg.sqlalchemy.questions import Asked, Picture, Question, Row, Words, as_column, read_question
from imgvec_pg.sqlalchemy.source import AnySelect, Target, resolve, target_of
from imgvec_pg.store.embeddingmixin import SCHEMA, EmbeddingMixin

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


def near(
    statement: "sa.Select[*Entities]",
    question: Asked,
    k: int | None = 10,
    *,
    by: type[EmbeddingMixin] | str | None = None,
    key: Sequence[sa.ColumnElement[Any]] | None = None,
) -> "sa.Select[*Entities, float]":
    """Return the select with its rows in order of their distance from a question, the nearest k only.

    The rows get the column `distance` (cosine, 0 to 2) last; rows that are not embedded are left out. where(), join(),
    options(), offset() and limit() may follow, in any order. Nothing is run here, so it suits Session and AsyncSession.

    Args:
        statement: A select of the source, with any joins and conditions.
        question: Words; a picture (bytes, a Path, a PIL image); a row of the source or Row(key), which is then not in its
            own answer; a vector, shape (dimensions,).
        k: Rows at most, 1 to 10,000; None to page with limit() and offset() of your own.
        by: The embedding class, where the source has several; or a collection's name, together with `key`.
        key: The source's key columns in the select, where it reads the source twice.

    Raises:
        UsageError: The question, the select or k cannot be used.
    """
    if k is not None:
        check_k(k, ", or None")
    _refuse_clauses(statement)
    target, columns = resolve(statement, by, key)
    found = _neighbours(target, _read(question, target))
    same = [found.c[name] == column for (name, _), column in zip(target.key, columns, strict=True)]
    distance = found.c[DISTANCE]
    condition = same[0] if len(same) == 1 else sa.and_(*same)
    nearest = statement.add_columns(distance).join(found, condition).order_by(distance)
    return nearest if k is None else nearest.limit(k)


def neighbours(by: type[EmbeddingMixin], question: Asked) -> sa.FromClause:
    """Return a collection's rows as a FROM item, with the source's key columns and `distance`: near_<collection> itself.

    For selects that near() does not write: add ORDER BY distance and LIMIT yourself.

    Raises:
        UsageError: The question or the class cannot be used.
    """
    target = target_of(by)
    return _neighbours(target, _read(question, target))


def _read(question: Asked, target: Target) -> Question:
    return read_question(question, target.source)


def _refuse_clauses(statement: AnySelect) -> None:
    for attribute, clause in FORBIDDEN.items():
        found = getattr(statement, attribute)
        if found is not None and found is not False and found != ():
            raise UsageError(
                f"the select has {clause}, which would stand before the nearest rows; {CURES[clause]}"
            )


def _neighbours(target: Target, question: Question) -> sa.FromClause:
    if isinstance(question, Picture):
        return _by_picture(target, question)
    if isinstance(question, Words):
        call, arguments = f"near_{target.name}_text", [_bound(question.text, sa.Text())]
    elif isinstance(question, Row):
        values = question.key([name for name, _ in target.key])
        call = f"near_{target.name}_row"
        arguments = [_bound(value, type_) for value, (_, type_) in zip(values, target.key, strict=True)]
    else:
        value = question.value
        asked = vector_text(value) if isinstance(value, np.ndarray) else value
        # Without a type PostgreSQL reads the text as the function's own, wherever the extension lives.
        call, arguments = f"near_{target.name}", [_bound(asked, sa.types.NullType())]
    function: sa.Function[Any] = sa.Function(call, *arguments, packagenames=(SCHEMA,))
    found: sa.TableValuedAlias = function.table_valued(*target.columns)
    # A column among the arguments needs no LATERAL: to PostgreSQL functions in FROM are so by themselves.
    return found


def _by_picture(target: Target, question: Picture) -> sa.FromClause:
    """Compare with one picture: the vector is a scalar sub-select, which is evaluated once, as near_*_text has it."""
    table: sa.FromClause = target.table if target.table is not None else _bare_table(target)
    asked = getattr(sa.func, SCHEMA).embed_image(
        sa.literal(target.name, sa.Text()), sa.literal(question.content, sa.LargeBinary()), type_=HALFVEC()
    )
    vector = sa.select(asked).scalar_subquery()
    distance: sa.ColumnElement[float] = table.c.embedding.op("<=>", return_type=sa.Double())(vector)
    return sa.select(*(table.c[name] for name, _ in target.key), distance.label(DISTANCE)).subquery()


def _bare_table(target: Target) -> sa.FromClause:
    columns: list[sa.ColumnClause[Any]] = [sa.column(name, type_) for name, type_ in target.key]
    return sa.table(f"{target.name}_embedding", *columns, sa.column("embedding", HALFVEC()), schema=SCHEMA)


def _bound(value: Any, type_: sa.types.TypeEngine[Any]) -> sa.ColumnElement[Any]:  # noqa: ANN401
    column = as_column(value)
    return sa.literal(value, type_) if column is None else column
