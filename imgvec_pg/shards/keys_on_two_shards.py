"""Keys that two shards of a collection have, whose rows a search finds twice."""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import DatabaseError
from imgvec_pg.shards.servers import LINK, dblink_schema
from imgvec_pg.shards.span_function import sharded_key

EXAMPLES = 5
LINK_TO_VERIFY = "imgvec_verify_{}"


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
    opened: list[str] = []
    try:
        for shard in shards:
            link = LINK_TO_VERIFY.format(shard)
            connection.execute(
                sql.SQL("SELECT {}.dblink_connect(%s, %s)").format(dblink), [link, LINK.format(shard)]
            )
            opened.append(link)
            # That of searches is too short for all keys.
            connection.execute(
                sql.SQL("SELECT {}.dblink_exec(%s, 'SET statement_timeout = 0')").format(dblink), [link]
            )
        each = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {} AS imgvec_shard, r.* FROM {}.dblink({}, {}) AS r ({})").format(
                sql.Literal(shard),
                dblink,
                sql.Literal(LINK_TO_VERIFY.format(shard)),
                sql.Literal(query.as_string(connection)),
                key.parts()["key_definitions"],
            )
            for shard in shards
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
    except psycopg.Error as error:
        away = next((shard for shard in shards if LINK_TO_VERIFY.format(shard) not in opened), None)
        place = f'shard "{away}"' if away is not None else "a shard"
        raise DatabaseError(f"{place} gives no answer: {one_line(error)}; see: imgvec shard list") from error
    finally:
        if (
            not connection.closed
            and connection.info.transaction_status != psycopg.pq.TransactionStatus.INERROR
        ):
            for link in opened:
                connection.execute(sql.SQL("SELECT {}.dblink_disconnect(%s)").format(dblink), [link])
    assert row is not None  # noqa: S101 - aggregates give one row
    examples = [(example["key"], example["shards"]) for example in row[2] or []]
    return KeysOfShards(name, list(shards), row[0], row[1], examples)
