"""The page of `imgvec browse`: a collection's pictures by words, a picture or likeness, with filters; and the page of a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from psycopg import Error as PostgresError

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import ImgvecError, UsageError
from imgvec_pg.flask.blueprint import jpeg
from imgvec_pg.pages.browse.cards import RowCard, make_card
from imgvec_pg.pages.browse.growing_answers import KeptAnswers
from imgvec_pg.pages.browse.plain_pictures import PlainPictures
from imgvec_pg.pages.browse.question import BLANK, DIFFERENT, OUTLIERS, Question
from imgvec_pg.pages.browse.results import Asking, Results, find_results, order_columns
from imgvec_pg.pages.browse.row_details import read_details
from imgvec_pg.pages.browse.uploads import Uploads
from imgvec_pg.pages.error_pages import say, status_of_page
from imgvec_pg.pages.model_warm_up import ModelWarmUp
from imgvec_pg.pages.page_context import PageContext
from imgvec_pg.search.filters import Filter, find_filters
from imgvec_pg.search.query_client import MAX_UPLOAD_BYTES
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.registry import find_collections

EAGER = 12
"""Pictures of the first rows are asked for at once, the others when they come into view."""
BESIDE_ROWS = 24
SAVED_QUESTIONS = (
    (
        OUTLIERS,
        "Least like the rest",
        "The furthest from the mean of all rows that meet the filters: set a category to find what is wrong in it.",
    ),
    (
        DIFFERENT,
        "Most different",
        "Each is unlike those before it: the first ten are the most different ten. Of the nearest 1,000, or of 1,000 by chance.",
    ),
    (
        BLANK,
        "Blank",
        "The nearest to a picture that is all white, grey or black, as the model sees them: a list to look through, no verdict.",
    ),
)
"""Name, title, meaning."""
PART = "X-Imgvec-Part"
"""A request's header by which the script asks for a part of the page: "results"; "cut", the same with a moved cut; "cards"."""


@dataclass(frozen=True)
class AnswerColumn:
    """The answer of one collection, as the page shows it."""

    collection: Collection
    cards: Sequence[RowCard]
    results: Results


def browse_blueprint(context: PageContext, warm_up: ModelWarmUp | None = None) -> Blueprint:
    """Make the pages.

    GET /: ?q=WORDS, ?minus=WORDS, ?like=KEY, ?picture=NAME, filters, ?order, ?cut, ?all_rows=1, ?beside=COLLECTION,
    ?saved=QUESTION; ?seen=N goes on behind N rows. POST /: keep the file `image` and lead to its answer. GET /row/KEY: a row.
    GET /asked/NAME: a picture kept. GET /model: whether the model is there, as JSON.

    Args:
        warm_up: Loads the model once the first page is asked for.
    """
    made = Blueprint(
        "browse",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/static/browse",
    )
    uploads, plain, answers = Uploads(), PlainPictures(), KeptAnswers()

    @made.get("/")
    def page() -> ResponseReturnValue:
        given = list(request.args.items(multi=True))
        # A form without script sends its empty fields too.
        kept = [(name, value) for name, value in given if value.strip()]
        if kept != given and PART not in request.headers:
            return redirect(_address(kept), 303)
        if warm_up is not None:
            warm_up.begin()
        return _page(context, uploads, plain, answers)

    @made.post("/")
    def upload() -> ResponseReturnValue:
        file = request.files.get("image")
        if file is None:
            raise UsageError("no picture was sent; expected the file field image")
        name = uploads.add(file.stream.read(MAX_UPLOAD_BYTES + 1))
        question = replace(Question.read(request.args), picture=name, like="")
        if PART in request.headers:
            return jsonify(picture=name)
        return redirect(question.address(url_for(".page")), 303)

    @made.get("/row/<path:key>")
    def row(key: str) -> ResponseReturnValue:
        details = read_details(context.session(), context.find(), key)
        question = Question.read(request.args)
        template = "browse/row_part.html" if PART in request.headers else "browse/row.html"
        return render_template(template, details=details, question=question, address=_addresses(question))

    @made.get("/asked/<name>")
    def asked(name: str) -> Response:
        return jpeg(uploads.find(name).preview)

    _tell_model(made, warm_up)
    return made


def _tell_model(made: Blueprint, warm_up: ModelWarmUp | None) -> None:
    @made.app_context_processor
    def model_state() -> dict[str, ModelWarmUp | None]:
        return {"warm_up": warm_up}

    @made.get("/model")
    def model() -> Response:
        state, problem = ("ready", "") if warm_up is None else (warm_up.state, warm_up.problem)
        return jsonify(state=state, problem=problem)


def _page(
    context: PageContext, uploads: Uploads, plain: PlainPictures, answers: KeptAnswers
) -> ResponseReturnValue:
    """Return the page, or the part of it that the script asks for."""
    part = request.headers.get(PART, "")
    connection, collection = context.session(), context.find()
    question, problem, status = Question(), "", 200
    filters: Sequence[Filter] = ()
    columns: list[AnswerColumn] = []
    others: Sequence[str] = ()
    try:
        question = Question.read(request.args)
        filters = find_filters(connection, collection)
        # Who scrolls on has them.
        others = () if part == "cards" else others_of_source(connection, collection)
        asking = Asking(connection, collection, question, filters, context.columns(), uploads, plain)
        columns = _columns(asking, answers, part, others)
    except (ImgvecError, PostgresError) as error:
        problem, status = say(error), status_of_page(error)
        if part == "cards":
            raise
    if part == "cards":
        return render_template("browse/cards.html", **_shared(question), **_first(columns))
    template = "browse/results.html" if part in {"results", "cut"} else "browse/browse.html"
    page = render_template(
        template,
        **_shared(question),
        **_first(columns),
        columns=columns,
        collection=collection,
        filters=filters,
        chosen=question.chosen,
        chips=_chips(question),
        others=others,
        orders=order_columns(filters),
        problem=problem,
        eager=EAGER,
        both=_in_both(columns),
        saved_questions=SAVED_QUESTIONS,
    )
    return page, status


def _columns(asking: Asking, answers: KeptAnswers, part: str, others: Sequence[str]) -> list[AnswerColumn]:
    """Ask the collection, and the one beside."""
    seen = _seen()
    found = find_results(asking, answers, seen, is_new=part != "cut")
    order = asking.question.order_column
    columns = [AnswerColumn(asking.collection, [make_card(row, order) for row in found.rows], found)]
    if not asking.question.beside or part == "cards":
        return columns
    if asking.question.beside not in others:
        raise UsageError(
            f'"{asking.question.beside}" is no other collection of {asking.collection.shown_source}; expected one of '
            f"{', '.join(others) or 'none'}"
        )
    other = find_collections(asking.connection, asking.question.beside)[0]
    results = find_results(replace(asking, collection=other), answers, is_new=part != "cut")
    columns.append(AnswerColumn(other, [make_card(row, order) for row in results.rows], results))
    return [replace(column, cards=column.cards[:BESIDE_ROWS]) for column in columns]


def others_of_source(connection: Connection, collection: Collection) -> list[str]:
    """Return the names of other collections of the same source, which answer the same questions by another model."""
    return [
        other.name
        for other in find_collections(connection)
        if other.id != collection.id
        and (other.source_schema, other.source_name) == (collection.source_schema, collection.source_name)
        and list(other.key_columns) == list(collection.key_columns)
    ]


def _in_both(columns: Sequence[AnswerColumn]) -> frozenset[str]:
    if len(columns) < 2:
        return frozenset()
    first, second = ({card.key for card in column.cards} for column in columns)
    return frozenset(first & second)


def _shared(question: Question) -> dict[str, Any]:
    return {"question": question, "address": _addresses(question)}


def _first(columns: Sequence[AnswerColumn]) -> dict[str, Any]:
    """Return what templates take of the collection's own answer."""
    if not columns:
        return {"cards": [], "results": None}
    return {"cards": columns[0].cards, "results": columns[0].results}


def _addresses(question: Question) -> Callable[..., str]:
    """Return what templates make addresses with: address(order="price") is this state in another order."""
    return lambda **changes: question.address(url_for("browse.page"), **changes)


def _chips(question: Question) -> list[tuple[str, str]]:
    """Return each filter that is set as a person says it, with the address without it."""
    words = {"min:": "≥", "max:": "≤", "is:": "is", "has:": "contains"}
    chips = []
    for name, value in question.chosen:
        prefix = name.partition(":")[0] + ":"
        said = {"true": "yes", "false": "no"}.get(value, value)
        rest = question.address(url_for("browse.page"), chosen=question.without(name, value))
        chips.append((f"{name[len(prefix) :].replace('_', ' ')} {words[prefix]} {said}", rest))
    return chips


def _seen() -> int:
    text = request.args.get("seen", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0


def _address(arguments: Sequence[tuple[str, str]]) -> str:
    return f"{url_for('.page')}?{urlencode(arguments)}" if arguments else url_for(".page")
