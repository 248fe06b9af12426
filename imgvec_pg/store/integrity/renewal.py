"""Bring what an earlier release made of a collection to what this one makes."""

from psycopg import sql

from imgvec_pg.database.connect import Connection, lock_timeout, pinned_search_path
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import policies, trigger_functions


def has_outdated_triggers(connection: Connection, collection: Collection) -> bool:
    """Whether a trigger function is another than this release makes, or missing."""
    return bool(_outdated(connection, collection))


def renew(connection: Connection, collection: Collection, *, lock_timeout_ms: int = 2000) -> bool:
    """Make the trigger functions anew where they are an earlier release's, and this role may; return whether it did.

    Over partitions an earlier release made a foreign key, which goes.

    Raises:
        DatabaseError: A lock was not had in time; nothing was changed.
    """
    outdated = _outdated(connection, collection)
    if not outdated or not all(outdated.values()):
        return False
    with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
        connection.execute(trigger_functions(collection, "public"))
        if not collection.forgets_by_key:
            connection.execute(render("collection/drop_foreign_key.sql", **collection.parts("public")))
    return True


def put_policies(connection: Connection, collection: Collection, *, lock_timeout_ms: int = 2000) -> bool:
    """Give the embedding table the policies that it lacks, where this role may; return whether it did.

    What follows a source that no longer hides rows is left as it is: it is right, and somewhat slower.

    Raises:
        DatabaseError: A lock was not had in time; nothing was changed.
    """
    row = connection.execute(
        load_sql("queries/policy_state.sql"),
        {"table": collection.embedding_table, "collection_id": collection.id},
    ).fetchone()
    if row is None:
        return False
    follows, has_any, hides_rows, may = row
    if not may or follows or (has_any and not hides_rows):
        return False
    with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
        connection.execute(policies(collection, "public", hides_rows=hides_rows))
    return True


def lacks_foreign_key(connection: Connection, collection: Collection) -> bool:
    """Whether the foreign key to the source is gone, or does not hold for all."""
    found = _find_foreign_key(connection, collection)
    return found is not None and found[0] is not None


def put_back_foreign_key(
    connection: Connection, collection: Collection, *, lock_timeout_ms: int = 2000
) -> None:
    """Make the foreign key to the source again where it is gone and this role may, not yet valid for what is there.

    Raises:
        DatabaseError: A lock was not had in time; nothing was changed.
    """
    # PostgreSQL before 18 takes no NOT VALID from a partitioned table: validate_foreign_key() makes it.
    if (
        not (collection.partitions or collection.partition_by)
        and _foreign_key_state(connection, collection) == "missing"
    ):
        _make_foreign_key(connection, collection, " NOT VALID", lock_timeout_ms)


def validate_foreign_key(
    connection: Connection, collection: Collection, *, lock_timeout_ms: int = 2000
) -> None:
    """Have PostgreSQL check the foreign key for what is there, once the embeddings of vanished rows are deleted.

    Raises:
        DatabaseError: A lock was not had in time; nothing was changed.
    """
    state = _foreign_key_state(connection, collection)
    if state == "not valid":
        with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
            connection.execute(render("collection/validate_foreign_key.sql", **collection.parts("public")))
    elif state == "missing":
        _make_foreign_key(connection, collection, "", lock_timeout_ms)


def _make_foreign_key(
    connection: Connection, collection: Collection, validity: str, lock_timeout_ms: int
) -> None:
    with lock_timeout(connection, lock_timeout_ms), pinned_search_path(connection):
        connection.execute(
            render("collection/foreign_key.sql", **collection.parts("public"), validity=sql.SQL(validity))
        )


def _foreign_key_state(connection: Connection, collection: Collection) -> str | None:
    """Return "missing" or "not valid", None where all is well or this role may not mend it."""
    found = _find_foreign_key(connection, collection)
    return found[0] if found is not None and found[1] else None


def _find_foreign_key(connection: Connection, collection: Collection) -> tuple[str | None, bool] | None:
    """Return what is wrong with the foreign key, and whether this role may mend it; None where there is to be none."""
    if not collection.forgets_by_key:
        return None
    row = connection.execute(
        load_sql("queries/foreign_key_state.sql"),
        {"collection_id": collection.id, "embedding_table": collection.embedding_table},
    ).fetchone()
    return None if row is None else (row[0], bool(row[1]))


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
