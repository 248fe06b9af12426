"""Map what PostgreSQL refuses while a search runs to the library's errors: one place, one text for each fault.

Lost connections, timeouts, deadlocks and the like are none of these: they pass as they are.
"""

import psycopg

from imgvec_pg.errors import (
    CollectionNotFoundError,
    DatabaseError,
    ImgvecError,
    ModelError,
    NoWorkerError,
    UsageError,
)
from imgvec_pg.store.collection import Collection

EMBEDDING_ERRORS: dict[str, type[ImgvecError]] = {
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
"""What the functions raise that embed a query or look its vector up (sql/functions), by SQLSTATE."""
OWN_REFUSALS = ("22023", "55000", "P0002")
"""States by which functions of the library refuse an argument, or find no such row, also beside a person's condition."""
INSUFFICIENT_PRIVILEGE = "42501"
UNDEFINED = ("3F000", "42883", "42P01")
"""No such schema, function or table."""


def search_error(
    error: psycopg.Error, collection: Collection, where: str | None, role: str
) -> psycopg.Error | ImgvecError:
    """Return the library's error for one that a search met; the same error where the server or the connection is at fault.

    Args:
        where: The person's own condition that was part of it.
        role: The session's.
    """
    if isinstance(error, psycopg.OperationalError):
        return error
    if error.sqlstate == INSUFFICIENT_PRIVILEGE:
        return missing_right(error, f'role "{role}"', f" and SELECT on {collection.shown_source}")
    if error.sqlstate in OWN_REFUSALS:
        return DatabaseError(shown(error))
    if where is not None:
        return condition_error(error, collection, where)
    return DatabaseError(f"PostgreSQL refused the search: {shown(error)}; see: imgvec doctor")


def condition_error(error: psycopg.Error, collection: Collection, where: str) -> UsageError:
    """Return the error of a person's own condition that PostgreSQL does not take."""
    return UsageError(
        f"PostgreSQL does not take the condition {where!r}: {shown(error)}; "
        f"expected SQL over the columns of {collection.shown_source}"
    )


def embedding_error(error: BaseException | None) -> ImgvecError | None:
    """Return the library's error for one that a statement of its own met over SQLAlchemy; None for what is none of its."""
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return None
    if error.sqlstate in EMBEDDING_ERRORS:
        return EMBEDDING_ERRORS[error.sqlstate](shown(error))
    if error.sqlstate == INSUFFICIENT_PRIVILEGE:
        return missing_right(error, "session's role")
    if error.sqlstate in UNDEFINED:
        return DatabaseError(f"{shown(error)}; run: imgvec migrate, or see: imgvec doctor")
    return None


def missing_right(error: psycopg.Error, role: str, more: str = "") -> DatabaseError:
    """Return the error of a role that lacks a right to search.

    Args:
        more: What must be granted besides imgvec_reader.
    """
    return DatabaseError(
        f"the {role} may not do this: {error.diag.message_primary or error}; grant it imgvec_reader{more}"
    )


def shown(error: psycopg.Error) -> str:
    """Return what PostgreSQL said in one line, with its hint."""
    message, hint = error.diag.message_primary or str(error), error.diag.message_hint
    return f"{message} (hint: {hint})" if hint else message
