"""How a command ends: one line on stderr and an exit code.

0 done, 1 error, 2 usage, 3 no connection, 4 some rows failed, 130 and 143 stopped by a signal.
"""

import os
import signal
import sys
from collections.abc import Sequence

import click

from imgvec_pg.errors import ImgvecError

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM came: leave as for ctrl-C (psycopg then cancels the statement that runs), with another exit code."""


class SomeRowsFailed(click.exceptions.Exit):
    """The command did its work; some rows could not be embedded."""

    def __init__(self) -> None:
        super().__init__(4)


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; errors meant for people become one line on stderr."""
    try:
        # Without standalone mode click returns an Exit's code.
        result = command.main(args=list(arguments), prog_name="imgvec", standalone_mode=False)
    except click.exceptions.Abort as error:
        complain("stopped")
        return TERMINATED if isinstance(error.__cause__, Terminated) else INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ImgvecError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt as error:
        complain("stopped")
        return TERMINATED if isinstance(error, Terminated) else INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; Python would complain again while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        if os.environ.get("IMGVEC_DEBUG"):
            raise
        database_message = describe_database_error(error)
        if database_message is not None:
            complain(database_message)
            return 1
        complain(
            f"unexpected {type(error).__name__}: {' '.join(str(error).split())} (IMGVEC_DEBUG=1 shows where)"
        )
        return 1
    return result if isinstance(result, int) else 0


def complain(message: str) -> None:
    """Print one line on stderr."""
    click.echo(f"imgvec: {' '.join(message.split())}", err=True)


def describe_database_error(error: Exception) -> str | None:
    """Return what PostgreSQL said of a statement it refused, with its hint; None for other errors."""
    diagnostic = getattr(error, "diag", None)
    primary = getattr(diagnostic, "message_primary", None)
    if primary is None:
        return None
    hint = getattr(diagnostic, "message_hint", None)
    return f"PostgreSQL: {primary}" + (f" (hint: {hint})" if hint else "")
