"""Keys that two shards of a collection have, whose rows a search finds twice."""

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.shards.own_links import open_links
from imgvec_pg.shards.servers import dblink_schema
from imgvec_pg.shards.span_function import sharded_key

EXAMPLES = 5


@dataclass(frozen=True)
class KeysOfShards:
    """What the shards of a collection have embedded, as this role sees it there.

    Attributes:
        embedded: Rows of all shards.
        repeated: Keys that more than one shard has.
        examples: Some of them, each with the names of its shards.
    """

    name: str
    shards: list[str]
    embedded: int
    repeated: int
    examples: list[tuple[dict[str, Any], list[str]]]


def find_repeated_keys(connection: Connection, name: str) -> KeysOfShards:
    """Read the keys of all shards, each once, and compare them here: on the coordinator's disk where they are many.

    Raises:
        DatabaseError: A shard does not answer, or this role may not read there.
    """
    spans = {row[0]: row for row in connection.execute(load_sql("shards/spans.sql")).fetchall()}
    _, columns, types, _, _, shards, *_ = spans[name]
    key = sharded_key(columns, types)
    dblink = sql.Identifier(dblink_schema(connection))
    query = sql.SQL("SELECT {} FROM imgvec.{}").format(
        key.parts()["keys"], sql.Identifier(f"{name}_embedding")
    )
    # The servers' time is that of searches, too short for all keys.
    with open_links(connection, shards, "verify", {"statement_timeout": "0"}) as links:
        each = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {} AS imgvec_shard, r.* FROM {}.dblink({}, {}) AS r ({})").format(
                sql.Literal(shard),
                dblink,
                sql.Literal(link),
                sql.Literal(query.as_string(connection)),
                key.parts()["key_definitions"],
            )
            for shard, link in links.items()
        )
        row = connection.execute(
            render(
                "shards/repeated_keys.sql",
                of_each=each,
                keys=key.parts()["keys"],
                key_object=key.json("u"),
                examples=sql.Literal(EXAMPLES),
            )
        ).fetchone()
    assert row is not None  # noqa: S101 - aggregates give one row
    examples = [(example["key"], example["shards"]) for example in row[2] or []]
    return KeysOfShards(name, list(shards), row[0], row[1], examples)
