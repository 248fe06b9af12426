"""An application that changes the table while workers embed it, and goes on after a lost connection as applications do."""

import random
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from workers import change_picture, put_file, random_picture

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import ConnectionFailedError

CONNECTION_LOST = (psycopg.OperationalError, psycopg.InterfaceError, ConnectionFailedError)
AWAY = (
    psycopg.errors.AdminShutdown,
    psycopg.errors.CrashShutdown,
    psycopg.errors.CannotConnectNow,
    psycopg.errors.ReadOnlySqlTransaction,
)
"""What a server says that goes away, and one that is not promoted yet."""
BEYOND_INTEGER = 3_000_000_000


@dataclass
class Scene:
    """Where a storm happens, and what has happened.

    Attributes:
        database: Where the application writes; another server after a promotion.
        rows: How many there are at the beginning, with the keys 1 to `rows`.
        wide_from: Rows inserted from this number on have keys beyond the type integer.
        newest: The number of the row inserted last.
        faults: What was done to the workers and to the database.
        changes: What the application did.
        refused: Errors other than a lost connection that the application met, by their class.
        said: What such an error said last.
    """

    database: str
    root: Path
    draw: random.Random
    environment: dict[str, str]
    rows: int
    wide_from: int = 2**31
    newest: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    said: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count the first rows as inserted."""
        self.newest = self.newest or self.rows

    def key(self, number: int) -> int:
        """Return the key of the row of a number, counted from 1."""
        return number + BEYOND_INTEGER if number >= self.wide_from else number


class Application:
    """Changes the table of a scene."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.draw = random.Random(seed)
        self.stop = threading.Event()
        self._gone: list[int] = []

    def play(self) -> None:
        """Change something again and again until `stop`."""
        while not self.stop.is_set():
            try:
                with self.connect() as connection:
                    while not self.stop.is_set():
                        self.change_something(connection)
                        time.sleep(self.draw.random() * 0.06)
            except (*CONNECTION_LOST, psycopg.Error) as error:
                self.note(error)
                time.sleep(0.2)

    def connect(self) -> Connection:
        """Connect as an application does: with the database's own settings, and not as the library."""
        # What it prepared itself would be refused once a column has another type.
        return psycopg.connect(self.scene.database, autocommit=True, prepare_threshold=None)

    def note(self, error: Exception) -> None:
        """Count an error that is not a server's going away."""
        if isinstance(error, psycopg.Error) and error.sqlstate is not None and not isinstance(error, AWAY):
            self.scene.refused[type(error).__name__] += 1
            self.scene.said[type(error).__name__] = str(error)

    def change_something(self, connection: Connection) -> None:
        """One transaction: change pictures or another column, delete, insert, bring back, or roll back."""
        scene, draw = self.scene, self.draw
        kinds = {"picture": 50, "other": 20, "delete": 8, "insert": 10, "bring back": 6, "rolled back": 6}
        what = draw.choices(list(kinds), list(kinds.values()))[0]
        numbers = draw.sample(range(1, scene.newest + 1), draw.choice([1, 1, 1, 2, 20]))
        keys = [scene.key(number) for number in numbers]
        if what == "other":
            connection.execute("UPDATE photo SET price = price + 1 WHERE id = ANY (%s)", [keys])
        elif what == "delete":
            rows = connection.execute("DELETE FROM photo WHERE id = ANY (%s) RETURNING id", [keys[:2]])
            self._gone += [row[0] for row in rows]
        elif what == "insert":
            scene.newest += 1
            put_file(connection, scene.root, scene.key(scene.newest), random_picture(draw))
        elif what == "bring back" and self._gone:
            # Where it is still there, its DELETE was lost with the connection.
            with suppress(psycopg.errors.UniqueViolation):
                picture, name = random_picture(draw), f"back-{draw.random()}.png"
                put_file(connection, scene.root, self._gone.pop(), picture, name)
        else:
            with connection.transaction(force_rollback=what == "rolled back"):
                for key in sorted(keys[:5]):
                    change_picture(connection, scene.root, key, draw)
        scene.changes[what] += 1
