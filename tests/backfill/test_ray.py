"""`imgvec backfill --engine ray`: real clusters of this machine, actors and nodes that are killed, and what is refused."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import pytest
from free_ports import free_port
from imgvec_faulty_embedder import KILLER
from workers import (
    NAME,
    Running,
    check,
    count,
    failures,
    make_table,
    picture,
    put_file,
    queued_keys,
    random_picture,
    running,
    wait_until,
)

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection

DRAW = random.Random(7)
RAY = ("backfill", NAME, "--engine", "ray", "--batch-size", "16")
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}


class Place:
    """A database with the table photo, and how commands are run on it."""

    def __init__(
        self, database: str, connection: Connection, environment: dict[str, str], folder: Path
    ) -> None:
        self.database, self.connection, self.logs = database, connection, folder / "logs"
        self.root = folder / "photos"
        for made in (self.root, self.logs):
            made.mkdir()
        self.environment = {**environment, **QUIET, "IMGVEC_LEASE_SECONDS": "2"}

    @contextmanager
    def command(self, *arguments: str, **settings: str) -> Iterator[Running]:
        with running(self.database, self.environment, self.logs, *RAY, *arguments, **settings) as started:
            yield started

    def kill_a_worker(self) -> bool:
        """Kill one that lives; a row whose process died stays for a moment."""
        for (pid,) in self.connection.execute("SELECT pid FROM imgvec.worker WHERE pid IS NOT NULL"):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            return True
        return False

    def must_be_current(self) -> None:
        found = check(self.connection, self.root)
        assert not found.problems, str(found)


@pytest.fixture
def place(database: str, connection: Connection, plugin_environment: dict[str, str], tmp_path: Path) -> Place:
    return Place(database, connection, plugin_environment, tmp_path)


def test_an_actor_that_is_killed_is_replaced_and_nothing_is_lost(place: Place) -> None:
    make_table(place.connection, place.root, 200)
    # One job: the deadly picture and its neighbours in the middle of the fill's.
    place.connection.execute(
        "INSERT INTO photo (id, content) SELECT n, CASE n WHEN 907 THEN %s ELSE %s END FROM generate_series(901, 910) AS n",
        [picture(KILLER), random_picture(DRAW)],
    )
    with place.command("--actors", "2", "--json", IMGVEC_TEST_PREPARE_SECONDS="0.01") as filling:
        wait_until(lambda: count(place.connection, "imgvec.photo_grid_embedding") > 0, "a first batch")
        wait_until(place.kill_a_worker, "a living actor")
        assert filling.wait() == 4, filling.text()
    said, _, printed = filling.text().partition("{")
    summary = json.loads("{" + printed)
    assert said.count("an actor died; its rows are taken by others, another is started") >= 4, said
    assert "raylet" not in said, said
    told = [summary[name] for name in ("embedded", "failed", "waiting", "index_built", "computed")]
    assert told == [209, 1, 0, True, None]
    assert failures(place.connection) == {907: "worker_died"}
    place.connection.execute("DELETE FROM photo WHERE id = 907")
    place.must_be_current()


def test_sigterm_ends_the_actors_after_their_batch(place: Place) -> None:
    make_table(place.connection, place.root, 600)
    with place.command(
        "--actors", "2", IMGVEC_TEST_PREPARE_SECONDS="0.05", IMGVEC_LEASE_SECONDS="60"
    ) as filling:
        wait_until(lambda: count(place.connection, "imgvec.photo_grid_embedding") > 0, "a first batch")
        filling.send(signal.SIGTERM)
        assert filling.wait() == 143, filling.text()
    assert "stopped; run the same command to go on" in filling.text()
    assert count(place.connection, "imgvec.worker") == 0
    assert count(place.connection, "imgvec.job WHERE token IS NOT NULL") == 0
    assert queued_keys(place.connection) > 0


@contextmanager
def node(environment: dict[str, str], folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one node of a cluster with one CPU; the process and all that it started end with the block."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus", "1", *arguments]
    with (folder / f"node-{time.time_ns()}.txt").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--node-ip-address", "127.0.0.1", "--object-store-memory", "80000000"],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        raylets = descendants(process.pid)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in raylets:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Return the ids of the processes below one."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def named(pids: list[int], name: str) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == name]


def test_a_node_that_comes_takes_work_and_one_that_is_killed_loses_none(place: Place) -> None:
    make_table(place.connection, place.root, 200)
    port = free_port()
    environment = {**place.environment, "IMGVEC_TEST_PREPARE_SECONDS": "0.1"}
    with ExitStack() as stack:
        stack.enter_context(
            node(environment, place.logs, "--head", "--port", str(port), "--include-dashboard", "false")
        )
        wait_until(lambda: answers(port), "the cluster")
        filling = stack.enter_context(
            place.command("--actors", "2", "--address", f"127.0.0.1:{port}", RAY_ADDRESS="")
        )
        wait_until(
            lambda: count(place.connection, "imgvec.photo_grid_embedding") > 0 or not filling.is_alive(),
            "a first batch",
        )
        assert count(place.connection, "imgvec.worker") == 1, filling.text()
        with node(environment, place.logs, "--address", f"127.0.0.1:{port}") as second:
            wait_until(lambda: has_two_workers_with_work(place), "the second actor")
            (raylet,) = named(descendants(second.pid), "raylet")
            os.kill(raylet, signal.SIGKILL)
            assert filling.wait() == 0, filling.text()
    rows = count(place.connection, "photo")
    assert "an actor died" in filling.text() and f"{rows:,} images embedded" in filling.text(), filling.text()
    place.must_be_current()


def answers(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def has_two_workers_with_work(place: Place) -> bool:
    """Whether two are at work; until then there is always some, however long the second takes to come."""
    if queued_keys(place.connection) < 100:
        first = count(place.connection, "photo") + 1
        for number in range(first, first + 100):
            put_file(place.connection, place.root, number, random_picture(DRAW))
    return count(place.connection, "imgvec.worker") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engine", "ray", "--workers", "2"), "with --engine ray give --actors"),
        (("--actors", "2"), "--actors is for --engine ray"),
        (("--gpus-per-actor", "1"), "--gpus-per-actor is for --engine ray"),
        (("--engine", "ray", "--metrics-port", "9000"), "leave out --collections and --metrics-port"),
    ],
)
def test_options_of_the_other_engine_are_refused(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["backfill", NAME, "--dsn", "dbname=none", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_without_ray_the_extra_is_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    make_table(place.connection, place.root, 3)
    with mock.patch.dict(sys.modules, {"ray": None}):
        assert run(cli, [*RAY, "--dsn", place.database, "--root", str(place.root)]) == 1
    assert "pip install 'imgvec-pg[ray]'" in capsys.readouterr().err
    assert queued_keys(place.connection) == 3


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_is_not_there_is_named(
    place: Place, scheme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_table(place.connection, place.root, 3)
    address = f"{scheme}127.0.0.1:{free_port()}"
    arguments = [*RAY, "--dsn", place.database, "--root", str(place.root), "--address", address]
    assert run(cli, arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"no Ray cluster answers at {address} (Connection refused)" in line
    assert queued_keys(place.connection) == 3
