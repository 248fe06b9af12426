"""The page of `imgvec browse`: a collection's pictures by words, a picture or likeness, with filters."""

from collections.abc import Sequence
from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import ImgvecError
from imgvec_pg.flask.request_search import MAX_SHOWN, Searchable, key_in_url, read_k, status_of
from imgvec_pg.pages.page_context import PageContext
from imgvec_pg.search.display_columns import TITLES
from imgvec_pg.search.filters import PREFIXES, condition, find_filters
from imgvec_pg.search.formatting import show_value, times
from imgvec_pg.search.nearest import Neighbour
from imgvec_pg.search.rows import newest_rows
from imgvec_pg.store.collection import Collection

NEWEST = 48
MORE = 48
PATHS = ("uri", "path", "file", "file_name", "photo", "image")


def browse_blueprint(context: PageContext) -> Blueprint:
    """Make the pages that search: GET / with ?q=WORDS, ?like=KEY and filters; POST / with the file `image`."""
    made = Blueprint(
        "browse",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/static/browse",
    )

    @made.route("/", methods=["GET", "POST"])
    def page() -> ResponseReturnValue:
        return _page(context.session(), context.find(), context.searchable())

    return made


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
        "browse/browse.html",
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
    return f"{url_for('.page')}?{urlencode(arguments)}" if arguments else url_for(".page")


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
