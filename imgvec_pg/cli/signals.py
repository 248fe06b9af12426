"""SIGTERM and ctrl-C: finish the batch in hand, then exit."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import click

from imgvec_pg.cli.output.messages import raw_line

SHOW_CURSOR = b"\x1b[?25h"


@dataclass
class Stopped:
    """The exit code that a signal asked for, None while none came."""

    exit_code: int | None = None


def leave_at_once() -> None:
    """End the process without waiting for threads that read a slow file or compute; leases run out by themselves."""
    if sys.stderr.isatty():
        os.write(2, SHOW_CURSOR)
    os._exit(128 + signal.SIGINT)


@contextmanager
def stop_on_signals(
    request_stop: Callable[[], None], leave: Callable[[], None] = leave_at_once
) -> Iterator[Stopped]:
    """Call `request_stop` on SIGINT or SIGTERM, and `leave` on a second SIGINT, which loses nothing either."""
    stopped = Stopped()

    def handle(signum: int, _: FrameType | None) -> None:
        if stopped.exit_code is not None and signum == signal.SIGINT:
            leave()
        stopped.exit_code = 128 + signum
        # A handler must not wait for locks that the interrupted code may hold, nor write to a stream that it
        # may be writing to.
        threading.Thread(target=request_stop, daemon=True).start()
        os.write(2, raw_line("finishing the batch in hand; ctrl-C once more leaves at once"))

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@dataclass
class Interrupted:
    """The exit code that a signal asked for, None while none came."""

    exit_code: int | None = None

    def check(self) -> None:
        """Leave now if a signal came: code that was being imported may have swallowed the interruption."""
        if self.exit_code is not None:
            raise KeyboardInterrupt


@contextmanager
def interruptible(promise: str) -> Iterator[Interrupted]:
    """Leave the block on SIGINT or SIGTERM, whatever its code makes of the interruption, and say so in one line.

    Args:
        promise: What happens when the command is run again.
    """
    interrupted = Interrupted()

    def handle(signum: int, _: FrameType | None) -> None:
        # What is left to do is short: a second signal would only leave it half done.
        for number in previous:
            signal.signal(number, signal.SIG_IGN)
        interrupted.exit_code = 128 + signum
        raise KeyboardInterrupt

    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in previous:
        signal.signal(number, handle)
    # What libraries log of an interruption, or of an error that ends the command with a line of its own, is no news.
    logging.disable(logging.WARNING)
    try:
        yield interrupted
    except BaseException:
        # Ctrl-C also ends child processes, and libraries that are being imported turn it into errors of their own.
        if interrupted.exit_code is None:
            raise
        click.echo(f"\nimgvec: stopped; {promise}", err=True)
    finally:
        logging.disable(logging.NOTSET)
        for number, handler in previous.items():
            signal.signal(number, handler)
