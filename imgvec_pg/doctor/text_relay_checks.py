"""Check of text queries in plain SQL: sends one request through the relay to a worker, over the relay's own session."""

from collections.abc import Iterator

import psycopg

from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.errors import DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.setup.text_relay import prove_relay


def check_relay(connection: Connection) -> Iterator[Finding]:
    """Check that queries can ask workers at all."""
    row = connection.execute(load_sql("queries/has_relay.sql")).fetchone()
    if row is None or not row[0]:
        yield Finding(
            "info",
            "database",
            "plain SQL finds words only once they are cached: no relay to the workers is set up",
            "imgvec words setup; without dblink: CALL imgvec.prepare_text(collection, words)",
        )
        return
    try:
        prove_relay(connection)
    except DatabaseError as error:
        yield Finding("error", "database", str(error), "imgvec words setup")
    else:
        yield Finding("ok", "database", "the relay for words reaches the primary")


def check_words(connection: Connection, collection: Collection) -> Iterator[Finding]:
    """Check that a worker answers for a collection's model, where there is a relay to ask it by."""
    row = connection.execute(load_sql("queries/has_relay.sql")).fetchone()
    if row is None or not row[0]:
        return
    name = collection.name
    try:
        with connection.transaction():
            connection.execute("SELECT imgvec.ask_worker(%s, NULL, NULL)", [collection.model_id])
    except psycopg.errors.InsufficientPrivilege:
        raise
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        yield Finding("info", name, f"words that are not cached: {one_line(error)}", f"imgvec worker {name}")
    except psycopg.Error as error:
        yield Finding(
            "warning", name, f"words that are not cached: {one_line(error)}", error.diag.message_hint
        )
    else:
        yield Finding("ok", name, "a worker answers queries that bring new words")
