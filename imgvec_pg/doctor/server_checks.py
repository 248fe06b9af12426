"""Checks of the server and the database."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from imgvec_pg.database.connect import MINIMUM_PGVECTOR, Connection, version_tuple
from imgvec_pg.database.migrations import current_revision, known_revisions, newest_revision
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.errors import DatabaseError
from imgvec_pg.shards.near_tables import find_near_faults
from imgvec_pg.shards.stale_spans import find_span_faults, find_stale_spans
from imgvec_pg.store.setup.stale_functions import find_stale_functions

TESTED_SERVERS = (16, 18)
# pgvector's changelog: vacuum of an HNSW index could corrupt it before 0.8.4.
RECOMMENDED_PGVECTOR = (0, 8, 4)


@dataclass(frozen=True)
class ServerFacts:
    """What sql/queries/doctor_server.sql returns; sizes in bytes."""

    server_version: str
    server_version_num: int
    database_name: str
    role_name: str
    pgvector: str | None
    pgvector_offered: str | None
    iterative_scan: str
    cursor_tuple_fraction: float
    replication_role: str
    is_standby: bool
    is_read_only: bool
    shared_buffers: int
    maintenance_work_mem: int
    has_schema: bool
    may_use_schema: bool


def read_server_facts(connection: Connection) -> ServerFacts:
    """Ask the server what the checks need."""
    row = connection.execute(
        "SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'vector'"
    ).fetchone()
    if row is not None:
        # hnsw.* settings are unknown until the library is loaded, which an old or broken one cannot be.
        with suppress(psycopg.Error):
            connection.execute(sql.SQL("SELECT '[1]'::{}.vector").format(sql.Identifier(row[0])))
    with connection.cursor(row_factory=class_row(ServerFacts)) as cursor:
        found = cursor.execute(load_sql("queries/doctor_server.sql")).fetchone()
    assert found is not None  # noqa: S101 - a SELECT without FROM gives one row
    return found


def check_server(facts: ServerFacts) -> Iterator[Finding]:
    """Check the server's version and what it offers."""
    major = facts.server_version_num // 10_000
    met = f"PostgreSQL {facts.server_version}"
    low, high = TESTED_SERVERS
    if major in TESTED_SERVERS:
        yield Finding("ok", "server", met)
    elif major < low:
        yield Finding(
            "warning",
            "server",
            f"{met} is older than any tested ({low} and {high} are)",
            f"upgrade to {low} or newer",
        )
    else:
        yield Finding("info", "server", f"{met} is not tested; {low} and {high} are")
    if facts.is_standby:
        yield Finding(
            "info",
            "server",
            "it is a standby: it answers searches, and workers and all that changes something need the primary",
        )
    elif facts.is_read_only:
        yield Finding(
            "error",
            "database",
            "default_transaction_read_only is on in new sessions: workers wait, and nothing can be changed",
            f"ALTER DATABASE {quoted(facts.database_name)} RESET default_transaction_read_only; or the same with "
            f"ALTER ROLE {quoted(facts.role_name)}. A provider may have set it since the disk is full",
        )
    if facts.replication_role == "replica":
        yield Finding(
            "error",
            "database",
            "session_replication_role is replica in new sessions: no trigger fires, changes are not seen",
            f"ALTER DATABASE {quoted(facts.database_name)} RESET session_replication_role; or the same with "
            f"ALTER ROLE {quoted(facts.role_name)}",
        )


def check_pgvector(facts: ServerFacts) -> Iterator[Finding]:
    """Check pgvector's version and its scan setting."""
    if facts.pgvector is None:
        offered = facts.pgvector_offered
        yield Finding(
            "error",
            "database",
            "the extension vector (pgvector) is not installed"
            + ("" if offered else ", and the server does not offer it"),
            "imgvec migrate"
            if offered
            else "install pgvector 0.8.4 or newer on the server, then: imgvec migrate",
        )
        return
    met = f"pgvector {facts.pgvector}"
    version = version_tuple(facts.pgvector)
    is_offered = facts.pgvector_offered is not None and version_tuple(facts.pgvector_offered) > version
    install = "" if is_offered else "install pgvector 0.8.4 or newer on the server, then: "
    update = f"{install}ALTER EXTENSION vector UPDATE"
    if version < MINIMUM_PGVECTOR:
        yield Finding("error", "database", f"{met} is too old: 0.8.2 is needed (CVE-2026-3172)", update)
    elif version < RECOMMENDED_PGVECTOR:
        reindex = "; afterwards REINDEX the HNSW indexes"
        yield Finding(
            "warning", "database", f"{met}: before 0.8.4 a VACUUM may damage an HNSW index", update + reindex
        )
    elif is_offered:
        yield Finding("ok", "database", f"{met}; the server offers {facts.pgvector_offered}", update)
    else:
        yield Finding("ok", "database", met)
    if facts.iterative_scan == "off":
        yield Finding(
            "warning",
            "database",
            "hnsw.iterative_scan is off: near_* by an index give hnsw.ef_search rows at most, and fewer under a WHERE",
            "imgvec migrate --database-defaults (search_* and imgvec search set it themselves)",
        )
    else:
        yield Finding("ok", "database", f"hnsw.iterative_scan is {facts.iterative_scan}")
    if facts.cursor_tuple_fraction < 1:
        yield Finding(
            "info",
            "database",
            f"cursor_tuple_fraction is {facts.cursor_tuple_fraction:g}: a cursor over near_* may end after hnsw.ef_search rows",
            "imgvec migrate, as the database's owner; or ORDER BY distance + 0 in that cursor",
        )


def check_schema(connection: Connection, facts: ServerFacts) -> Iterator[Finding]:
    """Check that imgvec's own schema is there, readable and at this release's revision."""
    if not facts.has_schema:
        yield Finding("error", "database", "has no schema imgvec", "imgvec migrate")
        return
    if not facts.may_use_schema:
        yield Finding(
            "error",
            "database",
            f"the role {facts.role_name} may not use the schema imgvec",
            f"GRANT imgvec_reader TO {quoted(facts.role_name)} to search, imgvec_worker to fill",
        )
        return
    revision, newest = current_revision(connection), newest_revision()
    if revision == newest:
        yield Finding("ok", "database", f"schema imgvec is at revision {revision}, the newest")
    elif revision is None or revision in known_revisions():
        yield Finding(
            "error", "database", f"schema imgvec is at revision {revision}, not at {newest}", "imgvec migrate"
        )
    else:
        yield Finding(
            "error",
            "database",
            f"schema imgvec is at revision {revision}, which this release does not know (newest {newest})",
            "pip install --upgrade imgvec-pg",
        )


def check_functions(connection: Connection) -> Iterator[Finding]:
    """Check that the functions are this release's, and name the schema that the extension vector is in."""
    try:
        stale = find_stale_functions(connection)
    except DatabaseError:
        # No pgvector, or too old a one: check_pgvector has said so.
        return
    if not stale.names:
        return
    some = ", ".join(stale.names[:3]) + (", …" if len(stale.names) > 3 else "")
    if stale.named_schemas:
        yield Finding(
            "error",
            "database",
            f"the extension vector was moved from schema {', '.join(stale.named_schemas)} to {stale.vector_schema}: "
            f"{len(stale.names)} functions fail ({some})",
            "imgvec migrate",
        )
    else:
        yield Finding(
            "error",
            "database",
            f"{len(stale.names)} functions are not as this release makes them ({some})",
            "imgvec migrate",
        )


def check_spans(connection: Connection) -> Iterator[Finding]:
    """Check that the search over shards is this release's, and that its extension is there."""
    try:
        stale = find_stale_spans(connection)
    except DatabaseError as error:
        yield Finding("error", "shards", str(error))
        return
    if stale:
        yield Finding(
            "error",
            "shards",
            f"{len(stale)} functions of the search over shards are not as this release makes them "
            f"({', '.join(stale[:3])}{', …' if len(stale) > 3 else ''})",
            "imgvec migrate",
        )
        return
    for name, fault in find_span_faults(connection):
        if fault is None:
            yield Finding("ok", "shards", f"the shards of {name} answer and describe it alike")
            for told in find_near_faults(connection, name):
                line, _, cure = told.rpartition(": ")
                yield Finding("warning", "shards", line, cure)
        else:
            yield Finding(
                "error",
                "shards",
                f"{name}: {fault}",
                f"imgvec shard list; after a change: imgvec shard span {name} --shards …",
            )


def check_roles(connection: Connection) -> Iterator[Finding]:
    """Check that imgvec_reader and imgvec_worker exist and have their rights."""
    whole = True
    for name, is_there, has_rights in connection.execute(load_sql("queries/doctor_roles.sql")):
        if not is_there:
            whole = False
            yield Finding(
                "warning",
                "database",
                f"the role {name} does not exist, so nobody can be given its rights",
                f"CREATE ROLE {name} NOLOGIN (needs CREATEROLE), then: imgvec migrate",
            )
        elif not has_rights:
            whole = False
            yield Finding("warning", "database", f"the role {name} lacks its rights", "imgvec migrate")
    if whole:
        yield Finding("ok", "database", "the roles imgvec_reader and imgvec_worker have their rights")


def quoted(name: str) -> str:
    """Return a name as SQL wants it."""
    return sql.Identifier(name).as_string(None)
