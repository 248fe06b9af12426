"""near_* of a coordinator: the embedding tables of all shards as children of one table, which other tables are joined with."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.function_names import SEARCH_FUNCTIONS
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.shards.server_options import with_near_settings
from imgvec_pg.shards.servers import LINK, describe_shard, grant_functions
from imgvec_pg.store.key_sql import KeySql
from imgvec_pg.store.search_functions import ranking_parts

NEAR_FUNCTIONS = ("near", "near_row", "near_text")
FETCH_SIZE = 20
"""Rows that postgres_fdw takes from a shard at once. Vectors travel as text: 40 of 256 dimensions from each of three shards took
3.8 ms of the coordinator's processor time, where most joins end after a few."""

MOST_OF_A_CURSOR = 0.01
"""Of a cursor's rows that a shard may plan for: PostgreSQL's own 0.1 is a tenth of all rows."""

ITERATIVE = ("strict_order", "relaxed_order")


def why_no_near(
    vector: str, described: Mapping[str, dict[str, Any]], passed_settings: Sequence[str]
) -> str | None:
    """Return why no near_* can be made over shards, None where they can.

    Args:
        vector: The schema that holds the extension here.
        described: What each shard says of itself.
        passed_settings: Settings that searches pass on, which postgres_fdw cannot.
    """
    if passed_settings:
        return f"foreign tables cannot pass {', '.join(passed_settings)} on to the shards' policies"
    for name, told in described.items():
        if told["vector_schema"] != vector:
            return (
                f"the extension vector lies in schema {told['vector_schema']} on shard {name} and in {vector} here; run there: "
                f"ALTER EXTENSION vector SET SCHEMA {vector}, imgvec migrate, and imgvec shard span here"
            )
        if told["collection"] is not None and told["collection"]["by_picture"]:
            return f"the index of shard {name} is over different pictures, not over its rows"
    return None


def create_near(
    connection: Connection, name: str, shards: Sequence[str], key: KeySql, dimensions: int
) -> None:
    """Make near_* of a collection with their tables, and set what they need of the shards' servers."""
    parts = _parts(connection, name, key)
    table = f"{name}_embedding"
    comment = f"Embeddings of {name} on the shards {', '.join(shards)}; their keys and vectors alone"
    connection.execute(
        render(
            "shards/near_tables.sql",
            **parts,
            dimensions=sql.Literal(dimensions),
            comment=sql.Literal(comment),
        )
    )
    for place, shard in enumerate(shards, 1):
        connection.execute(
            render(
                "shards/near_child.sql",
                **parts,
                child=sql.Identifier(f"{table}_{place}"),
                server=sql.Identifier(LINK.format(shard)),
                remote_table=sql.Literal(table),
                fetch_size=sql.Literal(str(FETCH_SIZE)),
            )
        )
    for function in NEAR_FUNCTIONS:
        connection.execute(render(f"collection/{function}.sql", **parts))
    connection.execute(
        grant_functions([SEARCH_FUNCTIONS[function].format(name) for function in NEAR_FUNCTIONS])
    )
    _set_server_options(connection, name)


def drop_near(connection: Connection, name: str) -> None:
    """Drop near_* of a collection with their tables, where there are any."""
    names = [SEARCH_FUNCTIONS[function].format(name) for function in NEAR_FUNCTIONS]
    connection.execute(
        render(
            "shards/drop_near.sql",
            drop_functions=render("collection/drop_functions.sql", function_names=sql.Literal(names)),
            embedding_table=sql.Identifier(f"{name}_embedding"),
        )
    )


def find_near_faults(connection: Connection, name: str) -> Iterator[str]:
    """Give what is wrong with near_* of a collection that spans shards, a line each; nothing where they are not made."""
    present = connection.execute(
        "SELECT to_regclass(format('imgvec.%%I', %s::text))", [f"{name}_embedding"]
    ).fetchone()
    if present is None or present[0] is None:
        return
    vector = vector_schema(connection)
    for shard, of_server, of_table, table in _servers(connection, name):
        server = LINK.format(shard)
        if "vector" not in [part.strip() for part in of_server.get("extensions", "").split(",")]:
            yield (
                f"near_{name} reads all rows of shard {shard}, as its server does not say that the extension vector is there: "
                f"ALTER SERVER {server} OPTIONS (ADD extensions 'vector')"
            )
        for place, options in ((f"SERVER {server}", of_server), (f"FOREIGN TABLE {table}", of_table)):
            if options.get("use_remote_estimate", "false").lower() in ("true", "on", "yes", "1"):
                yield (
                    f"near_{name} may read all rows of shard {shard}, which looks cheaper as use_remote_estimate is on: "
                    f"ALTER {place} OPTIONS (DROP use_remote_estimate)"
                )
        told = describe_shard(connection, shard, name)
        if told["vector_schema"] != vector:
            yield f"near_{name} fails: {why_no_near(vector, {shard: told}, ())}"
        fraction = told["settings"]["cursor_tuple_fraction"]
        if float(fraction) > MOST_OF_A_CURSOR:
            yield (
                f"near_{name} may sort all rows of shard {shard} in place of reading its index, as cursor_tuple_fraction is "
                f"{fraction} in sessions there: correct the options of server {server}, or drop them and run again: "
                f"imgvec shard span {name}"
            )
        iterative = told["settings"]["hnsw.iterative_scan"]
        if iterative not in ITERATIVE:
            yield (
                f"near_{name} is short for a LIMIT above hnsw.ef_search and under conditions, as hnsw.iterative_scan is "
                f"{iterative or 'off'} in sessions on shard {shard}: correct the options of server {server}, or drop them and "
                f"run again: imgvec shard span {name}"
            )


def _servers(connection: Connection, name: str) -> list[tuple[str, dict[str, str], dict[str, str], str]]:
    """Return each shard of a collection, options of its server and of its foreign table, and that table's name."""
    return connection.execute(load_sql("shards/near_servers.sql").format(), {"name": name}).fetchall()


def _set_server_options(connection: Connection, name: str) -> None:
    """Add what is missing to the options of the servers; what somebody chose stays."""
    for shard, present, *_ in _servers(connection, name):
        changes = []
        if "extensions" not in present:
            changes.append(sql.SQL("ADD extensions 'vector'"))
        options = with_near_settings(present.get("options", ""))
        if options != present.get("options"):
            verb = "SET" if "options" in present else "ADD"
            changes.append(sql.SQL("{} options {}").format(sql.SQL(verb), sql.Literal(options)))  # type: ignore[arg-type]
        if changes:
            connection.execute(
                sql.SQL("ALTER SERVER {} OPTIONS ({})").format(
                    sql.Identifier(LINK.format(shard)), sql.SQL(", ").join(changes)
                )
            )


def _parts(connection: Connection, name: str, key: KeySql) -> dict[str, sql.Composable]:
    vector = vector_schema(connection)
    table = f"{name}_embedding"
    return {
        **key.parts(),
        **ranking_parts(table, "", key.names, vector, by_picture=False),
        **{part: sql.Identifier(SEARCH_FUNCTIONS[part].format(name)) for part in NEAR_FUNCTIONS},
        "create": sql.SQL("CREATE FUNCTION"),
        "vector": sql.Identifier(vector),
        "embedding_table": sql.Identifier(table),
        "collection_name": sql.Literal(name),
    }
