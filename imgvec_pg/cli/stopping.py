"""SIGTERM and ctrl-C: finish the batch in hand, then leave."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import click


@dataclass
class Stopped:
    """The exit code that a signal asked for, None while none came."""

    exit_code: int | None = None


@contextmanager
def stop_on_signals(request_stop: Callable[[], None]) -> Iterator[Stopped]:
    """Call `request_stop` on SIGINT or SIGTERM; a second SIGINT leaves at once, which loses nothing either."""
    stopped = Stopped()

    def handle(signum: int, _: FrameType | None) -> None:
        if stopped.exit_code is not None and signum == signal.SIGINT:
            raise KeyboardInterrupt
        stopped.exit_code = 128 + signum
        # A handler must not wait for locks that the interrupted thread may hold.
        threading.Thread(target=request_stop, daemon=True).start()
        click.echo("finishing the batch in hand; once more to leave at once", err=True)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
