"""How a transaction reads a source, so that keys and references look the same to all who read it."""

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.store.collection import Collection


def read_like_triggers(connection: Connection, collection: Collection) -> None:
    """Set this transaction to see all rows, write keys as the triggers do and compare them by their types' operators.

    PostgreSQL then raises InsufficientPrivilege where a policy would hide rows, which would look deleted.
    """
    connection.execute(
        load_sql("queries/read_like_triggers.sql"), {"schemas": list(collection.key_equality_schemas)}
    )
