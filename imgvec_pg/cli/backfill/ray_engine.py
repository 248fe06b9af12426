"""`imgvec backfill --engine ray`: the same workers as actors of a Ray cluster; Ray places them, the queue shares the work out.

Counts and progress come from the database alone: an actor that dies takes what it would have returned along.
"""

import importlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from imgvec_pg import __version__
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.cli.backfill.processes import WATCH_SECONDS, Deaths, QueueWatch, deaths_of, shares
from imgvec_pg.cli.backfill.ray_actor import ActorEnd, RayWorker
from imgvec_pg.cli.backfill.run_options import RunOptions
from imgvec_pg.cli.output.messages import say
from imgvec_pg.cli.output.progress import image_progress
from imgvec_pg.cli.signals import leave_at_once, stop_on_signals
from imgvec_pg.database.connect import one_line
from imgvec_pg.errors import MissingExtraError, UsageError
from imgvec_pg.store.collection import Collection

CARRIED_VARIABLES = (
    "IMGVEC_FORMATS",
    "IMGVEC_LEASE_SECONDS",
    "IMGVEC_MAX_ASPECT",
    "IMGVEC_MAX_BYTES",
    "IMGVEC_MAX_PIXELS",
)
"""Variables of the command that actors on other machines take over; secrets are no part of them."""
PATIENT_SECONDS = 15.0
"""How long actors may wait for a place before it is told."""
CONNECT_SECONDS = 10.0
STOP_SECONDS = 30.0
Ray = Any
Handle = Any
Reference = Any


@dataclass
class Actor:
    """One actor: its handle, the answer that says where it runs, and what `run` will return."""

    handle: Handle
    placed: Reference
    ended: Reference
    has_place: bool = False


@dataclass
class RayActors:
    """The actors of one command.

    Attributes:
        first_error: Exit code of the first actor that ended in error, None while none did.
        complaint: What that actor said of it.
    """

    ray: Ray
    collection: Collection
    options: RunOptions
    deaths: Deaths
    stats: WorkerStats = field(default_factory=WorkerStats)
    actors: list[Actor] = field(default_factory=list)
    first_error: int | None = None
    complaint: str = ""
    counts_are_lost: bool = True
    started: int = 0
    is_stopping: bool = False

    def start(self, limit: int | None = None) -> None:
        """Ask for one more actor; it begins when the cluster has a place for it."""
        options = self.options
        kept = {name: os.environ[name] for name in CARRIED_VARIABLES if name in os.environ}
        actor = self.ray.remote(RayWorker).options(
            num_cpus=options.cpus_per_actor,
            num_gpus=options.gpus_per_actor,
            # Another is started here, which can tell a deadly picture from a machine that went away.
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=3,
            scheduling_strategy="SPREAD",
        )
        handle = actor.remote(
            __version__,
            self.collection,
            replace(options, limit=limit),
            {**kept, "IMGVEC_WORKER_PLACE": str(self.started)},
        )
        self.actors.append(Actor(handle, handle.process_id.remote(), handle.run.remote()))
        self.started += 1

    def look(self, can_restart: bool) -> None:
        """Collect what has ended, and start another actor for each that died."""
        for actor in list(self.actors):
            actor.has_place = actor.has_place or self._is_done(actor.placed)
            if self._is_done(actor.ended):
                self.actors.remove(actor)
                self._collect(actor, can_restart)

    @property
    def at_work(self) -> int:
        """Actors that have a place."""
        return sum(actor.has_place for actor in self.actors)

    def _is_done(self, reference: Reference) -> bool:
        done, _ = self.ray.wait([reference], timeout=0)
        return bool(done)

    def _collect(self, actor: Actor, can_restart: bool) -> None:
        try:
            end: ActorEnd = self.ray.get(actor.ended)
        except self.ray.exceptions.RayError as error:
            self._note_death(error, can_restart)
            return
        finally:
            self.ray.kill(actor.handle)
        if end.exit_code and self.first_error is None:
            self.first_error, self.complaint = end.exit_code, end.complaint

    def _note_death(self, error: Exception, can_restart: bool) -> None:
        if self.is_stopping:
            return
        reason = str(error)
        if "No module named" in reason or "failed to be imported" in reason:
            self.first_error = self.first_error or 1
            self.complaint = (
                "a node of the cluster lacks imgvec-pg or a package that it needs: install the same there"
            )
            return
        again = self.deaths.note() and can_restart
        self.first_error = self.first_error or (None if again else 1)
        self.complaint = self.complaint or ("" if again else f"actors die: {one_line(error)}")
        say("an actor died; its rows are taken by others" + (", another is started" if again else ""))
        if again:
            self.start()

    def terminate(self) -> None:
        """Ask all actors to finish their batch and leave; those without a place never begin."""
        self.is_stopping = True
        for actor in list(self.actors):
            if actor.has_place:
                actor.handle.stop.remote()
            else:
                self.ray.kill(actor.handle)

    def end(self) -> None:
        """Leave no actor behind; leases of those that do not end in time run out by themselves."""
        self.terminate()
        running = [actor.ended for actor in self.actors if actor.has_place]
        if running:
            self.ray.wait(running, num_returns=len(running), timeout=STOP_SECONDS)
        for actor in self.actors:
            self.ray.kill(actor.handle)
        self.actors.clear()


def import_ray() -> Ray:
    """Return the package.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "--engine ray needs Ray, which is not installed: pip install 'imgvec-pg[ray]'"
        ) from error


@contextmanager
def quiet_output() -> Iterator[None]:
    """Drop what Ray prints on standard output; this command prints there at its end alone."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        yield


def prepare_own_cluster() -> dict[str, Any]:
    """Return how a cluster is started for this command alone; call it before Ray is imported.

    It listens on this machine alone, by a token of its own: without one any user here could run code in it, and Ray 2.60 would
    leave a token in the home directory, by which clusters that are started later ask for one too.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return {"address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1"}


@contextmanager
def cluster(address: str | None) -> Iterator[Ray]:
    """Be connected to the cluster at `address`, or to RAY_ADDRESS's, or to one of this machine that ends with the block.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: There is no cluster, or one of another Python or Ray, or one that asks for a token.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    where = {"address": address} if address else prepare_own_cluster()
    ray = import_ray()
    logging.getLogger("ray").setLevel(logging.ERROR)
    if address:
        require_answer(address)
    # Ray 2.60 prints each death on standard output, in red and whatever log_to_driver says, where --json has its object.
    with quiet_output():
        try:
            ray.init(log_to_driver=False, configure_logging=False, logging_level=logging.ERROR, **where)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise UsageError(
                f"the Ray cluster at {address or 'this machine'} cannot be joined ({one_line(error)}): Python and Ray must be "
                "the same versions everywhere, and a cluster with a token takes RAY_AUTH_MODE=token here"
            ) from error
        try:
            yield ray
        finally:
            ray.shutdown()


def require_answer(address: str) -> None:
    """Raise UsageError where nobody listens at a HOST:PORT: Ray would log for half a minute and end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise UsageError(
            f"no Ray cluster answers at {address} ({error.strerror or error}): see `ray status` there"
        ) from error


def run_actors(
    context: click.Context,
    collection: Collection,
    options: RunOptions,
    waiting: int,
    begin: Callable[[], None],
) -> RayActors:
    """Run the actors until the queue is empty or the limit is reached, and return what became of them.

    `begin` is called once an actor has embedded something.
    """

    def shown(done: int, per_second: float) -> None:
        if done:
            begin()
        show(done, per_second)

    watch = QueueWatch(options.dsn, collection)
    with cluster(options.address) as ray:
        actors = RayActors(ray, collection, options, deaths_of(options.actors))
        limits = shares(options.limit, options.actors) if options.limit else [None] * options.actors
        try:
            with (
                image_progress(waiting) as show,
                stop_on_signals(actors.terminate, leave_at_once) as stopped,
            ):
                for limit in limits:
                    actors.start(limit)
                follow_actors(actors, watch, waiting, shown)
        finally:
            actors.end()
            watch.close()
    actors.stats.finish()
    if stopped.exit_code is not None:
        say("stopped; run the same command to go on")
        context.exit(stopped.exit_code)
    return actors


def follow_actors(actors: RayActors, watch: QueueWatch, waiting: int, show: Any) -> None:  # noqa: ANN401
    """Return when no actor is at work and nothing is left to do for one that would still find a place."""
    began, told, had_place = time.monotonic(), False, False
    while actors.actors:
        time.sleep(WATCH_SECONDS)
        actors.look(can_restart=actors.options.limit is None)
        left = watch.waiting()
        if left is not None:
            actors.deaths.note_waiting(left)
            done = max(waiting - left, 0)
            show(done, done / actors.stats.seconds())
        had_place = had_place or bool(actors.at_work)
        if not actors.at_work and (left == 0 or (had_place and actors.first_error)):
            return
        missing = len(actors.actors) - actors.at_work
        if missing and not told and time.monotonic() - began > PATIENT_SECONDS:
            told = True
            say(describe_missing(actors, missing))


def describe_missing(actors: RayActors, missing: int) -> str:
    """Return the line that says for what actors wait."""
    options = actors.options
    needs = f"{options.cpus_per_actor:g} CPU" + (
        f" and {options.gpus_per_actor:g} GPU" if options.gpus_per_actor else ""
    )
    has = actors.ray.cluster_resources()
    return (
        f"{missing} of {options.actors} actors wait for a place: each needs {needs}, the cluster has "
        f"{has.get('CPU', 0):g} CPU and {has.get('GPU', 0):g} GPU; they begin when there is one"
    )
