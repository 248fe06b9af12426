"""A migrated database on a server of its own: to be crashed, filled up, cut off or given a standby."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from free_ports import free_port
from memory_disk import make_server_directory, shared_memory_settings
from psycopg.conninfo import make_conninfo

from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.database.migrations import upgrade

SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "40"}
PASSWORD = "of loopback alone"


@dataclass(frozen=True)
class Own:
    """The server and its database."""

    server: LocalServer
    directory: Path
    dsn: str

    def dsn_at(self, port: int) -> str:
        """Return how to reach the database over TCP at a port of this machine."""
        return make_conninfo(
            "", host="127.0.0.1", port=port, user="postgres", password=PASSWORD, dbname="shop"
        )


MakeServer = Callable[..., Own]


@contextmanager
def own_server(
    *, directory: Path | None = None, tcp: bool = False, settings: Mapping[str, str] | None = None
) -> Iterator[Own]:
    """Run one until the block ends.

    Args:
        directory: Where, instead of a new folder that is removed at the end.
        tcp: Listen on a port of loopback too.
    """
    settings = {**SETTINGS, **shared_memory_settings(), **(settings or {})}
    # A server that syncs shows what its disk takes.
    make = make_server_directory if settings["fsync"] == "off" else make_temporary_directory
    made = None if directory else make("imgvec-chaos-")
    where = directory or made
    assert where is not None
    try:
        with LocalServer(
            where,
            settings=settings,
            die_with_parent=True,
            port=free_port() if tcp else None,
        ) as server:
            with connect(server.dsn()) as connection:
                connection.execute("CREATE DATABASE shop")
                connection.execute(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
            with connect(server.dsn("shop")) as connection:
                upgrade(connection)
            yield Own(server, where, server.dsn("shop"))
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
