"""A standby promoted while workers are at work, without the last that its primary had committed."""

import os
import signal
import time
from contextlib import suppress

from application import Scene
from elements import Element
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from standby import connect_soon
from workers import make_table, wait_until

from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.migrations import upgrade

LOST_SECONDS = 0.5


def reached_by_both(standby_dsn: str, primary_dsn: str) -> str:
    """Return a connection string of several hosts, which leads to the one that takes writes."""
    hosts = [conninfo_to_dict(dsn) for dsn in (standby_dsn, primary_dsn)]
    return make_conninfo(
        primary_dsn,
        host=",".join(str(each["host"]) for each in hosts),
        port=",".join(str(each.get("port", 5432)) for each in hosts),
    )


def cut_off_standby(primary: LocalServer) -> int:
    """Stop the process that sends to the standby, and return it: what is committed from now on is not replicated."""
    with connect(primary.dsn()) as connection:
        row = connection.execute("SELECT pid FROM pg_stat_replication").fetchone()
    assert row is not None, "there is no standby"
    os.kill(row[0], signal.SIGSTOP)
    return int(row[0])


def promote(primary: LocalServer, standby_dsn: str, sender: int) -> None:
    """Kill the primary as a crash of its machine would, and promote the standby."""
    pid = primary.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    # A process that is stopped does not notice that its server is gone.
    with suppress(ProcessLookupError):
        os.kill(sender, signal.SIGKILL)
    with connect_soon(standby_dsn) as standby:
        standby.execute("SELECT pg_promote()")

        def takes_writes() -> bool:
            return standby.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)

        wait_until(takes_writes, "the promotion")


class Promotion(Element):
    """The primary dies with commits that the standby never got, and the standby goes on in its place.

    Args:
        primary: Empty but for its template databases.
        standby_dsn: How its standby is reached.
    """

    def __init__(self, primary: LocalServer, standby_dsn: str, patience_seconds: float = 120.0) -> None:
        super().__init__(patience_seconds)
        self.primary, self.standby_dsn = primary, standby_dsn
        self.is_promoted = False

    def begin(self, scene: Scene) -> None:
        with connect(scene.database) as connection:
            upgrade(connection)
            make_table(connection, scene.root, scene.rows)

    def workers_at(self, scene: Scene) -> str:
        return reached_by_both(self.standby_dsn, self.primary.dsn())

    def disturb(self, scene: Scene) -> None:
        if self.is_promoted:
            return
        self.is_promoted = True
        sender = cut_off_standby(self.primary)
        self.lose(scene)
        promote(self.primary, self.standby_dsn, sender)
        scene.database = self.standby_dsn
        scene.faults["standby promoted"] += 1

    def lose(self, scene: Scene) -> None:
        """Let work be done that will be lost."""
        time.sleep(LOST_SECONDS)

    def settle(self, scene: Scene) -> None:
        self.disturb(scene)
