"""Map database errors to the library's errors while a query is embedded and run over SQLAlchemy."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa

from imgvec_pg.search.error_mapping import embedding_error


@contextmanager
def database_errors_mapped(*, with_applications_select: bool = False) -> Iterator[None]:
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
        if with_applications_select or (mapped := embedding_error(_as_psycopg(error.orig))) is None:
            raise
        raise mapped from error
    except psycopg.Error as error:
        if (mapped := embedding_error(error)) is None:
            raise
        raise mapped from error


def _as_psycopg(error: BaseException | None) -> BaseException | None:
    """Return another driver's error (asyncpg's, behind SQLAlchemy's) as psycopg has it, with its hint in the message."""
    state = getattr(error, "sqlstate", None)
    if error is None or isinstance(error, psycopg.Error) or not isinstance(state, str):
        return error
    told = error.__cause__ or error
    message, hint = getattr(told, "message", None) or str(told), getattr(told, "hint", None)
    try:
        kind = psycopg.errors.lookup(state)
    except KeyError:
        return error
    return kind(f"{message} (hint: {hint})" if hint else message)
