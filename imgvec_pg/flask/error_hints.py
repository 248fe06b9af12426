"""Hints of errors, with the command as a Flask application has it: `flask imgvec`."""

import re
from contextlib import AbstractContextManager

from imgvec_pg.errors import advising

COMMAND = re.compile(
    r"(?<!flask )\bimgvec(?= (backfill|collection|doctor|index|migrate|model|reconcile|search|words|worker)\b)"
)


def flask_commands() -> AbstractContextManager[None]:
    """Let errors name `flask imgvec worker` and its like, which know the application's database."""
    return advising("flask imgvec", COMMAND)
