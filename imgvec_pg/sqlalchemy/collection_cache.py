"""What a search over SQLAlchemy needs to know of its collection first, kept for some seconds with the driver's connection.

The statement that is made with it checks that the name still means this collection.
"""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import sqlalchemy as sa

from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import CollectionNotFoundError
from imgvec_pg.search.strategy import CollectionStats

PLACEHOLDER = re.compile(r"%\(([\w.]+)\)s")
KEPT_SECONDS = 5.0
UNTYPED = "untyped_text"
"""Name of a value whose type is for PostgreSQL to find."""
KEPT = "imgvec_states"
"""The states' key in the `info` that SQLAlchemy keeps as long as a driver's connection, so for one database and login."""


@dataclass(frozen=True)
class State:
    """A collection as imgvec.search_state tells it.

    Attributes:
        given_name: What it was called: its name, or an alias, which may mean another collection by now.
        source: Schema and name of the source.
        id, name: The collection's own. Created again under its name it has another id.
        is_fresh: Whether it was read just now.
    """

    given_name: str
    dimensions: int
    key_columns: tuple[str, ...]
    source: tuple[str, str]
    id: int
    name: str
    stats: CollectionStats
    is_fresh: bool


def read_state(connection: sa.Connection, collection: str, *, is_fresh: bool = False) -> State:
    """Return a collection's state, at most KEPT_SECONDS old, or read now where it must be fresh.

    Raises:
        CollectionNotFoundError: The collection does not exist.
    """
    kept: dict[str, tuple[float, State]] = connection.info.setdefault(KEPT, {})
    if not is_fresh and collection in kept and time.monotonic() < kept[collection][0]:
        return kept[collection][1]
    forget_state(connection, collection)
    # PostgreSQL's texts have no NUL.
    rows = run(connection, "queries/search_begin.sql", {"name": collection}) if "\0" not in collection else []
    if not rows:
        raise CollectionNotFoundError(
            f'collection "{collection}" does not exist; the table imgvec.collection has those that do'
        )
    *_, dimensions, key_columns, schema, source, id_, name = rows[0]
    described = (collection, dimensions, tuple(key_columns), (schema, source), id_, name)
    state = State(*described, CollectionStats.of(rows[0]), is_fresh=True)
    kept[collection] = time.monotonic() + KEPT_SECONDS, replace(state, is_fresh=False)
    return state


def forget_state(connection: sa.Connection, collection: str) -> None:
    """Have the next search read a collection's state again."""
    connection.info.get(KEPT, {}).pop(collection, None)


def run(connection: sa.Connection, name: str, values: Mapping[str, object]) -> Sequence[Sequence[Any]]:
    """Run one of the library's own statements, by its file, as run_text() does."""
    return run_text(connection, _text(name), values)


def run_text(
    connection: sa.Connection, statement: str, values: Mapping[str, object]
) -> Sequence[Sequence[Any]]:
    """Run a statement with %(values)s on the driver's connection and return its rows.

    SQLAlchemy's own result would take three times as long as the statement, and is taken for drivers that write values
    in another way than psycopg, such as asyncpg.
    """
    if connection.dialect.paramstyle != "pyformat":
        named = {_parameter(key): value for key, value in values.items()}
        return connection.execute(_clause(statement), named).all()
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, values)
        return cursor.fetchall()
    finally:
        cursor.close()


@cache
def _text(name: str) -> str:
    return load_sql(name).as_string(None)


@lru_cache(maxsize=64)
def _clause(statement: str) -> sa.TextClause:
    plain = PLACEHOLDER.sub(lambda found: f"\0{_parameter(found[1])}", statement).rstrip().removesuffix(";")
    clause = sa.text(plain.replace("%%", "%").replace(":", "\\:").replace("\0", ":"))
    if UNTYPED in statement:
        return clause.bindparams(sa.bindparam(UNTYPED, type_=sa.types.NullType()))
    return clause


def _parameter(name: str) -> str:
    """Return a value's name as SQLAlchemy takes it: that of a setting has a dot."""
    return name.replace(".", "_")
