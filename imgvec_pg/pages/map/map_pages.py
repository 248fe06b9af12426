"""The map of `imgvec browse`: points to move about in, pictures at the pointer, rows within a loop as a table, a file and SQL."""

import csv
import io

from flask import Blueprint, Response, jsonify, render_template, request, url_for
from flask.typing import ResponseReturnValue

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.flask.blueprint import jpeg
from imgvec_pg.flask.request_search import key_in_url
from imgvec_pg.maps.file_page import WEB
from imgvec_pg.maps.loop import read_loop, rows_in_loop
from imgvec_pg.maps.map_tables import has_map
from imgvec_pg.maps.pack import pack, shuffled
from imgvec_pg.maps.read_map import RowAt, colour_columns, read_map, rows_at
from imgvec_pg.pages.page_context import PageContext
from imgvec_pg.search.display_columns import default_columns, label_rows
from imgvec_pg.search.formatting import show_value
from imgvec_pg.search.query_types import show_key
from imgvec_pg.store.collection import Collection

PICTURE_PIXELS = 168
FARTHEST = 1e7
"""Of a corner of a loop, too."""
ROWS_IN_TABLE = 100
ROWS_IN_FILE = 100_000
CANNOT_START = ("=", "+", "-", "@", "\t", "\r")
"""What a cell of a CSV file may not begin with: a spreadsheet would run it."""


def map_blueprint(context: PageContext) -> Blueprint:
    """Make the pages. GET /: the map, with ?at=x,y around a place. GET /points: its points as `pack` has them. GET /row and
    /picture: of the row at ?x=&y=. GET /loop and /loop.csv: the rows within ?loop=, a polygon.
    """
    made = Blueprint(
        "map", __name__, template_folder="templates", static_folder=str(WEB), static_url_path="/web"
    )

    @made.get("/")
    def page() -> ResponseReturnValue:
        connection, collection = context.session(), context.find()
        is_there = has_map(connection, collection)
        columns = colour_columns(connection, collection) if is_there else []
        body = (WEB / "body.html").read_text(encoding="utf-8")
        return render_template(
            "map/map.html", name=collection.name, is_there=is_there, columns=columns, body=body
        )

    @made.get("/points")
    def points() -> ResponseReturnValue:
        collection = context.find()
        shown = read_map(context.session(), collection, request.args.get("by") or "cluster")
        sent = pack(shown, collection, shuffled(len(shown.places)))
        return Response(sent, mimetype="application/octet-stream", headers={"Cache-Control": "no-store"})

    @made.get("/row")
    def row() -> ResponseReturnValue:
        connection, collection = context.session(), context.find()
        found = _pointed(connection, collection)
        label = label_rows(connection, collection, [found.key]).get(show_key(found.key))
        shown = show_key(found.key)
        lines = [f"{collection.key_columns[0]} {shown}"] if label else []
        if found.copies > 1:
            lines.append(f"and {found.copies - 1:,} more rows of the same picture")
        page = url_for("browse.page", row=key_in_url(found.key))
        return jsonify(title=label or shown, lines=lines, href=page)

    @made.get("/picture")
    def picture() -> ResponseReturnValue:
        connection, collection = context.session(), context.find()
        key = key_in_url(_pointed(connection, collection).key)
        return jpeg(context.searchable().picture(connection, key, PICTURE_PIXELS))

    _add_loops(made, context)
    return made


def _add_loops(made: Blueprint, context: PageContext) -> None:
    @made.get("/loop")
    def loop() -> ResponseReturnValue:
        names, rows = _looped(context, ROWS_IN_TABLE)
        return render_template("map/rows.html", names=names, rows=rows, most=ROWS_IN_TABLE)

    @made.get("/loop.csv")
    def loop_file() -> ResponseReturnValue:
        names, rows = _looped(context, ROWS_IN_FILE)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([names, *([_harmless(cell) for cell in line] for line in rows)])
        name = f"map_{context.find().name}.csv"
        return Response(
            text.getvalue(),
            mimetype="text/csv",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


def _looped(context: PageContext, limit: int) -> tuple[list[str], list[list[str]]]:
    """Return the columns and the rows within the request's loop, as text."""
    connection, collection = context.session(), context.find()
    columns = default_columns(connection, collection)
    found = rows_in_loop(connection, collection, read_loop(request.args.get("loop", "")), columns, limit)
    keys = list(collection.key_columns)
    rows = [
        [*(show_value(key[name]) for name in keys), *(show_value(values[name]) for name in columns)]
        for key, values in found
    ]
    return [*keys, *columns], rows


def _harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; a number stays one."""
    if not cell.startswith(CANNOT_START):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def _pointed(connection: Connection, collection: Collection) -> RowAt:
    """Return the row at the request's place.

    Raises:
        UsageError: It names no place.
        CollectionError: No row that this role sees lies there.
    """
    try:
        place = float(request.args["x"]), float(request.args["y"])
    except ValueError as error:
        raise UsageError(f"{error}; expected x and y, numbers") from error
    # float4's, in which maps are kept, ends at 3.4e38; not a number compares false.
    if not all(abs(each) <= FARTHEST for each in place):
        raise UsageError("x and y are too far, or not finite; expected a place on the map")
    [found] = rows_at(connection, collection, [place])
    if found is None:
        raise CollectionError("no row lies there (any more); load the map anew")
    return found
