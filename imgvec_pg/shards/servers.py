"""Shards as foreign servers of the coordinator: added, asked by dblink, removed."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from imgvec_pg.database.connect import (
    Connection,
    create_extension,
    needing,
    one_line,
    pinned_search_path,
    require_schema,
    vector_schema,
)
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError, DatabaseError, UsageError
from imgvec_pg.shards.in_time import answering_in_time
from imgvec_pg.shards.server_options import options_clause, read_options
from imgvec_pg.store import search_functions

DEFAULT_TIMEOUT_MS = 5_000
SHARD_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")
LINK = "imgvec_shard_{}"
"""Names of the foreign server of a shard, and of the connection to it that a session keeps."""

OWNER = "it takes the owner of the schema imgvec"
LOOKS_BEFORE_SLEEP = 300
"""How often an answer is looked for before PostgreSQL sleeps between looks, which lasts a millisecond at least. A look takes
about 2 microseconds; benchmarks/results/shards.txt has what this saves."""
MOST_UNASKED = 50_000
"""Bytes of a statement sent over a kept connection without asking first whether it still answers; sockets hold some 64,000."""

SHARED_FUNCTIONS = (
    "shards_of",
    "shard_link",
    "send_to_shard",
    "await_shard",
    "may_block",
    "close_shards",
    "close_lent_shards",
    "shard_hint",
    "shard_failed",
    "require_shard_model",
    "vector_from_shards",
    "ask_shards",
)
"""Those of sql/shards/functions.sql."""


@dataclass(frozen=True)
class Shard:
    """A shard as registered. Field names are the query's columns.

    Attributes:
        address: host:port/database, of its foreign server.
        timeout_ms: How long an answer may take, in milliseconds.
        collections: Names of the collections that span it.
    """

    name: str
    timeout_ms: int
    address: str
    collections: list[str]


def require_shard_tables(connection: Connection) -> None:
    """Check that the coordinator's own tables are there.

    Raises:
        DatabaseError: They are not, or this role may not use the schema imgvec.
    """
    require_schema(connection)
    row = connection.execute("SELECT to_regclass('imgvec.sharded_collection')").fetchone()
    if row is None or row[0] is None:
        raise DatabaseError("this database's schema has no shards yet; run: imgvec migrate")


def find_shards(connection: Connection) -> list[Shard]:
    """Return all shards of a coordinator, by name."""
    with connection.cursor(row_factory=class_row(Shard)) as cursor:
        return cursor.execute(load_sql("shards/shards.sql")).fetchall()


def add_shard(
    connection: Connection,
    name: str,
    dsn: str,
    *,
    timeout_ms: int = DEFAULT_TIMEOUT_MS,
    password: str | None = None,
) -> Shard:
    """Register a shard, as whom this role logs in there, and prove that it answers; all of it or nothing.

    Args:
        name: 1 to 40 of a-z, 0-9 and _.
        dsn: libpq connection string or URL of the shard's database. User and password become the user mapping of this role.
        timeout_ms: How long an answer may take, in milliseconds, 10 to 3,600,000.
        password: The user mapping's where dsn has none.

    Raises:
        UsageError: Not a name, not a connection string, or a parameter that no foreign server takes.
        CollectionError: A shard has that name already, or is that database.
        DatabaseError: The extensions cannot be had, this role may not do it, or the shard does not answer.
    """
    _check_name(name)
    server, mapping = read_options(dsn, timeout_ms)
    if password:
        mapping = {"password": password, **mapping}
    parts = {
        "server": sql.Identifier(LINK.format(name)),
        "server_options": options_clause(server),
        "mapping_options": options_clause(mapping),
    }
    try:
        with connection.transaction():
            connection.execute(load_sql("queries/lock_schema.sql"))
            present = {shard.name for shard in find_shards(connection)}
            if name in present:
                raise CollectionError(
                    f'a shard "{name}" is there already; choose another name, or: imgvec shard remove {name}'
                )
            _ensure_extensions(connection)
            with pinned_search_path(connection):
                connection.execute(shared_functions(connection))
                connection.execute(render("shards/add_server.sql", **parts))
                connection.execute(render("shards/add_mapping.sql", **parts))
                connection.execute(
                    "INSERT INTO imgvec.shard (name, timeout_ms) VALUES (%s, %s)", [name, timeout_ms]
                )
            _refuse_known(connection, name, present)
    except psycopg.errors.FdwInvalidOptionName as error:
        raise UsageError(
            f"--at has a parameter that no foreign server takes: {one_line(error)}; leave it out, nothing was changed"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"the role {connection.info.user} may not add a shard ({one_line(error)}); it must own the schema imgvec; as a "
            "superuser run: GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO "
            + sql.Identifier(connection.info.user).as_string(None)
        ) from error
    return next(shard for shard in find_shards(connection) if shard.name == name)


def _refuse_known(connection: Connection, name: str, present: Collection[str]) -> None:
    """Refuse a shard that is the coordinator's own database, or another shard's.

    Raises:
        CollectionError: It is.
        DatabaseError: It does not answer.
    """
    described = describe_shard(connection, name, "")
    own = connection.execute(render("shards/describe.sql", collection=sql.Literal(""))).fetchone()
    if own is not None and is_same_database(json.loads(own[0]), described):
        raise CollectionError(
            "this database is the coordinator itself; expected a shard's. Nothing was changed"
        )
    for other in present:
        if is_same_database(describe_shard(connection, other, ""), described):
            raise CollectionError(
                f'this database is shard "{other}" already: its rows would be found twice; nothing was changed'
            )


def is_same_database(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two descriptions are of one database, or of one and its standby; copied servers have one identifier, two starts."""
    is_copy = one["server"] != other["server"] and not (one["is_standby"] or other["is_standby"])
    return bool(one["database"] == other["database"] and not is_copy)


def remove_shard(connection: Connection, name: str) -> None:
    """Forget a shard with its server and user mappings; its rows stay where they are.

    Raises:
        CollectionError: There is none of this name, a collection spans it, or a foreign table of the application lies on it.
    """
    with connection.transaction(), needing(connection, OWNER):
        # Nobody spans it meanwhile.
        connection.execute(load_sql("queries/lock_schema.sql"))
        found = {shard.name: shard for shard in find_shards(connection)}
        if name not in found:
            raise CollectionError(f'shard "{name}" does not exist; there are: {", ".join(found) or "none"}')
        if found[name].collections:
            first = found[name].collections[0]
            raise CollectionError(
                f"{first} spans shard {name}; leave it out first: imgvec shard span {first} --shards "
                "with the others, or drop the span: imgvec shard unspan " + first
            )
        close_shards(connection)
        try:
            connection.execute(render("shards/drop_server.sql", server_name=sql.Literal(LINK.format(name))))
        except psycopg.errors.DependentObjectsStillExist as error:
            raise CollectionError(
                f"something of the application lies on shard {name}: {' '.join((error.diag.message_detail or '').split())}; "
                "drop that first. Nothing was changed"
            ) from error
        connection.execute("DELETE FROM imgvec.shard WHERE name = %s", [name])


def shared_functions(connection: Connection) -> sql.Composed:
    """Return the statements that make, or make anew, what all search functions of a coordinator share.

    Raises:
        DatabaseError: An extension is missing.
    """
    functions = render(
        "shards/functions.sql",
        dblink=sql.Identifier(dblink_schema(connection)),
        vector=sql.Identifier(vector_schema(connection)),
        looks_before_sleep=sql.Literal(LOOKS_BEFORE_SLEEP),
        most_unasked=sql.Literal(MOST_UNASKED),
    )
    return sql.SQL("\n").join([functions, grant_functions(SHARED_FUNCTIONS)])


def grant_functions(names: Sequence[str]) -> sql.Composed:
    """Return the statement that lets imgvec's two roles call functions of these names, and nobody else."""
    return search_functions.grant_functions(sql.Literal(list(names)))


def close_shards(connection: Connection) -> None:
    """End a session's connections to shards, which it has none of where the extension was dropped."""
    if connection.execute("SELECT FROM pg_extension WHERE extname = 'dblink'").rowcount:
        connection.execute("SELECT imgvec.close_shards()")


def describe_shard(connection: Connection, name: str, collection: str) -> dict[str, Any]:
    """Return what a shard says of itself and of a collection, as sql/shards/describe.sql has it.

    Raises:
        DatabaseError: It does not answer, or has no schema imgvec that this role may read.
    """
    return dict(_ask(connection, name, render("shards/describe.sql", collection=sql.Literal(collection))))


def shard_status(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Return the rows of a shard's imgvec.status.

    Raises:
        DatabaseError: It does not answer, or this role may not read it.
    """
    return list(_ask(connection, name, load_sql("shards/state.sql")) or [])


def dblink_schema(connection: Connection) -> str:
    """Return the schema that holds the extension dblink.

    Raises:
        DatabaseError: It is missing.
    """
    row = connection.execute(
        "SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'dblink'"
    ).fetchone()
    if row is None:
        raise DatabaseError(
            "the extension dblink is missing here; run CREATE EXTENSION dblink in this database, then: imgvec migrate"
        )
    return str(row[0])


def _ask(connection: Connection, name: str, statement: sql.Composable) -> Any:  # noqa: ANN401
    call = sql.SQL("SELECT r.answer::jsonb FROM {}.dblink(%s, %s) AS r (answer text)").format(
        sql.Identifier(dblink_schema(connection))
    )
    try:
        # A transaction, so that one that is under way goes on after an error.
        with answering_in_time(connection, name):
            row = connection.execute(call, [LINK.format(name), statement.as_string(connection)]).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise DatabaseError(
            f'shard "{name}" has no imgvec tables of this release ({one_line(error)}); run imgvec migrate there'
        ) from error
    except psycopg.errors.UndefinedObject as error:
        # As in sql/shards/functions.sql.
        role = sql.Identifier(connection.info.user).as_string(None)
        raise DatabaseError(
            f'shard "{name}" gives no answer: {one_line(error)}; it is not said as whom this role asks: '
            f"CREATE USER MAPPING FOR {role} SERVER {LINK.format(name)} OPTIONS (user '…', password '…')"
        ) from error
    except psycopg.Error as error:
        detail = " ".join((error.diag.message_detail or "").split())
        raise DatabaseError(
            f'shard "{name}" gives no answer: {one_line(error)}{f" ({detail})" if detail else ""}'
        ) from error
    return None if row is None else row[0]


def _ensure_extensions(connection: Connection) -> None:
    for extension in ("dblink", "postgres_fdw"):
        try:
            create_extension(connection, extension)
        except psycopg.errors.FeatureNotSupported as error:
            raise DatabaseError(
                f"this server does not offer the extension {extension} ({one_line(error)}); install PostgreSQL's contrib package"
            ) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseError(
                f"the role {connection.info.user} may not create the extension {extension}; have a superuser run "
                f"CREATE EXTENSION {extension} in this database, then try again"
            ) from error


def _check_name(name: str) -> None:
    if not SHARD_NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" cannot name a shard; expected 1 to 40 lower-case letters, digits and underscores, not starting with a '
            "digit, such as eu"
        )


def as_json(value: object) -> str:
    """Return a value of a description as one line of text."""
    return json.dumps(value, ensure_ascii=False)
