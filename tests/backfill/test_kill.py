"""Workers killed with SIGKILL at drawn points while the table changes: afterwards each row has one current embedding.

The same rounds with the version guard or the lease check taken out of the SQL must fail the same check.
"""

import random
import shutil
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from imgvec_faulty_embedder import load
from workers import (
    NAME,
    STAGED,
    Check,
    Running,
    change_picture,
    check,
    count,
    make_table,
    put_file,
    queued_keys,
    random_picture,
    running,
    seed_of_this_run,
    wait_until,
)

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import shipped_directory

SHORT_LEASE = "1"
# Longer than a busy machine takes for a round.
LONG_LEASE = "600"
ZOMBIE_ROWS = 5
BROKEN_ROW = 5000

VERSION_GUARD = ("collection/write_embeddings.sql", "WHERE e.version < excluded.version", "")
LEASE_CHECK = ("queries/finish_jobs.sql", "AND j.token = d.token", "")


@dataclass(frozen=True)
class Arena:
    """One table, its files, and how its workers are started."""

    database: str
    connection: Connection
    environment: dict[str, str]
    root: Path
    logs: Path
    draw: random.Random

    def staged(self, stack: ExitStack, lease: str, *arguments: str) -> Running:
        """Start a process that stops itself before its first write."""
        hold = self.logs / f"hold-{self.draw.randrange(10**9)}"
        hold.touch()
        settings = {"IMGVEC_LEASE_SECONDS": lease, "IMGVEC_TEST_HOLD": str(hold)}
        return stack.enter_context(
            running(self.database, self.environment, self.logs, *arguments, script=[str(STAGED)], **settings)
        )

    def work(self, limit: int | None = None) -> None:
        """Work the queue off within this process."""
        options = PipelineOptions(root=self.root, limit=limit, lease_seconds=2)
        Worker(self.database, NAME, load(), options).run()


@pytest.fixture
def arena(database: str, connection: Connection, plugin_environment: dict[str, str], tmp_path: Path) -> Arena:
    root, logs = tmp_path / "photos", tmp_path / "logs"
    root.mkdir()
    logs.mkdir()
    seed = seed_of_this_run()
    print(f"IMGVEC_TEST_SEED={seed}")
    return Arena(database, connection, plugin_environment, root, logs, random.Random(seed))


def older_result_comes_last(arena: Arena) -> None:
    """A worker stops, its lease still good, before it writes; the rows change and another writes the newer image."""
    ids = [
        row[0] for row in arena.connection.execute("SELECT id FROM photo ORDER BY id LIMIT %s", [ZOMBIE_ROWS])
    ]
    with ExitStack() as stack:
        for number in ids:
            change_picture(arena.connection, arena.root, number, arena.draw)
        zombie = arena.staged(stack, LONG_LEASE, "worker", NAME)
        zombie.wait_until_stopped()
        for number in ids:
            change_picture(arena.connection, arena.root, number, arena.draw)
        arena.work(limit=ZOMBIE_ROWS)
        assert queued_keys(arena.connection) == ZOMBIE_ROWS
        zombie.send(signal.SIGCONT)
        wait_until(lambda: queued_keys(arena.connection) == 0, f"the zombie to write: {zombie.text()}")
        zombie.send(signal.SIGTERM)
        assert zombie.wait() == 143, zombie.text()


def lost_lease_comes_first(arena: Arena) -> None:
    """A worker that saw a broken file stops until its lease is lost; another sees it mended, and writes second."""
    put_file(arena.connection, arena.root, BROKEN_ROW, b"not a picture yet")
    with ExitStack() as stack:
        zombie = arena.staged(stack, SHORT_LEASE, "worker", NAME)
        zombie.wait_until_stopped()
        (arena.root / f"{BROKEN_ROW}.png").write_bytes(random_picture(arena.draw))
        wait_until(
            lambda: count(arena.connection, "imgvec.job WHERE lease_until > now()") == 0, "the lease to end"
        )
        second = arena.staged(stack, LONG_LEASE, "worker", NAME)
        second.wait_until_stopped()
        zombie.send(signal.SIGCONT)
        zombie.send(signal.SIGTERM)
        assert zombie.wait() == 143, zombie.text()
        second.send(signal.SIGCONT)
        wait_until(lambda: queued_keys(arena.connection) == 0, f"the second worker: {second.text()}")
        second.send(signal.SIGTERM)
        assert second.wait() == 143, second.text()


def zombie_rounds(arena: Arena) -> Check:
    """Play both interleavings, work off what is left and check every row."""
    older_result_comes_last(arena)
    lost_lease_comes_first(arena)
    arena.work()
    return check(arena.connection, arena.root)


def test_zombies_change_nothing(arena: Arena) -> None:
    make_table(arena.connection, arena.root, ZOMBIE_ROWS)
    arena.work()
    after_zombies = zombie_rounds(arena)
    print(f"after the zombie rounds: {after_zombies}")
    assert not after_zombies.problems, after_zombies


@pytest.mark.parametrize(
    ("mutation", "kinds"),
    [(VERSION_GUARD, {"stale", "of a wrong version"}), (LEASE_CHECK, {"missing", "failed (unidentified)"})],
    ids=["without the version guard", "without the lease check"],
)
def test_the_check_catches(
    arena: Arena, tmp_path: Path, mutation: tuple[str, str, str], kinds: set[str]
) -> None:
    file, guard, nothing = mutation
    changed = tmp_path / "sql"
    shutil.copytree(shipped_directory("sql"), changed)
    text = (changed / file).read_text()
    assert text.count(guard) == 1
    (changed / file).write_text(text.replace(guard, nothing))
    arena.environment["IMGVEC_TEST_SQL"] = str(changed)
    make_table(arena.connection, arena.root, ZOMBIE_ROWS)
    arena.work()
    before = check(arena.connection, arena.root)
    assert not before.problems, before
    caught = zombie_rounds(arena)
    print(f"caught: {caught}")
    assert kinds <= caught.problems.keys()
