"""A source whose owner's function tells as whom it ran."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from photostore import as_role, new_role

from imgvec_pg.database.connect import Connection


@contextmanager
def owned_source(connection: Connection, *statements: str) -> Iterator[tuple[str, list[str]]]:
    """Give a new role a schema m with m.tell(text), which raises "ran as ROLE", run these as it, and yield it and all notices."""
    said: list[str] = []

    def note(message: psycopg.errors.Diagnostic) -> None:
        said.append(message.message_primary or "")

    with new_role(connection) as owner:
        connection.execute(f"CREATE SCHEMA m AUTHORIZATION {owner}".encode())
        connection.add_notice_handler(note)
        with as_role(connection, owner):
            connection.execute(
                "CREATE FUNCTION m.tell(what text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS"
                " $$ BEGIN RAISE NOTICE 'ran as %', current_user; RETURN what; END $$"
            )
            for statement in statements:
                connection.execute(statement.encode())
        yield owner, said
        connection.remove_notice_handler(note)
        connection.execute("DROP SCHEMA m CASCADE")
