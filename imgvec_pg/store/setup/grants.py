"""Roles imgvec_reader and imgvec_worker and their grants."""

from imgvec_pg.database.connect import Connection, pinned_search_path, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.store.integrity.renewal import put_policies, renew
from imgvec_pg.store.registry import find_collections
from imgvec_pg.store.search_functions import grants

ROLES = ("imgvec_reader", "imgvec_worker")


def missing_roles(connection: Connection) -> list[str]:
    """Return those of the two roles that the cluster lacks."""
    found = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [list(ROLES)])
    present = {row[0] for row in found}
    return [role for role in ROLES if role not in present]


def grant_rights(connection: Connection) -> list[str]:
    """Create the roles where they are missing and may be created, and grant them what a fresh schema would.

    For a role that came later than the schema, or a restore without privileges; `imgvec migrate` ends with it. Trigger functions
    that an earlier release made are made anew. One transaction, or a part of the caller's, which waits for others that
    migrate or grant.

    Returns:
        The roles that are still missing.
    """
    with connection.transaction(), pinned_search_path(connection):
        connection.execute(load_sql("queries/lock_schema.sql"))
        schema = vector_schema(connection)
        connection.execute(render("roles.sql"))
        connection.execute(render("grants.sql"))
        for collection in find_collections(connection):
            if collection.source_name is None:
                continue
            parts = collection.parts(schema)
            renew(connection, collection)
            connection.execute(grants(parts))
            put_policies(connection, collection)
            connection.execute(render("collection/worker_policy.sql", **parts))
            if collection.has_radius_index:
                of_coordinates = {**parts, "embedding_table": parts["coordinate_table"]}
                connection.execute(render("collection/worker_policy.sql", **of_coordinates))
    return missing_roles(connection)
