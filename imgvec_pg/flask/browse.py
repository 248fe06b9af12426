"""Web application of `imgvec browse`: one collection as pages, for this machine."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from flask import Flask, Response, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import ImgvecError
from imgvec_pg.flask.blueprint import FORM_BYTES, jpeg
from imgvec_pg.flask.browse_token import require_token
from imgvec_pg.flask.request_search import MAX_SHOWN, Searchable, key_in_url, read_k, status_of
from imgvec_pg.flask.review_page import Reviewed, review_blueprint
from imgvec_pg.search.display_columns import TITLES, default_columns
from imgvec_pg.search.filters import PREFIXES, condition, find_filters
from imgvec_pg.search.formatting import show_value, times
from imgvec_pg.search.nearest import Neighbour
from imgvec_pg.search.query_client import MAX_UPLOAD_BYTES
from imgvec_pg.search.rows import newest_rows
from imgvec_pg.store.collection import Collection

LARGE_PIXELS = 1600
NEWEST = 48
MORE = 48
PATHS = ("uri", "path", "file", "file_name", "photo", "image")
HOSTS = ["127.0.0.1", "localhost", "[::1]"]
POLICY = (
    "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def browse_app(dsn: str, token: str, collection: str | None = None, root: Path | None = None) -> Flask:
    """Make the application.

    It answers to this machine's own names only, as other sites' pages must not read it, and to those only who know the
    token, as other users of the machine must not either.

    Args:
        dsn: libpq connection string.
        token: What the first address that is visited has as ?token=.
        collection: Its name; None takes the only one there is.
        root: Where this machine keeps the pictures, instead of the collection's root.

    Raises:
        CollectionNotFoundError, UsageError: There is none, or several and none is named.
    """
    app = Flask(__name__, static_url_path="/static")
    app.config["TRUSTED_HOSTS"] = HOSTS
    app.config["MAX_CONTENT_LENGTH"] = MAX_UPLOAD_BYTES + FORM_BYTES
    require_token(app, token)
    with connect(dsn, application_name="imgvec browse") as connection:
        found = Searchable(collection).find(connection)
        searchable = Searchable(found.name, default_columns(connection, found), root=root)

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    @app.route("/", methods=["GET", "POST"])
    def page() -> ResponseReturnValue:
        with connect(dsn, application_name="imgvec browse") as connection:
            return _page(connection, found, searchable)

    @app.get("/picture/<path:key>")
    def picture(key: str) -> ResponseReturnValue:
        pixels = LARGE_PIXELS if "large" in request.args else 320
        with connect(dsn, application_name="imgvec browse") as connection:
            try:
                return jpeg(searchable.picture(connection, key, pixels))
            except ImgvecError:
                abort(404)

    connecting = partial(connect, dsn, application_name="imgvec browse")
    reviewed = Reviewed(connecting, found, searchable.columns, root)
    app.register_blueprint(review_blueprint(reviewed), url_prefix="/review")
    return app


def _page(connection: Connection, collection: Collection, searchable: Searchable) -> ResponseReturnValue:
    """Return the page of a request: the nearest rows to its query, or without one the newest, of those that its filters leave."""
    words, like = request.values.get("q", "").strip(), request.args.get("like", "")
    upload = request.files.get("image")
    given = list(request.args.items(multi=True))
    # A form sends its empty fields too, and the row that was asked about beside words typed since.
    kept = [(name, value) for name, value in given if value.strip() and not (name == "like" and words)]
    if request.method == "GET" and kept != given:
        return redirect(_address(kept), 303)
    chosen = [(name, value) for name, value in given if name.startswith(PREFIXES)]
    has_query, problem, status, limit = bool(words or like or upload), "", 200, NEWEST
    rows: Sequence[Neighbour] = ()
    where = None
    filters = find_filters(connection, collection)
    try:
        where = condition(connection, filters, chosen)
        limit = read_k(request) if has_query or "k" in request.args else NEWEST
        if has_query:
            rows = searchable.answer(connection, request, where).rows
        else:
            rows = newest_rows(connection, collection, searchable.columns, limit, distinct=True, where=where)
    except ImgvecError as error:
        problem, status = str(error), status_of(error)
    more = [(name, value) for name, value in given if name != "k"] + [
        ("k", str(min(limit + MORE, MAX_SHOWN)))
    ]
    page = render_template(
        "imgvec/browse.html",
        collection=collection,
        words=words,
        like=like,
        all_rows=request.values.get("all_rows") == "1",
        upload=upload is not None,
        has_query=has_query,
        cards=[_card(row) for row in rows],
        problem=problem,
        filters=filters,
        chosen=chosen,
        where=where,
        more=_address(more) if len(rows) == limit < MAX_SHOWN and upload is None else None,
        filtered=lambda **changes: _address([*changes.items(), *chosen]),
    )
    return page, status


def _address(arguments: Sequence[tuple[str, object]]) -> str:
    return f"{url_for('page')}?{urlencode(arguments)}" if arguments else url_for("page")


def _card(row: Neighbour) -> dict[str, object]:
    columns = {name: show_value(value) for name, value in row.columns.items()}
    key = key_in_url(row.key)
    title = next((columns[name] for name in TITLES if columns.get(name)), key)
    # Of a path the file's name.
    path = next((columns[name] for name in PATHS if columns.get(name)), "")
    if title == key and path:
        title = path.rsplit("/", 1)[-1] or path
    return {
        "key": key,
        "title": title,
        "distance": None if row.distance < 0 else row.distance,
        "copies": row.copies,
        "times": times(row.copies),
        "columns": columns,
    }
