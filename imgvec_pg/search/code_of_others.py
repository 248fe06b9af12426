"""A superuser who searches runs nothing that others have written: neither by a condition nor by casts of the columns shown."""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.guarded_columns import printed, runs_when_planned
from imgvec_pg.store.source import resolve_relation


def refuse_code_of_others(connection: Connection, collection: Collection, where: str | None) -> None:
    """Refuse a superuser's condition that calls what somebody who is no superuser has made, before PostgreSQL plans it.

    Not only what it names: an operator or a cast of a column's type, the check of a domain.

    Raises:
        UsageError: It does, or nothing can be looked through here, on a standby.
        psycopg.Error: PostgreSQL does not understand the condition.
    """
    if where is None:
        return
    row = connection.execute(load_sql("queries/has_code_of_others.sql")).fetchone()
    if row is None or not row[0]:
        return
    role = connection.info.user
    view = render("queries/condition_view.sql", source=collection.source, condition=sql.SQL(where))
    try:
        # In binary form, so that it can be one statement only.
        with connection.transaction(force_rollback=True), connection.cursor(binary=True) as cursor:
            cursor.execute(view)
            relation = sql.Literal(collection.source.as_string(connection))
            looking = render(
                "queries/code_of_others.sql", relation=relation, runs_when_planned=runs_when_planned("c.oid")
            )
            found = cursor.execute(looking).fetchone()
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise UsageError(
            f"a superuser's condition is looked through before it runs, which this server, or session, is too read-only for; ask "
            f"as another role than {role}"
        ) from error
    if found is not None:
        raise UsageError(
            f"the condition {where!r} calls {found[0]} of the role {found[1]}, which would run with the rights of the superuser "
            f"{role}; ask as another role"
        )


def json_columns(connection: Connection, collection: Collection, names: Sequence[str]) -> list[sql.Composed]:
    """Return columns of the source as JSON; those whose type belongs to somebody else as its output function prints them."""
    oid = resolve_relation(connection, collection.source.as_string(connection))
    rows = connection.execute(load_sql("queries/types_of_others.sql"), {"oid": oid}) if names else ()
    others = {str(row[0]) for row in rows}
    return [_as_json(sql.Identifier("s", name), is_printed=name in others) for name in names]


def _as_json(column: sql.Identifier, *, is_printed: bool) -> sql.Composed:
    if not is_printed:
        return sql.SQL("pg_catalog.to_jsonb({})").format(column)
    return sql.SQL(
        "CASE WHEN pg_catalog.num_nulls({}) OPERATOR(pg_catalog.=) 0 THEN pg_catalog.to_jsonb({}) END"
    ).format(column, printed(column))
