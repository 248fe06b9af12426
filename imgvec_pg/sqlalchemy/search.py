"""search(): near() with a promise, never fewer than k rows while more match."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from imgvec_pg.errors import UsageError
from imgvec_pg.search import selects
from imgvec_pg.search.selects import Found
from imgvec_pg.sqlalchemy.questions import Asked, Picture, Question, Row, Words, read_question
from imgvec_pg.sqlalchemy.source import AnySelect, Target, resolve
from imgvec_pg.store.embeddingmixin import SCHEMA, EmbeddingMixin


def search(
    session: Session | sa.Connection,
    statement: AnySelect,
    question: Asked,
    k: int = 10,
    *,
    by: type[EmbeddingMixin] | str | None = None,
    key: Sequence[sa.ColumnElement[Any]] | None = None,
) -> Found:
    """Find the k nearest of the rows that a select gives, by the way that suits its conditions.

    It runs several statements where near() is one: what matches is estimated, asked of the index, and compared one by
    one where the index gives too few. With an AsyncSession: `await session.run_sync(search, select(…), …)`.

    Args:
        statement, question, k, by, key: As near() has them; k is 1 to 10,000.

    Raises:
        UsageError: k, the question or the select cannot be used.
        CollectionError: The collection does not exist.
    """
    target, columns = resolve(statement, by, key)
    source = target.source if target.source is not None else sa.Table("", sa.MetaData())
    asked = read_question(question, source)
    if isinstance(asked, Row):
        values = asked.key([name for name, _ in target.key])
        pairs = zip(columns, values, target.key, strict=True)
        is_itself = sa.and_(*(column == sa.literal(value, type_) for column, value, (_, type_) in pairs))
        statement = statement.where(sa.not_(is_itself))
    vector = fetch_vector(session, target, asked)
    return selects.search(session, statement, target.name, vector, k, key=columns)


def fetch_vector(
    session: Session | sa.Connection, target: Target, asked: Question
) -> npt.NDArray[np.float32]:
    """Have the database embed a question, or look a row's vector up; shape (dimensions,)."""
    imgvec, name = getattr(sa.func, SCHEMA), sa.literal(target.name, sa.Text())
    if isinstance(asked, Words):
        call = imgvec.embed_text(name, sa.literal(asked.text, sa.Text()))
    elif isinstance(asked, Picture):
        call = imgvec.embed_image(name, sa.literal(asked.content, sa.LargeBinary()))
    elif isinstance(asked, Row):
        values = zip(asked.key([column for column, _ in target.key]), target.key, strict=True)
        pairs = [
            part
            for value, (column, type_) in values
            for part in (sa.literal(column, sa.Text()), sa.literal(value, type_))
        ]
        call = imgvec.embedding_of(name, sa.func.jsonb_build_object(*pairs))
    elif isinstance(asked.value, str):
        return np.array(json.loads(asked.value), dtype=np.float32)
    else:
        raise UsageError("search() runs at once, so it cannot take a column; expected a value, or use near()")
    text = session.execute(sa.select(sa.cast(call, sa.Text()))).scalar_one()
    return np.array(json.loads(text), dtype=np.float32)
