"""SIGTERM and ctrl-C while workers run: finish the batch in hand, then leave."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

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
