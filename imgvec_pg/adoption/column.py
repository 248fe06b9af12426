"""A column of vectors that an application has: in the source itself, or in a table beside it by the source's key."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, one_line, transaction_changed, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.source import Source, no_such_column, resolve_relation
from imgvec_pg.store.transactions import read_as_owner

Float64Array = npt.NDArray[np.float64]
KeyRanges = Sequence[tuple[Key, Key]]
"""Lowest and highest key of each, both included."""

DRAWN_TIMES = 4
"""Keys drawn for each row wanted, as some have vectors that cannot be compared."""


@dataclass(frozen=True)
class VectorColumn:
    """A column of pgvector's types.

    Attributes:
        relation: Schema and name of its table or view.
        name: Of the column.
        keys: The columns there that have the source's key, in its order; () where the column is the source's own.
        shown: For people.
    """

    relation: tuple[str, str]
    name: str
    keys: tuple[str, ...]
    shown: str

    def parts(self, collection: Collection, vector: str) -> dict[str, sql.Composable]:
        """Return `{adopting}`, the source's rows as s with the column beside them, and `{adopted}`, the column as a vector."""
        rows = sql.SQL("{} AS s").format(collection.rows)
        alias = "v" if self.keys else "s"
        column = sql.SQL("{}::{}").format(sql.Identifier(alias, self.name), sql.Identifier(vector, "vector"))
        if self.keys:
            same = sql.SQL(" AND ").join(
                sql.SQL("{} OPERATOR({}.=) {}").format(
                    sql.Identifier("v", own), sql.Identifier(schema), sql.Identifier("s", key)
                )
                for own, key, schema in zip(
                    self.keys, collection.key_columns, collection.key_equality_schemas, strict=True
                )
            )
            rows = sql.SQL("{} LEFT JOIN {} AS v ON {}").format(rows, sql.Identifier(*self.relation), same)
        return {"adopting": rows, "adopted": column}


@dataclass(frozen=True)
class Held:
    """What a column holds beside the source's rows.

    Attributes:
        by_dimensions: Rows by their vectors' dimensions, the most frequent first.
        without: Rows without a vector.
        zero: Rows whose vector has norm 0.
        least_norm, largest_norm: Of the others.
    """

    by_dimensions: dict[int, int]
    without: int
    zero: int
    least_norm: float
    largest_norm: float

    @property
    def dimensions(self) -> int | None:
        """Of most vectors; None where there is none."""
        return next(iter(self.by_dimensions), None)

    @property
    def is_normalised(self) -> bool:
        """Whether all vectors have the norm 1, as halfvec keeps it."""
        return self.least_norm >= 0.99 and self.largest_norm <= 1.01


@dataclass(frozen=True)
class HeldVector:
    """A row drawn from the column: its key, where its picture is, its vector of shape (dimensions,)."""

    key: Key
    path: str | None
    content: bytes | None
    vector: Float64Array


def find_column(connection: Connection, named: str, source: Source, keys: Sequence[str] = ()) -> VectorColumn:
    """Look up the column that somebody named, "public.item.embedding" or "item.embedding".

    Args:
        keys: Columns beside it that have the source's key; by default those of a foreign key to the source, or of the same names.

    Raises:
        UsageError: It is no name of a column.
        CollectionError: There is no such column, it holds no vectors, or its rows cannot be told by the source's key.
    """
    parts = _parse(connection, named)
    relation = sql.Identifier(*parts[:-1]).as_string(connection)
    oid = resolve_relation(connection, relation)
    column, kind, names = _look_up(connection, oid, parts[-1], relation)
    place = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = %s",
        [oid],
    ).fetchone()
    assert place is not None  # noqa: S101 - just resolved
    shown = f"{'.'.join(place)}.{column}"
    if kind is None:
        raise CollectionError(
            f"{shown} is {names[column]}; expected a column of vector or halfvec: cast it in a view, or in a column beside it"
        )
    if oid == source.oid:
        return VectorColumn((place[0], place[1]), column, (), shown)
    found = tuple(keys) or _keys_beside(connection, oid, source, names)
    for name in found:
        if name not in names:
            raise CollectionError(no_such_column(relation, name, names))
    if len(found) != len(source.key):
        raise CollectionError(
            f"{relation} has no columns with the key of {source.shown} ({', '.join(key.name for key in source.key)}): name "
            "them with --adopt-key COLUMN, in that order"
        )
    made = VectorColumn((place[0], place[1]), column, found, shown)
    _refuse_repeated(connection, made)
    return made


def _parse(connection: Connection, named: str) -> list[str]:
    try:
        row = connection.execute("SELECT parse_ident(%s)", [named]).fetchone()
    except psycopg.errors.InvalidParameterValue as error:
        raise UsageError(
            f"{named!r} names no column; expected schema.table.column, quoted as in SQL"
        ) from error
    parts = list(row[0]) if row else []
    if len(parts) not in (2, 3):
        raise UsageError(
            f"{named!r} names no column of a table; expected schema.table.column, quoted as in SQL"
        )
    return parts


def _look_up(
    connection: Connection, oid: int, column: str, relation: str
) -> tuple[str, str | None, dict[str, str]]:
    rows = connection.execute(
        load_sql("queries/vector_columns.sql"), {"oid": oid, "vector": vector_schema(connection)}
    ).fetchall()
    names = {str(name): str(type_name) for name, type_name, _ in rows}
    if column not in names:
        raise CollectionError(no_such_column(relation, column, names))
    return column, next(kind for name, _, kind in rows if name == column), names


def _keys_beside(connection: Connection, oid: int, source: Source, names: dict[str, str]) -> tuple[str, ...]:
    own = [key.name for key in source.key]
    row = connection.execute(
        load_sql("queries/keys_to_source.sql"), {"oid": oid, "source": source.oid, "keys": own}
    ).fetchone()
    if row is not None:
        return tuple(row[0])
    return tuple(own) if all(name in names for name in own) else ()


def _refuse_repeated(connection: Connection, column: VectorColumn) -> None:
    statement = render(
        "queries/repeated_keys.sql",
        relation=sql.Identifier(*column.relation),
        keys=sql.SQL(", ").join(map(sql.Identifier, column.keys)),
    )
    row = connection.execute(statement).fetchone()
    if row is not None and row[0]:
        raise CollectionError(
            f"{row[0]:,} keys of {'.'.join(column.relation)} have more than one row ({', '.join(column.keys)}), expected one "
            "vector for each: choose one in a view (SELECT DISTINCT ON …) and adopt its column"
        )


@contextmanager
def reading(connection: Connection, collection: Collection) -> Iterator[None]:
    """Read in a transaction that changes nothing and fails where a policy would hide rows."""
    path = ", ".join(sql.Identifier(schema).as_string(None) for schema in collection.key_equality_schemas)
    try:
        with connection.transaction():
            read_as_owner(connection, collection)
            with transaction_changed(connection, search_path=path, row_security="off"):
                yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"the role {connection.info.user} may not read all that is to be adopted ({one_line(error)}): it takes SELECT on "
            f"{collection.shown_source} and the column, and BYPASSRLS where policies hide rows"
        ) from error


def survey(connection: Connection, collection: Collection, column: VectorColumn) -> Held:
    """Count what a column holds; reads all its vectors once.

    Args:
        collection: As planned, of any dimensions.
    """
    statement = render("collection/adopt_survey.sql", **_parts(connection, collection, column))
    with reading(connection, collection):
        rows = connection.execute(statement).fetchall()
    found = [row for row in rows if row[0] is not None]
    return Held(
        by_dimensions={dimensions: count for dimensions, count, *_ in found},
        without=sum(row[1] for row in rows if row[0] is None),
        zero=sum(row[2] for row in found),
        least_norm=min((row[3] for row in found if row[3] is not None), default=0.0),
        largest_norm=max((row[4] for row in found), default=0.0),
    )


def draw(
    connection: Connection,
    collection: Collection,
    column: VectorColumn,
    rows: int,
    *,
    seed: int = 0,
    known: Sequence[Key] = (),
    along: tuple[Float64Array, float] | None = None,
    within: KeyRanges = (),
    with_pictures: bool = True,
) -> list[HeldVector]:
    """Draw rows with a picture and a vector of the collection's dimensions, the same ones for the same seed.

    Args:
        known: Keys to leave out.
        along: A direction, and how far along it a row must lie.
        within: Ranges of keys, one of which a row must lie in; () for all.
    """
    parts = {
        **_parts(connection, collection, column),
        "s_in_ranges": in_ranges(collection, "s", bool(within)),
    }
    if not with_pictures:
        parts |= {"path": sql.SQL("NULL::text"), "content": sql.SQL("NULL::bytea")}
    values = {
        "seed": seed,
        "sample": rows,
        "drawn": DRAWN_TIMES * rows,
        "known": [Jsonb(key) for key in known],
        "direction": None if along is None else as_text(along[0]),
        "least": None if along is None else along[1],
        **range_values(within),
    }
    with reading(connection, collection):
        found = connection.execute(render("collection/adopt_sample.sql", **parts), values).fetchall()
    return [
        HeldVector(key, path, content, np.array(vector.strip("[]").split(","), dtype=np.float64))
        for key, path, content, vector in found
    ]


def in_ranges(collection: Collection, row: str, is_narrowed: bool) -> sql.Composable:
    """Return the condition that a row's key lies in one of the ranges bound by `range_values`."""
    if not is_narrowed:
        return sql.SQL("true")
    places = range(len(collection.key_columns))
    lows = [sql.Identifier(f"low_{place}") for place in places]
    highs = [sql.Identifier(f"high_{place}") for place in places]
    return render(
        "collection/in_ranges.sql",
        **bindable(
            {
                "key_definitions": collection.key_sql.parts()["key_definitions"],
                "bounds": sql.SQL(", ").join([*lows, *highs]),
                "own": collection.key_sql.columns(row),
                "lows": sql.SQL(", ").join(lows),
                "highs": sql.SQL(", ").join(highs),
            }
        ),
    )


def range_values(ranges: KeyRanges) -> dict[str, Jsonb]:
    """Return what `in_ranges` takes."""
    return {"lows": Jsonb([low for low, _ in ranges]), "highs": Jsonb([high for _, high in ranges])}


def order_keys(connection: Connection, collection: Collection, keys: Sequence[Key]) -> list[int]:
    """Return the positions of keys, from 0, in the order of the source's key."""
    parts = bindable(collection.parts(vector_schema(connection)))
    parts["k_keys"] = bindable({"k": collection.key_sql.columns("k")})["k"]
    with reading(connection, collection):
        rows = connection.execute(
            render("collection/order_keys.sql", **parts), {"keys": Jsonb(list(keys))}
        ).fetchall()
    return [position - 1 for (position,) in rows]


def as_text(vector: Float64Array) -> str:
    """Return a vector as pgvector reads it."""
    return "[" + ",".join(f"{value:.9g}" for value in vector) + "]"


def _parts(connection: Connection, collection: Collection, column: VectorColumn) -> dict[str, sql.Composable]:
    schema = vector_schema(connection)
    return bindable({**collection.parts(schema), **column.parts(collection, schema)})
