"""What the database refuses while a question is asked, as the library's own errors; the application's statements keep theirs."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from imgvec_pg.errors import (
    CollectionNotFoundError,
    DatabaseError,
    ImgvecError,
    ModelError,
    NoWorkerError,
    UsageError,
)

REFUSALS: dict[str, type[ImgvecError]] = {
    "0A000": UsageError,  # the model has no text tower
    "22003": UsageError,  # a key that its column's type does not hold
    "22004": UsageError,  # NULL
    "22007": UsageError,  # a key that is no date, text that is no number
    "22P02": UsageError,
    "22023": UsageError,  # empty words, a key that does not fit
    "54000": UsageError,  # words or a picture that are too long
    "42704": CollectionNotFoundError,
    "25006": NoWorkerError,  # a standby
    "53400": NoWorkerError,  # too many wait already
    "55000": NoWorkerError,  # none answered, or none can be asked
    "38000": ModelError,  # the worker could not embed it
}
"""What the functions in sql/functions raise, by SQLSTATE."""
INSUFFICIENT_PRIVILEGE = "42501"
UNDEFINED = ("3F000", "42883", "42P01")
"""No such schema, function or table."""


@contextmanager
def refusals_told(*, with_applications_select: bool = False) -> Iterator[None]:
    """Raise what the library's own statements were refused as the library's errors, in one line with PostgreSQL's hint.

    Lost connections, timeouts, deadlocks and the like pass as they are: the application knows what to do about them.

    Args:
        with_applications_select: The application's select is run too, by SQLAlchemy, whose errors are left alone.

    Raises:
        ImgvecError: UsageError, CollectionNotFoundError, NoWorkerError, ModelError or DatabaseError.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        if with_applications_select or (told := _told(error.orig)) is None:
            raise
        raise told from error
    except psycopg.Error as error:
        if (told := _told(error)) is None:
            raise
        raise told from error


def _told(error: BaseException | None) -> ImgvecError | None:
    state, diagnostic = getattr(error, "sqlstate", None), getattr(error, "diag", None)
    if state is None or diagnostic is None:
        return None
    message, hint = diagnostic.message_primary, diagnostic.message_hint
    if state in REFUSALS:
        return REFUSALS[state](f"{message} (hint: {hint})" if hint else message)
    if state == INSUFFICIENT_PRIVILEGE:
        return DatabaseError(f"the session's role may not do this: {message}; grant it imgvec_reader")
    if state in UNDEFINED:
        return DatabaseError(f"{message}; run: imgvec migrate, or see: imgvec doctor")
    return None
