"""Columns of a source as SQL that runs nothing of its owner's.

Types, casts and operators belong to whoever owns a source; triggers run as the owner of the schema imgvec, and workers with
rights of their own. What is written here uses only a type's input and output functions and its operator class, which only a
superuser can make, and never a cast: a column that has become of another type makes the statement fail while it is parsed.
"""

from psycopg import sql

from imgvec_pg.database.sql_templates import render

BUILT_IN = frozenset(
    {
        *("smallint", "integer", "bigint", "int2", "int4", "int8", "int", "numeric", "decimal"),
        *(
            "real",
            "double precision",
            "float4",
            "float8",
            "money",
            "boolean",
            "bool",
            "oid",
            "xid8",
            "pg_lsn",
        ),
        *("text", "varchar", "character varying", "character", "char", "bpchar", "name", "uuid", "bytea"),
        *("date", "timestamp", "timestamptz", "timestamp without time zone", "timestamp with time zone"),
        *("time", "timetz", "time without time zone", "time with time zone", "interval"),
        *("inet", "cidr", "macaddr", "macaddr8", "bit", "bit varying", "varbit"),
    }
)
"""Names, without modifiers, of PostgreSQL's own types of which a value goes into JSON in a form of its own."""
PRINTED_BY_SETTINGS = frozenset(
    {
        *("real", "double precision", "float4", "float8", "money", "interval", "bytea"),
        *("timestamptz", "timestamp with time zone"),
    }
)
"""Those of them whose text or JSON depends on settings of the session."""
SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
}
"""How values are printed; sql/queries/read_like_triggers.sql sets the same."""
FULL_NAMES = {
    "int": "integer",
    "int4": "integer",
    "int2": "smallint",
    "int8": "bigint",
    "serial": "integer",
    "smallserial": "smallint",
    "bigserial": "bigint",
    "float": "double precision",
    "float8": "double precision",
    "float4": "real",
    "decimal": "numeric",
    "varchar": "character varying",
    "char": "character",
    "varbit": "bit varying",
    "bool": "boolean",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
    "timetz": "time with time zone",
}
"""Names by which format_type() calls types that people and frameworks call otherwise."""
SAME_TYPE = {"e": "enum_larger", "r": "range_merge", "m": "multirange_union", "a": "array_larger"}
"""Functions of PostgreSQL's that take two arguments of exactly one type, by the kind of type."""


def bare_name(type_name: str) -> str:
    """Return a type's name without its modifier: "character varying" of "character varying(20)"."""
    start, end = type_name.find("("), type_name.find(")")
    return type_name if start < 0 else (type_name[:start].rstrip() + type_name[end + 1 :])


def full_name(type_name: str) -> str:
    """Return a type's name as format_type() has it: "character varying(20)" of "VARCHAR(20)"; one that is not known as it is."""
    bare = bare_name(type_name).lower()
    name = FULL_NAMES.get(bare, bare)
    if name not in BUILT_IN:
        return type_name
    start, end = type_name.find("("), type_name.find(")")
    modifier = "" if start < 0 else type_name[start : end + 1].replace(" ", "")
    if name in ("character", "bit"):
        return name + (modifier or "(1)")
    if name == "numeric" and modifier and "," not in modifier:
        return f"{name}{modifier[:-1]},0)"
    if name.startswith("time"):
        first, _, rest = name.partition(" ")
        return f"{first}{modifier} {rest}"
    return name + modifier


def is_built_in(type_name: str) -> bool:
    """Whether a type is one of BUILT_IN."""
    return bare_name(type_name) in BUILT_IN


def depends_on_settings(type_name: str) -> bool:
    """Whether a session's settings decide how a value is printed; of types that are not known, they may."""
    name = bare_name(type_name)
    return name not in BUILT_IN or name in PRINTED_BY_SETTINGS


def guarded(column: sql.Composable, type_name: str, kind: str = "b") -> sql.Composed:
    """Return a column that must be of a type, or the statement is refused while it is parsed.

    PostgreSQL takes the CASE away as it plans. It brings both arms to one type, which for base types crosses no category, so that
    a wider type of the same category passes (bigint for integer) and no type that a user can make does. Enums, ranges and
    arrays have such a category in common with users' own: there both must be the same type.

    Args:
        type_name: As SQL.
        kind: "b" for a base type, else a key of SAME_TYPE.
    """
    other = sql.SQL("NULL::{}").format(sql.SQL(type_name))
    if kind in SAME_TYPE:
        other = sql.SQL("pg_catalog.{}({}, {})").format(sql.SQL(SAME_TYPE[kind]), column, other)
    return sql.SQL("(CASE WHEN true THEN {} ELSE {} END)").format(column, other)


def printed(column: sql.Composable) -> sql.Composed:
    """Return any column as text, by its type's output function; NULL becomes ''."""
    return sql.SQL("pg_catalog.concat({})").format(column)


def settings_clause(type_names: list[str]) -> sql.Composable:
    """Return the SET clauses of a function that prints keys of these types: none where no setting matters."""
    if not any(map(depends_on_settings, type_names)):
        return sql.SQL("")
    return sql.SQL(" ").join(
        sql.SQL("SET {} = {}").format(sql.SQL(name), sql.Literal(value)) for name, value in SETTINGS.items()
    )


def guarded_column(row: str, column: str, type_name: str) -> sql.Composed:
    """Return a row's column as a type of PostgreSQL's own."""
    return guarded(sql.Identifier(row, column), f"pg_catalog.{type_name}")


def image_column(row: str, column: str | None, type_name: str) -> sql.Composed:
    """Return a row's path or bytes, NULL where it says ''."""
    if column is None:
        return sql.SQL("NULL::pg_catalog.{}").format(sql.SQL(type_name))
    value = guarded_column(row, column, type_name)
    return sql.SQL(
        "CASE WHEN pg_catalog.octet_length({value}) OPERATOR(pg_catalog.>) 0 THEN {value} END"
    ).format(value=value)


def runs_when_planned(relation: str) -> sql.Composed:
    """Return a condition: planning a statement over a table may run what its owner has written; see the file.

    Args:
        relation: Its oid, as SQL.
    """
    return render("collection/runs_when_planned.sql", planned=sql.SQL(relation))


def reads_as(row: str) -> sql.Composed:
    """Return the role whose rights a superuser reads a relation with, or null; see the file.

    Args:
        row: The alias of its row of pg_class.
    """
    return render("queries/reads_as.sql", row=sql.SQL(row), runs_when_planned=runs_when_planned(f"{row}.oid"))
