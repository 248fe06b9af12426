"""JSON blueprint: search results, and the images that they name."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from imgvec_pg.errors import ImgvecError
from imgvec_pg.flask.error_hints import flask_commands
from imgvec_pg.flask.request_search import Searchable, key_in_url, status_of
from imgvec_pg.search.formatting import plain_value
from imgvec_pg.search.images import THUMBNAIL_PIXELS
from imgvec_pg.search.nearest import Neighbour
from imgvec_pg.search.query_client import MAX_UPLOAD_BYTES

FORM_BYTES = 1 << 20
"""What an upload may have around its picture."""
MAX_SAFE_INTEGER = 2**53 - 1
"""ECMAScript's: beyond it JSON.parse() rounds."""


def search_blueprint(
    collection: str | None = None,
    *,
    columns: Sequence[str] = (),
    where: str | None = None,
    distinct: bool = True,
    name: str = "imgvec",
) -> Blueprint:
    """Make a blueprint with two routes; it asks for no login: guard it with before_request where that is needed.

    GET search?q=WORDS, GET search?like=KEY, POST search with the file `image`; &k=1 to 200.
    GET picture/KEY: a JPEG of at most 240 pixels a side. Whole numbers beyond 2^53 - 1, of bigint keys say, are strings in
    answers, as JavaScript would round them.

    Args:
        collection: Its name; None takes the only one there is.
        columns: Columns of the source to answer with; no other leaves the database.
        where: SQL condition that each row must meet to be found or shown, such as "is_public". It is the
            application's: never put a visitor's words into it.
        distinct: Whether rows with the same picture come as one, that with the smallest key of those that meet `where`, with
            `copies`, their number. ?all_rows=1 asks for each by itself.
    """
    made = Blueprint(name, __name__)
    searchable = Searchable(collection, columns, where, distinct=distinct)

    @made.errorhandler(ImgvecError)
    def explain(error: ImgvecError) -> ResponseReturnValue:
        status = status_of(error)
        if status == 404:
            # What the message says of files and tables is not for visitors.
            return jsonify(error="there is no such row or picture"), 404
        if status == 500:
            current_app.logger.error("search failed: %s", error)
            return jsonify(error="the search failed"), 500
        return jsonify(error=str(error)), status

    @made.before_request
    def limit_uploads() -> None:
        request.max_content_length = MAX_UPLOAD_BYTES + FORM_BYTES

    @made.route("/search", methods=["GET", "POST"])
    def search() -> ResponseReturnValue:
        extension = current_app.extensions["imgvec"]
        with flask_commands(), extension.connection() as connection:
            configured = replace(searchable, embedding=current_app.config["IMGVEC_EMBED"])
            found = configured.answer(connection, request)
        rows = [_row(neighbour) for neighbour in found.rows]
        return jsonify(found=rows, strategy=found.strategy)

    @made.get("/picture/<path:key>")
    def picture(key: str) -> ResponseReturnValue:
        extension = current_app.extensions["imgvec"]
        with extension.connection() as connection:
            data = searchable.picture(connection, key, THUMBNAIL_PIXELS)
        return jpeg(data)

    return made


def jpeg(data: bytes) -> Response:
    """Return a JPEG of our own encoding as a response."""
    headers = {"Cache-Control": "private, max-age=300", "X-Content-Type-Options": "nosniff"}
    return Response(data, mimetype="image/jpeg", headers=headers)


def json_for_browsers(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a JSON value whose whole numbers JavaScript can hold: larger ones, of bigint keys say, are strings."""
    if isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
        return str(value)
    if isinstance(value, list):
        return [json_for_browsers(item) for item in value]
    if isinstance(value, dict):
        return {name: json_for_browsers(item) for name, item in value.items()}
    return plain_value(value)


def _row(neighbour: Neighbour) -> dict[str, Any]:
    picture = url_for(".picture", key=key_in_url(neighbour.key))
    return {
        "key": json_for_browsers(neighbour.key),
        "distance": neighbour.distance,
        "copies": neighbour.copies,
        "columns": json_for_browsers(dict(neighbour.columns)),
        "picture": picture,
    }
