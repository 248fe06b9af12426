"""The command `imgvec`. Commands are imported only when used, so that --help is instant."""

import signal
import sys
from types import FrameType


def main() -> None:
    """Entry point of the console script."""
    try:
        # Not above: ctrl-C in the first moments is one line too.
        from imgvec_pg.cli.process_title import hide_dsn_from_process_list

        hide_dsn_from_process_list()
        from imgvec_pg.cli.exit_codes import run
        from imgvec_pg.cli.main import cli

        signal.signal(signal.SIGTERM, terminate)
    except KeyboardInterrupt:
        print("imgvec: stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    sys.exit(run(cli, sys.argv[1:]))


def terminate(_: int, __: FrameType | None) -> None:
    """Leave the statement at hand as ctrl-C does."""
    from imgvec_pg.cli.exit_codes import Terminated

    raise Terminated
