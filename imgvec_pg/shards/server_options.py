"""Options of a shard's foreign server and user mapping, from a connection string."""

from collections.abc import Mapping

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from imgvec_pg.errors import UsageError

OF_A_MAPPING = frozenset({"user", "password", "sslcert", "sslkey", "sslpassword"})
"""libpq's parameters that say who logs in: options of a user mapping, which other roles do not see."""


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
    server["options"] = f"{own} {server['options']}" if "options" in server else own
    return {"application_name": "imgvec shard", "connect_timeout": "2", **server}, mapping


def options_clause(values: Mapping[str, str]) -> sql.Composed:
    """Return `OPTIONS (host 'eu.example', ...)`, nothing for none."""
    if not values:
        return sql.Composed([])
    listed = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(key), sql.Literal(value)) for key, value in values.items()
    )
    return sql.SQL("OPTIONS ({})").format(listed)
