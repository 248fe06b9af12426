"""Exit codes of commands, and the one line on stderr that goes with an error.

0 done, 1 error, 2 usage, 3 no connection, 4 some rows failed, 130 and 143 stopped by a signal.
"""

import os
import signal
import sys
import traceback
from collections.abc import Sequence

import click

from imgvec_pg.cli.output.messages import complain, set_up_logs
from imgvec_pg.errors import ConnectionFailedError, ImgvecError
from imgvec_pg.redaction import hide_secrets

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM: exit as on ctrl-C (psycopg then cancels the running statement), with exit code 143."""


class SomeRowsFailed(click.exceptions.Exit):
    """The command did its work; some rows could not be embedded."""

    def __init__(self) -> None:
        super().__init__(4)


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; errors meant for people become one line on stderr."""
    set_up_logs(os.environ.get("IMGVEC_LOG_FORMAT", "text"), None)
    try:
        # Without standalone mode click returns an Exit's code.
        result = command.main(args=list(arguments), prog_name="imgvec", standalone_mode=False)
    except click.exceptions.Abort as error:
        complain("stopped")
        return TERMINATED if isinstance(error.__cause__, Terminated) else INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        complain(describe_click_error(error))
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
            click.echo(hide_secrets(traceback.format_exc()), nl=False, err=True)
        if is_lost_connection(error):
            reason = " ".join(str(error).split())
            complain(f"the connection to PostgreSQL was lost ({reason}); run the same command again")
            return ConnectionFailedError.exit_code
        database_message = describe_database_error(error)
        if database_message is not None:
            complain(database_message)
            return 1
        complain(
            f"unexpected {type(error).__name__}: {' '.join(str(error).split())} (IMGVEC_DEBUG=1 shows where)"
        )
        return 1
    return result if isinstance(result, int) else 0


def describe_click_error(error: click.ClickException) -> str:
    """Return what was wrong with the arguments and which command lists the right ones."""
    message = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None or "--help" in message:
        return message
    return f"{message}; see {context.command_path} --help"


# PostgreSQL's documentation, appendix A: rights, and a column, function or table that does not exist.
INSUFFICIENT_PRIVILEGE = "42501"
UNDEFINED = ("42703", "42883", "42P01")
# Class 08 is connections; 57P01 to 57P05 say that the server ends them.
LOST_CONNECTION = ("08", "57P0")


def is_lost_connection(error: Exception) -> bool:
    """Whether the connection was lost while a command ran."""
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return str(state).startswith(LOST_CONNECTION)
    # Without importing psycopg, which --help does without: libpq's own errors carry no state.
    return type(error).__module__.startswith("psycopg") and type(error).__name__ == "OperationalError"


def describe_database_error(error: Exception) -> str | None:
    """Return what PostgreSQL said of a statement it refused, with its hint; None for other errors."""
    diagnostic = getattr(error, "diag", None)
    primary = getattr(diagnostic, "message_primary", None)
    if primary is None:
        return None
    hint = getattr(diagnostic, "message_hint", None)
    if getattr(error, "sqlstate", None) == INSUFFICIENT_PRIVILEGE:
        hint = (
            "to fill takes imgvec_worker, SELECT on the source and, where row-level security hides rows of it, "
            "BYPASSRLS; imgvec doctor tells what this role lacks"
        )
    elif getattr(error, "sqlstate", None) in UNDEFINED:
        hint = "imgvec doctor says whether the database fits this release"
    return f"PostgreSQL: {primary}" + (f" (hint: {hint})" if hint else "")
