"""Connections from a coordinator to shards for a command of ours, beside those that searches keep."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.errors import DatabaseError
from imgvec_pg.shards.in_time import answering_in_time
from imgvec_pg.shards.servers import LINK, dblink_schema


@contextmanager
def open_links(
    connection: Connection, shards: Sequence[str], purpose: str, settings: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    """Open a connection to each shard, as whom this role's user mapping says; give its name by the shard's.

    Args:
        purpose: A part of the names, of a-z.
        settings: Set there; those of the foreign server are for searches.

    Raises:
        DatabaseError: A shard does not answer, then and within the block.
    """
    dblink = sql.Identifier(dblink_schema(connection))
    opened: dict[str, str] = {}
    try:
        for shard in shards:
            link = f"imgvec_{purpose}_{shard}"
            with answering_in_time(connection, shard):
                connection.execute(
                    sql.SQL("SELECT {}.dblink_connect(%s, %s)").format(dblink), [link, LINK.format(shard)]
                )
            opened[shard] = link
            set_on_link(connection, link, settings)
        yield opened
    except psycopg.Error as error:
        away = next((shard for shard in shards if shard not in opened), None)
        place = f'shard "{away}"' if away is not None else "a shard"
        raise DatabaseError(f"{place} gives no answer: {one_line(error)}; see: imgvec shard list") from error
    finally:
        if (
            not connection.closed
            and connection.info.transaction_status != psycopg.pq.TransactionStatus.INERROR
        ):
            for link in opened.values():
                connection.execute(sql.SQL("SELECT {}.dblink_disconnect(%s)").format(dblink), [link])


def set_on_link(connection: Connection, link: str, settings: Mapping[str, str]) -> None:
    """Set settings of the session on a shard."""
    if settings:
        call = sql.SQL("SELECT {}.dblink_exec(%s, %s)").format(sql.Identifier(dblink_schema(connection)))
        statement = sql.SQL("; ").join(
            sql.SQL("SET {} = {}").format(sql.Identifier(*name.split(".")), sql.Literal(value))
            for name, value in settings.items()
        )
        connection.execute(call, [link, statement.as_string(connection)])
