"""An image source: the relation of the application that holds or names its pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from imgvec_pg.database.connect import Connection, one_line, plain_search_path
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.guarded_columns import reads_as

# Names that the embedding table or the search functions need for themselves.
RESERVED_KEY_NAMES = frozenset(
    {
        "embedding",
        "version",
        "content_hash",
        "precision",
        "embedded_at",
        "distance",
        "query",
        "k",
        "among",
        "key",
        "liked",
        "disliked",
        "disliked_weight",
        "after_distance",
        "after_key",
        "max_distance",
        "most",
        "labels",
        "label",
        "probability",
        "rank",
    }
)
TEXT_TYPES = frozenset({"text", "character varying", "character", "citext", "varchar"})

RelationKind = Literal["table", "partitioned table", "view", "materialized view", "foreign table"]
KINDS: dict[str, RelationKind] = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}


@dataclass(frozen=True)
class KeyColumn:
    """One column of the primary key: name, type as SQL, the schema of its equality operator, its kind in pg_type."""

    name: str
    type_name: str
    equality_schema: str
    kind: str = "b"


@dataclass(frozen=True)
class ImageColumns:
    """The columns of a source that hold its pictures: paths or URLs, and bytes."""

    path: str | None
    content: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """Those that there are, the one with paths first."""
        return tuple(name for name in (self.path, self.content) if name is not None)


@dataclass(frozen=True)
class Source:
    """What the catalogue says of a relation; `tables` are those whose statements fire triggers.

    `shown` is the name for people, quoted where SQL wants it; `hides_rows` is imgvec.source_hides_rows; `reads_as` is
    the owner of a view that this role, a superuser, must not run the expressions of; `virtual_columns` are those that
    triggers do not see.
    """

    oid: int
    schema: str
    name: str
    shown: str
    kind: RelationKind
    key: tuple[KeyColumn, ...]
    columns: dict[str, str]
    hides_rows: bool
    tables: tuple[tuple[str, str], ...]
    estimated_rows: float
    has_unique_key: bool
    reads_as: str | None = None
    virtual_columns: frozenset[str] = frozenset()

    @property
    def can_have_triggers(self) -> bool:
        """Whether statement triggers with transition tables are possible."""
        return self.kind in {"table", "partitioned table"}

    def image_columns(self, names: Sequence[str]) -> ImageColumns:
        """Tell path columns from bytea columns by their types.

        Raises:
            CollectionError: No such column, or of a type that holds no image.
        """
        path = content = None
        for name in names:
            if name not in self.columns:
                raise CollectionError(no_such_column(self.shown, name, self.columns))
            type_name = self.columns[name]
            if type_name == "bytea" and content is None:
                content = name
            elif type_name.split(".")[-1] in TEXT_TYPES and path is None:
                path = name
            else:
                raise CollectionError(
                    f'column "{name}" of {self.shown} is {type_name}; expected a text column with paths, a bytea column, '
                    "or both"
                )
        return ImageColumns(path, content)


def resolve_relation(connection: Connection, relation: str) -> int:
    """Return the oid of `relation` ("shop.product", quoted as in SQL where needed).

    Raises:
        CollectionError: There is none, or its name cannot be read.
    """
    try:
        row = connection.execute("SELECT to_regclass(%s)::oid", [relation]).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"the role {connection.info.user} may not look up {relation} ({one_line(error)}); grant it USAGE on the schema "
            "and SELECT on the table"
        ) from error
    except psycopg.Error as error:
        raise CollectionError(
            f"{relation} is not a table name; expected schema.table, quoted as in SQL: 'shop.\"Product\"'"
        ) from error
    if row is None or row[0] is None:
        raise CollectionError(
            f'table "{relation}" does not exist in database "{connection.info.dbname}", or the role "{connection.info.user}" '
            "may not see its schema; expected schema.table, quoted as in SQL where names are mixed-case"
        )
    return int(row[0])


def describe_source(connection: Connection, relation: str, key: Sequence[str] = ()) -> Source:
    """Look a relation up in the catalogue.

    Args:
        relation: "shop.product".
        key: Columns that identify a row, for views and foreign tables, which have no primary key.

    Raises:
        CollectionError: No such relation, not a table or view, inherited from, no usable key.
    """
    oid = resolve_relation(connection, relation)
    found = _look_up(connection, oid, key)
    schema, name, shown, relkind, hides_rows, estimated_rows, reads_as = found.relation
    _refuse_unfit(shown, relkind, found.children)
    is_primary = not key or sorted(key) == sorted(row[0] for row in found.primary)
    usable = _primary_key(shown, found) if is_primary else _chosen_key(shown, found, key)
    _refuse_code_in_key(connection, shown, usable)
    return Source(
        oid=oid,
        schema=schema,
        name=name,
        shown=shown,
        kind=KINDS[relkind],
        key=usable,
        columns=found.columns,
        hides_rows=hides_rows,
        tables=tuple((s, t) for s, t in found.tables) or ((schema, name),),
        estimated_rows=float(estimated_rows),
        has_unique_key=is_primary,
        reads_as=reads_as,
        virtual_columns=frozenset(found.virtual),
    )


@dataclass(frozen=True)
class _Found:
    """Rows of the catalogue; `primary` and `chosen` are of KeyColumn's fields, `chosen` only where a key was given."""

    relation: tuple[Any, ...]
    columns: dict[str, str]
    primary: list[tuple[str, str, str, str]]
    chosen: list[tuple[str, str, str, str]]
    tables: list[tuple[str, str]]
    children: list[tuple[str]]
    virtual: list[str]


def _look_up(connection: Connection, oid: int, key: Sequence[str]) -> _Found:
    def rows(name: str, **parameters: object) -> list[Any]:
        return connection.execute(load_sql(f"queries/{name}.sql"), {"oid": oid, **parameters}).fetchall()

    with plain_search_path(connection):
        relation = connection.execute(
            render("queries/source_relation.sql", reads_as=reads_as("c")), {"oid": oid}
        ).fetchone()
        assert relation is not None  # noqa: S101 - it has just been resolved
        return _Found(
            relation=relation,
            columns=dict(rows("source_columns")),
            primary=rows("source_primary_key"),
            chosen=rows("source_chosen_key", columns=list(key)) if key else [],
            tables=rows("source_tables"),
            children=rows("source_children"),
            virtual=[name for (name,) in rows("source_virtual_columns")],
        )


def _refuse_code_in_key(connection: Connection, shown: str, key: Sequence[KeyColumn]) -> None:
    """Refuse a key whose values run what somebody has written, wherever they are read or ANALYZE counts them."""
    with plain_search_path(connection):
        row = connection.execute(
            load_sql("queries/code_in_key.sql"), {"types": [column.type_name for column in key]}
        ).fetchone()
    if row is not None:
        raise CollectionError(
            f"a key column of {shown} is of the type {row[0]}, whose values run {row[1]}, in the embedding table with "
            "other rights than its owner's; expected a type without code of its own, or another key by --key"
        )


def _refuse_unfit(shown: str, relkind: str, children: Sequence[tuple[str]]) -> None:
    if relkind not in KINDS:
        raise CollectionError(
            f'"{shown}" is not a table or view; expected one that holds a row for each image'
        )
    if children:
        raise CollectionError(
            f"{shown} has tables that inherit from it ({', '.join(row[0] for row in children)}), whose rows its primary key "
            "does not cover; name a table without such, or a view of its own rows (FROM ONLY) with --key and --no-fk"
        )


def _primary_key(shown: str, found: _Found) -> tuple[KeyColumn, ...]:
    if not found.primary:
        raise CollectionError(
            f"{shown} has no primary key, which is how its embeddings are told apart; "
            "add one, or name unique columns with --key COLUMN together with --no-fk"
        )
    return _usable(shown, found.primary)


def _chosen_key(shown: str, found: _Found, key: Sequence[str]) -> tuple[KeyColumn, ...]:
    missing = [column for column in key if column not in found.columns]
    if missing:
        raise CollectionError(no_such_column(shown, missing[0], found.columns))
    if len(found.chosen) != len(key):
        raise CollectionError(
            f"a key column of {shown} has a type without ordering; expected a type that can be a primary key"
        )
    return _usable(shown, found.chosen)


def _usable(shown: str, rows: Sequence[tuple[str, str, str, str]]) -> tuple[KeyColumn, ...]:
    key = tuple(KeyColumn(*row) for row in rows)
    for row in rows:
        if row[3] == "d":
            raise CollectionError(
                f'the key column "{row[0]}" of {shown} is an array of a domain, whose checks would run with other rights than '
                "their owner's; expected an array of the type beneath, or another key by --key"
            )
    for column in key:
        if column.kind == "c":
            raise CollectionError(
                f'the key column "{column.name}" of {shown} is of the composite type {column.type_name}; expected a type of '
                "one value: make a view with a column for each of its parts and use --no-fk"
            )
        if column.type_name == "jsonb":
            raise CollectionError(
                f'the key column "{column.name}" of {shown} is jsonb, which keys travel in; expected a type of one value: make a '
                "view with it as text, or with a column for each of its parts, and use --no-fk"
            )
        if column.name in RESERVED_KEY_NAMES:
            raise CollectionError(
                f'the key column "{column.name}" of {shown} has a name that the embedding table needs for itself; '
                "make a view with another name for it and use --no-fk"
            )
    return key


def no_such_column(relation: str, column: str, columns: dict[str, str]) -> str:
    """Say that a column does not exist and which do."""
    return f'{relation} has no column "{column}"; it has: {", ".join(columns)}'
