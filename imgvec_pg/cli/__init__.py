"""The command `imgvec`: parse, call, print. Commands are loaded only when used, so that --help is instant."""

import signal
import sys
from types import FrameType

from imgvec_pg.cli.main import cli
from imgvec_pg.cli.outcome import Terminated, run


def main() -> None:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, terminate)
    sys.exit(run(cli, sys.argv[1:]))


def terminate(_: int, __: FrameType | None) -> None:
    """Leave the statement at hand as ctrl-C does."""
    raise Terminated
