"""Bring what an earlier release made of a collection to what this one makes."""

from imgvec_pg.database.connect import Connection, lock_timeout, pinned_search_path
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import trigger_functions


def has_outdated_triggers(connection: Connection, collection: Collection) -> bool:
    """Whether a trigger function is another than this release makes, or missing."""
    return bool(_outdated(connection, collection))


def renew(connection: Connection, collection: Collection, *, lock_timeout_ms: int = 2000) -> bool:
    """Make the trigger functions anew where they are an earlier release's, and this role may; return whether it did.

    Raises:
        DatabaseError: A lock was not had in time; nothing was changed.
    """
    outdated = _outdated(connection, collection)
    if not outdated or not all(outdated.values()):
        return False
    with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
        connection.execute(trigger_functions(collection, "public"))
    return True


def _outdated(connection: Connection, collection: Collection) -> dict[str, bool]:
    """Return the trigger functions that are not this release's, and of each whether this role may replace it."""
    # They name nothing of the extension's.
    made = trigger_functions(collection, "public").as_string(connection)
    names = [f"{collection.name}_on_{event}" for event in ("insert", "update", "delete", "truncate")]
    wanted = dict(zip(names, made.split("$trigger$")[1::2], strict=True))
    rows = connection.execute(load_sql("queries/trigger_function_bodies.sql"), {"names": names})
    found = {str(name): (str(body), bool(may)) for name, body, may in rows}
    return {
        name: found[name][1] if name in found else True
        for name, body in wanted.items()
        if name not in found or found[name][0] != body
    }
