"""The command `imgvec`. Commands are imported only when used, so that --help is instant."""

import signal
import sys
from types import FrameType

OLDEST_PYTHON = (3, 11)


def main() -> None:
    """Entry point of the console script."""
    # pip refuses an older one; a checkout may be run by any, and would break at some import.
    if sys.version_info < OLDEST_PYTHON:
        running, oldest = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST_PYTHON))
        print(f"imgvec: Python {running} is too old; imgvec-pg needs {oldest} or newer", file=sys.stderr)
        sys.exit(1)
    try:
        # Not above: ctrl-C in the first moments is one line too.
        from imgvec_pg.cli.process_title import hide_dsn_from_process_list

        hide_dsn_from_process_list()
        from imgvec_pg.cli.exit_codes import run
        from imgvec_pg.cli.main import cli
        from imgvec_pg.cli.output.typed_command import commands_as_typed

        signal.signal(signal.SIGTERM, terminate)
    except KeyboardInterrupt:
        print("imgvec: stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    with commands_as_typed(sys.argv[1:]):
        code = run(cli, sys.argv[1:])
    sys.exit(code)


def terminate(_: int, __: FrameType | None) -> None:
    """Leave the statement at hand as ctrl-C does."""
    from imgvec_pg.cli.exit_codes import Terminated

    raise Terminated
