"""Answer a question: the rows of a page, in which order, by which SQL."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import UsageError
from imgvec_pg.pages.browse.growing_answers import PAGE_ROWS, GrowingAnswer, KeptAnswers
from imgvec_pg.pages.browse.ordered_rows import RowOrder, ordered_rows
from imgvec_pg.pages.browse.ordering import NEAR_ENOUGH_ROWS, NearEnough, order_near_enough
from imgvec_pg.pages.browse.plain_pictures import PlainPictures
from imgvec_pg.pages.browse.question import BLANK, DIFFERENT, Question
from imgvec_pg.pages.browse.saved_questions import SavedCall, call_statement, rows_of_call
from imgvec_pg.pages.browse.statement import nearest_statement, plain_statement, rows_statement
from imgvec_pg.pages.browse.targets import Target, find_target
from imgvec_pg.pages.browse.uploads import Uploads
from imgvec_pg.search.filters import Filter, condition
from imgvec_pg.search.nearest import NearestOptions, Neighbour, find_nearest
from imgvec_pg.search.query_types import dump_keys
from imgvec_pg.search.rows import newest_rows
from imgvec_pg.store.collection import Collection

NEWEST_ROWS = 50_000
"""Beyond, what was embedded last is not looked for, which reads every row; the highest keys come first instead."""
OUTLIERS_AT_ONCE = 500
"""Each time all rows are compared, whether for few or many."""
ORDERED_KINDS = ("number", "date")


@dataclass(frozen=True)
class Asking:
    """Who is asked what.

    Attributes:
        filters: What the source's columns can be filtered by.
        columns: Columns of the source that cards show.
    """

    connection: Connection
    collection: Collection
    question: Question
    filters: Sequence[Filter]
    columns: Sequence[str]
    uploads: Uploads
    plain: PlainPictures


@dataclass(frozen=True)
class Results:
    """A page of an answer.

    Attributes:
        rows: Those that the page adds.
        shown: How many rows the page has then.
        has_more: Whether there are more.
        statement: The SQL behind it; "" where the page only goes on.
        near: With a question and an order: the cut and between what it can be moved.
        newest: Without a question and an order: "embedded" last, or the highest "key" first.
        where: The condition of the filters.
        note: What the model did not read of the words.
        seconds: How long it took.
    """

    rows: Sequence[Neighbour]
    shown: int
    has_more: bool
    statement: str = ""
    near: NearEnough | None = None
    newest: str = ""
    where: str | None = None
    note: str | None = None
    seconds: float = 0.0


def find_results(asking: Asking, answers: KeptAnswers, seen: int = 0, *, is_new: bool = True) -> Results:
    """Return the rows after those that are seen.

    Args:
        seen: Rows that the page shows already. Where the answer is kept no more, all rows are given once more, and the
            page passes over those it shows.
        is_new: Whether it is asked anew, and not a kept answer looked at further.

    Raises:
        ImgvecError: The question cannot be answered.
    """
    began = time.perf_counter()
    question = asking.question
    if question.order_column is not None:
        _check_order(asking)
    where = condition(asking.connection, asking.filters, question.chosen)
    name = (asking.collection.id, tuple(asking.columns), replace(question, cut=None, beside=""))
    answer = answers.find(name, is_new=is_new and not seen)
    start = seen if answer.rows else 0
    search = _saved if question.saved else _nearest if question.asks else _listed
    found = search(asking, answer, where, start, seen + PAGE_ROWS)
    return replace(found, where=where, seconds=time.perf_counter() - began)


def _nearest(asking: Asking, answer: GrowingAnswer, where: str | None, start: int, end: int) -> Results:
    """Answer what asks for nearness."""
    connection, collection, question = asking.connection, asking.collection, asking.question
    column = question.order_column
    columns = list(dict.fromkeys([*asking.columns, *([column] if column else [])]))
    targets: list[Target] = []

    def target() -> Target:
        if not targets:
            targets.append(find_target(connection, collection, question, asking.uploads))
        return targets[0]

    def ask(rows: int) -> Sequence[Neighbour]:
        options = NearestOptions(rows, where, columns, distinct=not question.all_rows)
        return find_nearest(connection, collection, target().query, options).rows

    answer.grow(ask, NEAR_ENOUGH_ROWS if column else end + 1)
    near = None
    rows: Sequence[Neighbour] = answer.rows
    if column is not None:
        near = order_near_enough(
            rows[:NEAR_ENOUGH_ROWS], column, descending=question.descending, cut=question.cut
        )
        rows = near.rows
    shown = min(end, len(rows))
    statement = ""
    if start == 0:
        cut = None if near is None else near.cut
        statement = nearest_statement(connection, collection, question, target(), where, max(shown, 1), cut)
    note = target().truncated if start == 0 else None
    return Results(rows[start:end], shown, len(rows) > end, statement, near, note=note)


def _saved(asking: Asking, answer: GrowingAnswer, where: str | None, start: int, end: int) -> Results:
    """Answer a saved question."""
    if asking.question.saved == BLANK:
        return _blank(asking, answer, where, start, end)
    connection, collection, question = asking.connection, asking.collection, asking.question
    is_different = question.saved == DIFFERENT
    target = find_target(connection, collection, question, asking.uploads) if question.asks else None
    embedded = embedded_rows(connection, collection)

    def call(rows: int, source: sql.Composable) -> sql.Composable:
        made = SavedCall(connection, collection, target, where, embedded, source)
        return made.different() if is_different else made.outliers(rows)

    def ask(rows: int) -> Sequence[Neighbour]:
        has_distance = not is_different or target is not None
        asked = call(max(rows, OUTLIERS_AT_ONCE), collection.rows)
        return rows_of_call(connection, collection, asking.columns, asked, where, has_distance=has_distance)

    answer.grow(ask, end + 1)
    shown = min(end, len(answer.rows))
    statement = (
        call_statement(connection, collection, call(max(shown, 1), collection.source)) if start == 0 else ""
    )
    note = None if target is None else target.truncated
    return Results(answer.rows[start:end], shown, len(answer.rows) > end, statement, note=note)


def _blank(asking: Asking, answer: GrowingAnswer, where: str | None, start: int, end: int) -> Results:
    """Answer with the rows nearest to pictures of one colour."""
    connection, collection = asking.connection, asking.collection
    vectors = asking.plain.vectors(connection, collection)

    def ask(rows: int) -> Sequence[Neighbour]:
        options = NearestOptions(rows, where, asking.columns, distinct=True)
        nearest: dict[str, Neighbour] = {}
        for vector in vectors:
            for row in find_nearest(connection, collection, vector, options).rows:
                known = nearest.setdefault(dump_keys(row.key), row)
                if row.distance < known.distance:
                    nearest[dump_keys(row.key)] = row
        return sorted(nearest.values(), key=lambda row: row.distance)[:rows]

    answer.grow(ask, end + 1)
    shown = min(end, len(answer.rows))
    statement = plain_statement(connection, collection, vectors, where, max(shown, 1)) if start == 0 else ""
    return Results(answer.rows[start:end], shown, len(answer.rows) > end, statement)


def _listed(asking: Asking, answer: GrowingAnswer, where: str | None, start: int, end: int) -> Results:
    """Answer what asks for no nearness: rows in an order."""
    connection, collection, question = asking.connection, asking.collection, asking.question
    column = question.order_column
    columns = list(dict.fromkeys([*asking.columns, *([column] if column else [])]))
    order = None if column is None else RowOrder(column, question.descending)
    newest = ""
    if order is None:
        newest = "embedded" if embedded_rows(connection, collection) <= NEWEST_ROWS else "key"
        order = RowOrder() if newest == "key" else None

    def ask(rows: int) -> Sequence[Neighbour]:
        if order is None:
            return newest_rows(connection, collection, columns, rows, distinct=True, where=where)
        return ordered_rows(connection, collection, columns, order, rows, where)

    answer.grow(ask, end + 1)
    shown = min(end, len(answer.rows))
    statement = rows_statement(connection, collection, order, where, max(shown, 1)) if start == 0 else ""
    return Results(answer.rows[start:end], shown, len(answer.rows) > end, statement, newest=newest)


def embedded_rows(connection: Connection, collection: Collection) -> float:
    """Return how many rows are embedded, as the last ANALYZE or VACUUM left it."""
    row = connection.execute(load_sql("queries/search_begin.sql"), {"name": collection.name}).fetchone()
    return float(row[0]) if row is not None else 0.0


def order_columns(filters: Sequence[Filter]) -> list[Filter]:
    """Return the columns that rows can be ordered by."""
    return [item for item in filters if item.kind in ORDERED_KINDS]


def _check_order(asking: Asking) -> None:
    names = [item.name for item in order_columns(asking.filters)]
    if asking.question.order_column not in names:
        raise UsageError(
            f'there is no column "{asking.question.order_column}" to order by; expected one of {", ".join(names) or "none"}'
        )
