"""search(): near() with a promise, never fewer than k rows while more match."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from imgvec_pg.errors import CollectionNotFoundError, UsageError
from imgvec_pg.search.nearest import check_k
from imgvec_pg.search.query_types import read_vector
from imgvec_pg.sqlalchemy import executor
from imgvec_pg.sqlalchemy.error_mapping import database_errors_mapped
from imgvec_pg.sqlalchemy.executor import Found
from imgvec_pg.sqlalchemy.query import NearQuery, Picture, QueryInput, Row, Words, read_query
from imgvec_pg.sqlalchemy.resolve import AnySelect, EmbeddedSource, resolve
from imgvec_pg.sqlalchemy.select_shape import check_select
from imgvec_pg.sqlalchemy.spanning_search import find_span, search_span, span_key
from imgvec_pg.store.mixin import SCHEMA, EmbeddingMixin
from imgvec_pg.store.spec import check_name


def search(
    session: Session | sa.Connection,
    statement: AnySelect,
    question: QueryInput,
    k: int = 10,
    *,
    by: type[EmbeddingMixin] | str | None = None,
    key: Sequence[sa.ColumnElement[Any]] | None = None,
    distinct: bool = False,
) -> Found:
    """Find the k nearest of the rows that a select gives, by the way that suits its conditions; on a coordinator over all shards.

    It runs several statements where near() is one: what matches is estimated, looked for by the index, and compared one by
    one where the index gives too few. With an AsyncSession: `await session.run_sync(search, select(…), …)`.

    Args:
        statement: A select of the source, with any joins and conditions.
        question: Words; a picture (bytes, a Path, a PIL image); a row of the source or Row(key), which is then not in its
            own answer; a vector, shape (dimensions,).
        k: Rows wanted, 1 to 10,000.
        by: The embedding class, where the source has several; or a collection's name, which needs no key here.
        key: The source's key columns in the select, where it reads the source twice.
        distinct: k different pictures: of the rows with one picture that the select gives, that with the smallest key, and
            `copies`, how many they are, as the last column.

    Returns:
        No rows where the row that is searched with is not embedded (yet).

    Raises:
        UsageError: k, the query or the select cannot be used.
        CollectionNotFoundError: The collection does not exist.
        NoWorkerError: Words or a picture are not cached, and no running worker could be asked.
        ModelError: The worker could not embed them.
        DatabaseError: The role lacks a right, or the database the library's schema.
    """
    check_k(k)
    check_select(statement, "search()")
    known_key = key if key is not None else _key_of_name(session, statement, by)
    target, columns = resolve(statement, by, known_key)
    query = read_query(question, _source(target, columns))
    if isinstance(query, Row):
        values = query.key([name for name, _ in target.key])
        pairs = zip(columns, values, target.key, strict=True)
        is_itself = sa.and_(*(column == sa.literal(value, type_) for column, value, (_, type_) in pairs))
        statement = statement.where(sa.not_(is_itself))
    with database_errors_mapped():
        vector = fetch_vector(executor.connection_of(session, statement), target, query)
    if vector is None:
        return Found((), "exact")
    with database_errors_mapped(with_applications_select=True):
        # A key that was looked up is looked up again, should the name mean another collection meanwhile.
        own_key = None if known_key is not key else columns
        try:
            return executor.search(session, statement, target.name, vector, k, key=own_key, distinct=distinct)
        except CollectionNotFoundError:
            span = find_span(executor.connection_of(session, statement), target.name)
            if span is None:
                raise
        return search_span(session, statement, span, vector, k, key=columns, distinct=distinct)


def _key_of_name(
    session: Session | sa.Connection, statement: AnySelect, by: type[EmbeddingMixin] | str | None
) -> Sequence[sa.ColumnElement[Any]] | None:
    """Return the key columns of a collection given by its name, where the select reads its source."""
    if not isinstance(by, str):
        return None
    check_name(by)
    with database_errors_mapped():
        try:
            return executor.source_key(session, statement, by)
        except CollectionNotFoundError:
            span = find_span(executor.connection_of(session, statement), by)
            if span is None:
                raise
    return span_key(statement, span)


def _source(target: EmbeddedSource, columns: Sequence[sa.ColumnElement[Any]]) -> sa.Table | None:
    """Return the table whose instances are rows: the class's, else the one whose columns are the key."""
    if target.source is not None:
        return target.source
    tables = [getattr(column, "table", None) for column in columns]
    return next((table for table in tables if isinstance(table, sa.Table)), None)


def fetch_vector(
    bound: sa.Connection, target: EmbeddedSource, query: NearQuery
) -> npt.NDArray[np.float32] | None:
    """Have the database embed a query, or look a row's vector up; shape (dimensions,), None for a row without one."""
    imgvec, name = getattr(sa.func, SCHEMA), sa.literal(target.name, sa.Text())
    if isinstance(query, Words) and not isinstance(query.text, str):
        raise UsageError("search() runs at once, so it cannot take a column; expected words, or use near()")
    call: sa.ColumnElement[Any]
    if isinstance(query, Words):
        call = imgvec.embed_text(name, sa.literal(query.text, sa.Text()))
    elif isinstance(query, Picture):
        call = imgvec.embed_image(name, sa.literal(query.content, sa.LargeBinary()))
    elif isinstance(query, Row):
        values = zip(query.key([column for column, _ in target.key]), target.key, strict=True)
        pairs = [
            part
            for value, (column, type_) in values
            for part in (sa.literal(column, sa.Text()), sa.literal(value, type_))
        ]
        call = (
            imgvec.find_embedding(name, sa.func.jsonb_build_object(*pairs))
            .table_valued("embedding")
            .c.embedding
        )
    elif isinstance(query.value, np.ndarray):
        return query.value
    else:
        raise UsageError("search() runs at once, so it cannot take a column; expected a value, or use near()")
    fetching = sa.select(sa.cast(call, sa.Text()))
    text: str | None = bound.execute(fetching, execution_options=executor.AT_ONCE).scalar_one()
    return None if text is None else read_vector(text)
