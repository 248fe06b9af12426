"""The commands that errors advise, as a Flask application has them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from imgvec_pg.errors import ImgvecError

COMMAND = re.compile(
    r"(?<!flask )\bimgvec(?= (backfill|collection|doctor|index|migrate|model|reconcile|search|words|worker)\b)"
)


@contextmanager
def flask_commands() -> Iterator[None]:
    """Let errors name `flask imgvec worker` and its like, which know the application's database.

    Raises:
        ImgvecError: The same.
    """
    try:
        yield
    except ImgvecError as error:
        error.args = (COMMAND.sub("flask imgvec", str(error)),)
        raise
