"""Options of a shard's foreign server and user mapping, from a connection string."""

from collections.abc import Mapping

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from imgvec_pg.database.index_methods.hnsw import DATABASE_DEFAULTS
from imgvec_pg.errors import UsageError

OF_A_MAPPING = frozenset({"user", "password", "sslcert", "sslkey", "sslpassword"})
"""libpq's parameters that say who logs in: options of a user mapping, which other roles do not see."""

NEAR_SETTINGS = {
    "hnsw.iterative_scan": "strict_order",
    "hnsw.max_scan_tuples": DATABASE_DEFAULTS["hnsw.max_scan_tuples"],
    "hnsw.scan_mem_multiplier": DATABASE_DEFAULTS["hnsw.scan_mem_multiplier"],
    "cursor_tuple_fraction": "0.0001",
}
"""What sessions on a shard need for near_*, whose rows postgres_fdw takes from a cursor without a LIMIT: a plan for the first of
them, by the index, which goes on where more than hnsw.ef_search are wanted. SET on the coordinator does nothing there."""


def read_options(dsn: str, timeout_ms: int) -> tuple[dict[str, str], dict[str, str]]:
    """Return the options of a foreign server and those of a user mapping.

    Raises:
        UsageError: Not a connection string.
    """
    try:
        given = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    except psycopg.ProgrammingError as error:
        raise UsageError(
            "--at is no connection string; expected host=… dbname=… user=… or postgresql://user@host/database"
        ) from error
    if "dbname" not in given:
        raise UsageError(
            "--at names no database; expected host=… dbname=… user=… or postgresql://user@host/database"
        )
    for parameter in ("service", "servicefile", "passfile"):
        if parameter in given:
            raise UsageError(
                f"--at names a {parameter}, which the database server would look for among its own files; expected host=, "
                "dbname=, user= and password= themselves"
            )
    mapping = {key: value for key, value in given.items() if key in OF_A_MAPPING}
    server = {key: value for key, value in given.items() if key not in OF_A_MAPPING}
    own = (
        f"-c search_path=pg_catalog -c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1"
        f" -c bytea_output=hex -c statement_timeout={2 * timeout_ms}"
    )
    server["options"] = with_near_settings(f"{own} {server['options']}" if "options" in server else own)
    # What postgres_fdw may leave to a shard: the order of distances.
    server = {"extensions": "vector", **server}
    # From PostgreSQL 16 on dblink and postgres_fdw heed no connect_timeout. The kernel's limit holds for connecting to a machine
    # that does not answer, and for what is sent to it: where a firewall has forgotten a kept connection, another is opened.
    limits = {"connect_timeout": "2", "tcp_user_timeout": str(max(timeout_ms // 2, 1_000))}
    return {"application_name": "imgvec shard", **limits, **server}, mapping


def with_near_settings(options: str) -> str:
    """Return a server's startup options with those of NEAR_SETTINGS that they do not name."""
    missing = [f"-c {name}={value}" for name, value in NEAR_SETTINGS.items() if f"-c {name}=" not in options]
    return " ".join([options, *missing]).strip()


def options_clause(values: Mapping[str, str]) -> sql.Composed:
    """Return `OPTIONS (host 'eu.example', ...)`, nothing for none."""
    if not values:
        return sql.Composed([])
    listed = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(key), sql.Literal(value)) for key, value in values.items()
    )
    return sql.SQL("OPTIONS ({})").format(listed)
