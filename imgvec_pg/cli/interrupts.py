"""Ctrl-C and SIGTERM for commands that can be stopped anywhere and run again."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import click


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
