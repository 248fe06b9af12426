"""What happens to other people's databases meanwhile: each element of a storm, and what it must leave behind.

An element makes the table, disturbs it while workers and an application are at it, and puts right at the end what the
documentation tells people to put right. `check` then finds what is missing, stale, wrong or double.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import LiteralString

import psycopg
from application import Scene
from odd_settings import ODD, set_odd
from pgbouncer import left_in_sessions
from psycopg import sql
from psycopg.conninfo import make_conninfo
from workers import NAME, count, imgvec, make_table, put_file, queued_keys, random_picture, wait_until

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.registry import get_collection

AT_ONCE = Path(__file__).parents[1] / "support" / "at_once.py"
NARROW = "CREATE TABLE photo (id integer PRIMARY KEY, path text, content bytea, price numeric DEFAULT 0)"
OF_MANY_COLUMNS = """
CREATE TABLE photo (id bigint UNIQUE, weight double precision DEFAULT random(), taken timestamptz DEFAULT clock_timestamp(),
    path text, content bytea, price numeric DEFAULT 0, PRIMARY KEY (id, weight, taken))
"""
ORPHANS = "imgvec.photo_grid_embedding AS e WHERE NOT EXISTS (SELECT FROM photo AS p WHERE p.id = e.id)"


class Element:
    """Nothing but the table: what the others add to.

    Attributes:
        refusals: Errors that the application meets by its own doing, by their class.
        disturbances: How often a squall disturbs.
        patience_seconds: How long what workers do by themselves may take.
    """

    refusals: frozenset[str] = frozenset()
    disturbances = 6

    def __init__(self, patience_seconds: float = 120.0) -> None:
        self.patience_seconds = patience_seconds

    def begin(self, scene: Scene) -> None:
        """Make table and collection."""
        with connect(scene.database) as connection:
            make_table(connection, scene.root, scene.rows)

    def workers_at(self, scene: Scene) -> str:
        """Return where the workers connect to."""
        return scene.database

    def disturb(self, scene: Scene) -> None:
        """Do one thing to the database; it is counted in the scene's faults."""

    def settle(self, scene: Scene) -> None:
        """Do what people are told to do in the end; workers still run."""

    def left_behind(self, scene: Scene) -> dict[str, str]:
        """Return what else was found amiss, once the workers are gone."""
        return {}


class Partitions(Element):
    """Partitions dropped, detached, attached again and truncated."""

    PLACES = 12

    def __init__(self, patience_seconds: float = 120.0) -> None:
        super().__init__(patience_seconds)
        self.attached: dict[int, str] = {}
        self.loose: dict[int, str] = {}
        self.made = 0
        kinds: list[Callable[[Connection, Scene], None]] = [
            self.drop,
            self.detach,
            self.truncate,
            self.attach_again,
            self.detach_concurrently,
            self.truncate_all,
        ]
        self.kinds: Iterator[Callable[[Connection, Scene], None]] = cycle(kinds)

    def begin(self, scene: Scene) -> None:
        # Those that are disturbed hold rows of the beginning alone.
        self.width = scene.rows // 4
        names = [self.next_name(place) for place in range(self.PLACES)]
        table = [
            "CREATE TABLE photo (id bigint PRIMARY KEY, path text, content bytea, price numeric DEFAULT 0)"
            " PARTITION BY RANGE (id)",
            *(f"CREATE TABLE {name} {self.partition_of(place)}" for place, name in enumerate(names)),
        ]
        with connect(scene.database) as connection:
            make_table(connection, scene.root, scene.rows, table="; ".join(table))

    def next_name(self, place: int) -> str:
        self.made += 1
        self.attached[place] = f"photo_{place}_{self.made}"
        return self.attached[place]

    def bounds(self, place: int) -> str:
        return f"FOR VALUES FROM ({place * self.width}) TO ({(place + 1) * self.width})"

    def partition_of(self, place: int) -> str:
        return f"PARTITION OF photo {self.bounds(place)}"

    def disturb(self, scene: Scene) -> None:
        with connect(scene.database) as connection:
            next(self.kinds)(connection, scene)

    def pick(self, scene: Scene) -> int:
        """Draw one of the partitions that hold rows of the beginning."""
        return scene.draw.choice([place for place in self.attached if place < 4])

    def drop(self, connection: Connection, scene: Scene, *, comes_back: bool = True) -> None:
        """DROP one, and make an empty one in its place, into which a few rows come back."""
        place = self.pick(scene)
        gone = self.attached[place]
        with connection.transaction():
            execute(connection, "LOCK TABLE photo IN ACCESS EXCLUSIVE MODE")
            note_gone(connection, gone)
            execute(connection, f"DROP TABLE {gone} CASCADE")
            execute(connection, f"CREATE TABLE {self.next_name(place)} {self.partition_of(place)}")
        if comes_back:
            self.bring_back(connection, scene, place)
        scene.faults["partition dropped"] += 1

    def detach(self, connection: Connection, scene: Scene) -> None:
        place = self.pick(scene)
        with connection.transaction():
            execute(connection, "LOCK TABLE photo IN ACCESS EXCLUSIVE MODE")
            note_gone(connection, self.attached[place])
            execute(connection, f"ALTER TABLE photo DETACH PARTITION {self.attached[place]}")
            self.loose[place] = self.attached.pop(place)
        scene.faults["partition detached"] += 1

    def detach_concurrently(self, connection: Connection, scene: Scene) -> None:
        place = self.pick(scene)
        execute(connection, f"ALTER TABLE photo DETACH PARTITION {self.attached[place]} CONCURRENTLY")
        self.loose[place] = self.attached.pop(place)
        note_gone(connection, self.loose[place])
        scene.faults["partition detached concurrently"] += 1

    def attach_again(self, connection: Connection, scene: Scene) -> None:
        """ATTACH what was detached, then reconcile, as `create` and the documentation say."""
        for place, name in list(self.loose.items()):
            execute(connection, f"ALTER TABLE photo ATTACH PARTITION {name} {self.bounds(place)}")
            self.attached[place] = self.loose.pop(place)
            scene.faults["partition attached again"] += 1
        reconcile(connection, get_collection(connection, NAME))

    def truncate(self, connection: Connection, scene: Scene) -> None:
        """TRUNCATE a partition by its own name; one made since has the triggers of its parent alone until reconcile."""
        place = self.pick(scene)
        reconcile(connection, get_collection(connection, NAME))
        with connection.transaction():
            execute(connection, f"LOCK TABLE {self.attached[place]} IN ACCESS EXCLUSIVE MODE")
            note_gone(connection, self.attached[place])
            execute(connection, f"TRUNCATE {self.attached[place]} CASCADE")
        scene.faults["partition truncated"] += 1
        # What a trigger does is done at once: no worker has to notice.
        assert count(connection, f"{ORPHANS} AND {self.is_within(place)}") == 0, "TRUNCATE left embeddings"
        self.bring_back(connection, scene, place)

    def is_within(self, place: int) -> str:
        return f"e.id >= {place * self.width} AND e.id < {(place + 1) * self.width}"

    def truncate_all(self, connection: Connection, scene: Scene) -> None:
        with connection.transaction():
            execute(connection, "LOCK TABLE photo IN ACCESS EXCLUSIVE MODE")
            note_gone(connection, "photo")
            execute(connection, "TRUNCATE photo")
        for place in self.attached.keys() & range(4):
            self.bring_back(connection, scene, place)
        scene.faults["all truncated"] += 1

    def bring_back(self, connection: Connection, scene: Scene, place: int) -> None:
        """Insert rows under keys that were there before."""
        first = max(place * self.width, 1)
        for key in scene.draw.sample(range(first, (place + 1) * self.width), min(self.width - 1, 12)):
            try:
                picture, name = random_picture(scene.draw), f"again-{scene.draw.random()}.png"
                put_file(connection, scene.root, key, picture, name)
            except psycopg.errors.UniqueViolation:
                continue  # the application was quicker

    def settle(self, scene: Scene) -> None:
        """Lose two more, with no reconcile behind: workers alone forget what went with them."""
        with connect(scene.database) as connection:
            self.attach_again(connection, scene)
            wait_until(lambda: queued_keys(connection) < scene.rows // 10, "embeddings to lose")
            self.drop(connection, scene, comes_back=False)
            self.detach(connection, scene)
            wait_until(
                lambda: count(connection, ORPHANS) == 0,
                "workers to forget what went with partitions",
                self.patience_seconds,
            )

    refusals = frozenset({"CheckViolation"})  # a row for a partition that is detached


class WiderKey(Element):
    """The key widened from integer to bigint, and the collection behind it, in steps between which the work goes on."""

    def __init__(self, patience_seconds: float = 120.0) -> None:
        super().__init__(patience_seconds)
        self.steps = iter((self.widen, self.alter_key, self.retry))

    def begin(self, scene: Scene) -> None:
        with connect(scene.database) as connection:
            make_table(connection, scene.root, scene.rows, table=NARROW)

    def disturb(self, scene: Scene) -> None:
        step = next(self.steps, None)
        if step is not None:
            step(scene)

    def widen(self, scene: Scene) -> None:
        """ALTER TABLE, as the application's migration does; keys beyond integer come then."""
        with connect(scene.database) as connection:
            execute(connection, "ALTER TABLE photo ALTER id TYPE bigint")
        scene.wide_from = scene.newest + 1
        scene.faults["key widened"] += 1

    def alter_key(self, scene: Scene) -> None:
        """`imgvec collection alter-key`, again where the application holds the table for long."""

        def is_done() -> bool:
            done = imgvec(scene.database, scene.environment, "collection", "alter-key", NAME)
            assert done.returncode == 0 or "lock" in done.stderr, done.stderr
            return done.returncode == 0

        wait_until(is_done, "alter-key", self.patience_seconds)
        scene.faults["collection alter-key"] += 1

    def retry(self, scene: Scene) -> None:
        done = imgvec(scene.database, scene.environment, "retry", NAME, "--code", "key_does_not_fit")
        assert done.returncode == 0, done.stderr

    def settle(self, scene: Scene) -> None:
        for step in self.steps:
            step(scene)
        with connect(scene.database) as connection:
            wide = get_collection(connection, NAME)
            assert list(wide.key_types) == ["bigint"], wide.key_types

            def is_embedded() -> bool:
                if count(connection, "imgvec.failure"):
                    self.retry(scene)
                return count(connection, "imgvec.failure") + count(connection, "imgvec.job") == 0

            # A worker that had met such a key may say so just after.
            wait_until(is_embedded, "every key to fit", self.patience_seconds)


class OddSettings(Element):
    """A database whose every setting is odd, for workers, application and triggers; the key is of types that settings print."""

    def begin(self, scene: Scene) -> None:
        with connect(scene.database) as connection:
            set_odd(connection, ODD)
        self.given = scene.database
        scene.database = make_conninfo(scene.database, options="-c search_path=public")
        with connect(scene.database) as connection:
            make_table(connection, scene.root, scene.rows, table=OF_MANY_COLUMNS)
        scene.faults["odd settings"] = len(ODD)

    def workers_at(self, scene: Scene) -> str:
        return self.given

    # The database's limits for the application's own statements, and its isolation.
    refusals = frozenset(
        {
            "QueryCanceled",
            "LockNotAvailable",
            "SerializationFailure",
            "IdleInTransactionSessionTimeout",
            "IdleSessionTimeout",
            "TransactionTimeout",
        }
    )


class Pooled(Element):
    """Workers behind pgbouncer in transaction mode.

    Args:
        pool: How the workers reach the database.
        sessions: How many the pool has.
    """

    def __init__(self, pool: str, sessions: int, patience_seconds: float = 120.0) -> None:
        super().__init__(patience_seconds)
        self.pool, self.sessions = pool, sessions

    def workers_at(self, scene: Scene) -> str:
        return self.pool

    def left_behind(self, scene: Scene) -> dict[str, str]:
        """Return what workers left in sessions that serve others next."""
        return left_in_sessions(scene.database, self.pool, self.sessions)


class Migrates(Element):
    """`imgvec migrate` by several processes at the same moment, again and again."""

    AT_ONCE = 6
    ROUNDS = 2
    disturbances = 1

    def __init__(self, patience_seconds: float = 120.0) -> None:
        super().__init__(patience_seconds)
        self.failed: list[str] = []

    def disturb(self, scene: Scene) -> None:
        commands = [f"{scene.database}=migrate"] * self.AT_ONCE
        done = subprocess.run(
            [sys.executable, str(AT_ONCE), str(self.ROUNDS), *commands],
            env=scene.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            self.failed.append(f"{done.stdout}{done.stderr}".strip())
        scene.faults[f"{self.AT_ONCE} migrates at once"] += self.ROUNDS

    def left_behind(self, scene: Scene) -> dict[str, str]:
        return {"migrate failed": "; ".join(self.failed)} if self.failed else {}


def execute(connection: Connection, statement: str) -> None:
    """Run a statement of the tests' own names."""
    connection.execute(sql.SQL(statement))  # type: ignore[arg-type]


def note_gone(connection: Connection, table: LiteralString | str) -> None:
    """Note the rows of a table, which go without a trigger."""
    execute(connection, f"INSERT INTO deleted SELECT id FROM {table}")
