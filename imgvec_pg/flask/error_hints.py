"""Hints of errors, with the command as a Flask application has it: `flask imgvec`."""

from contextlib import AbstractContextManager

from imgvec_pg.errors import advising

COMMAND = "flask imgvec"


def flask_commands() -> AbstractContextManager[None]:
    """Let errors name `flask imgvec worker` and its like, which know the application's database."""
    return advising(COMMAND)
