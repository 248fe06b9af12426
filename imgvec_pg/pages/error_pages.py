"""Errors as pages: one line that says what was met and what to do, in the frame of the other pages."""

import psycopg
from flask import Flask, Response, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, SecurityError

from imgvec_pg.database.connect import one_line
from imgvec_pg.errors import ConnectionFailedError, ImgvecError
from imgvec_pg.flask.request_search import status_of
from imgvec_pg.pages.page_context import STATEMENT_TIMEOUT_SECONDS
from imgvec_pg.search.query_client import MAX_UPLOAD_BYTES

AWAY = 503


def status_of_page(error: Exception) -> int:
    """Return the HTTP status of an error: `status_of`, 503 where the database is away or too slow for now."""
    if isinstance(error, ConnectionFailedError | psycopg.OperationalError):
        return AWAY
    return status_of(error) if isinstance(error, ImgvecError) else 500


def say(error: Exception) -> str:
    """Return an error as one line for a person."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return (
            f"the database was given {STATEMENT_TIMEOUT_SECONDS} s and took longer; "
            "ask for less: narrower filters, or without order by a column"
        )
    if isinstance(error, psycopg.OperationalError):
        return f"the connection to PostgreSQL was lost ({one_line(error)}); try again in a moment"
    return one_line(error) if isinstance(error, psycopg.Error) else str(error)


def show_errors(app: Flask) -> None:
    """Have each error of a request answered by a page; one who asks for a part of a page gets the line alone."""

    def answer(message: str, status: int) -> ResponseReturnValue:
        if "X-Imgvec-Part" in request.headers:
            return render_template("pages/problem.html", problem=message), status
        return render_template("pages/error.html", problem=message, status=status), status

    @app.errorhandler(ImgvecError)
    @app.errorhandler(psycopg.Error)
    def explain(error: Exception) -> ResponseReturnValue:
        return answer(say(error), status_of_page(error))

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(_: RequestEntityTooLarge) -> ResponseReturnValue:
        return answer(
            f"the picture is too large; expected at most {MAX_UPLOAD_BYTES >> 20} MiB: make it smaller", 413
        )

    @app.errorhandler(HTTPException)
    def other(error: HTTPException) -> ResponseReturnValue:
        if isinstance(error, SecurityError):
            # No address of a page can be written for a host that is not ours.
            return Response(
                "these pages answer to 127.0.0.1 and localhost alone\n", 400, mimetype="text/plain"
            )
        return answer(
            "there is no such page" if error.code == 404 else error.description or error.name,
            error.code or 500,
        )
