"""Errors of migrations, which Alembic's own command shows as one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic.util import CommandError

from imgvec_pg.errors import ImgvecError


class MigrationError(ImgvecError, CommandError):
    """A migration cannot do what it says."""


@contextmanager
def telling() -> Iterator[None]:
    """Let Alembic's command show the library's own errors as one line."""
    try:
        yield
    except MigrationError:
        raise
    except ImgvecError as error:
        raise MigrationError(str(error)) from error
