"""The command `imgvec`: parse, call, print. Commands are loaded only when used, so that --help is instant."""

import sys

from imgvec_pg.cli.main import cli
from imgvec_pg.cli.outcome import run


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(cli, sys.argv[1:]))
