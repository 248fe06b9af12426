"""`imgvec backfill --workers N`: the same command as N processes, watched through the queue."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial

import click

from imgvec_pg.backfill.worker import Tally
from imgvec_pg.cli.progress import image_progress
from imgvec_pg.cli.stopping import stop_on_signals
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import ImgvecError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.jobs import queue_depth

WATCH_SECONDS = 0.5


def child_arguments(context: click.Context, collection: Collection) -> list[str]:
    """Return this command's own options for one process, without those that only the parent heeds."""
    options = context.params
    arguments = ["backfill", collection.name, "--no-index", "--json"]
    for option in ("batch_size", "decode_threads", "limit", "root", "weights", "device", "precision"):
        if options[option] is not None:
            arguments += [f"--{option.replace('_', '-')}", str(options[option])]
    return arguments


def terminate(processes: Sequence["subprocess.Popen[str]"]) -> None:
    """Ask all processes to finish their batch and leave."""
    for process in processes:
        if process.poll() is None:
            process.terminate()


def run_processes(
    context: click.Context, connection: Connection, collection: Collection, workers: int, waiting: int
) -> Tally:
    """Run `workers` processes until the queue is empty and add up what they did.

    Raises:
        ImgvecError: A process ended in error; its own line is on stderr.
    """
    threads = max((os.cpu_count() or 1) // workers, 1)
    # The connection string goes by the environment: arguments are there for every user to read.
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    if context.params["dsn"]:
        environment["IMGVEC_DSN"] = context.params["dsn"]
    command = [sys.executable, "-m", "imgvec_pg", *child_arguments(context, collection)]
    tally = Tally()
    with tempfile.TemporaryFile("w+") as first_errors:
        processes = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=first_errors, text=True)
            for _ in range(workers)
        ]
        try:
            with (
                image_progress(waiting) as show,
                stop_on_signals(partial(terminate, processes)) as stopped,
            ):
                while any(process.poll() is None for process in processes):
                    time.sleep(WATCH_SECONDS)
                    done = max(waiting - queue_depth(connection, collection.id).waiting, 0)
                    show(done, done / tally.seconds())
        finally:
            terminate(processes)
            outputs = [process.communicate()[0] for process in processes]
        first_errors.seek(0)
        complaints = [line for line in first_errors.read().splitlines() if line.startswith("imgvec: ")]
    if stopped.exit_code is not None:
        click.echo("stopped; run the same command to go on", err=True)
        context.exit(stopped.exit_code)
    broken = [process for process in processes if process.returncode not in (0, 4)]
    if broken:
        reason = complaints[0].removeprefix("imgvec: ") if complaints else "no reason given"
        raise ImgvecError(f"{len(broken)} of {workers} worker processes ended in error: {reason}")
    for output in outputs:
        summary = json.loads(output)
        tally.embedded += summary["embedded"]
        tally.failed += summary["failed"]
    tally.finish()
    return tally
