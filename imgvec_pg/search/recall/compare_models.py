"""Two collections of one source side by side: how far their answers agree, how long they take, how large they are."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, one_line, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.errors import CollectionError, ImgvecError, ModelError
from imgvec_pg.search.query_types import dump_keys, show_key
from imgvec_pg.search.recall.measurements import percentiles
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.switch import Missing, collection_bytes, count_missing_beside

NEAREST = 10
EXAMPLES = 5

Embed = Callable[[Collection, str], object]


@dataclass(frozen=True)
class Example:
    """One query and both results.

    Attributes:
        question: A row's key, or words.
        before: Keys as `show_key` shows them, by the present collection, nearest first; None where it gives no answer.
        after: Keys by the other.
        problems: Why there is none, before and after.
        keys: Those of the query and both results as JSON objects, in no order.
    """

    question: str
    before: list[str] | None
    after: list[str] | None
    problems: tuple[str | None, str | None] = (None, None)
    keys: Sequence[dict[str, Any]] = ()

    @property
    def agreement(self) -> float | None:
        """Share of the one answer that is in the other."""
        if not self.before or self.after is None:
            return None
        return len(set(self.before) & set(self.after)) / len(self.before)


@dataclass(frozen=True)
class Side:
    """What one collection costs. Milliseconds are of search_* from a row, way to the server included; None: not asked."""

    name: str
    model_name: str
    dimensions: int
    p50_ms: float | None
    p95_ms: float | None
    table_bytes: int
    index_bytes: int


@dataclass(frozen=True)
class Agreement:
    """The report.

    Attributes:
        mean: Mean share of the 10 nearest that both find, over `rows` rows; None where none is in both.
        missing: Rows that the present one finds and the other has no vector of.
        examples: A few of the rows, then all words.
    """

    before: Side
    after: Side
    rows: int
    mean: float | None
    missing: Missing
    examples: Sequence[Example]


def compare_collections(
    connection: Connection,
    present: Collection,
    target: Collection,
    *,
    sample: int = 100,
    words: Sequence[str] = (),
    embed: Embed | None = None,
    seed: int = 0,
) -> Agreement:
    """Run the same queries on both collections: rows drawn at random, and words.

    Args:
        embed: Sees to it that the cache of texts has the words before SQL asks for them; else workers must answer.
    """
    keys = draw_keys(connection, present, target, sample, seed)
    both: list[Example] = []
    seconds: tuple[list[float], list[float]] = ([], [])
    for key in keys:
        answers = []
        # Taking turns: what one reads from the disk must not always help the same other.
        for place in random.Random(len(both)).sample((0, 1), 2):  # noqa: S311
            began = time.monotonic()
            values: dict[str, object] = {"key": dump_keys(key)}
            found = _ask(connection, (present, target)[place], "neighbours", values)
            seconds[place].append(time.monotonic() - began)
            answers.append((place, [other for other in found if show_key(other) != show_key(key)][:NEAREST]))
        answers.sort(key=itemgetter(0))
        before, after = (answer for _, answer in answers)
        told = [key, *before, *after] if len(both) < EXAMPLES else []
        both.append(Example(show_key(key), _shown(before), _shown(after), keys=told))
    shares = [example.agreement for example in both if example.agreement is not None]
    return Agreement(
        before=_side(connection, present, seconds[0]),
        after=_side(connection, target, seconds[1]),
        rows=len(both),
        mean=sum(shares) / len(shares) if shares else None,
        missing=count_missing_beside(connection, present, target),
        examples=[
            *both[:EXAMPLES],
            *(_ask_words(connection, present, target, text, embed) for text in words),
        ],
    )


def draw_keys(
    connection: Connection, present: Collection, target: Collection, sample: int, seed: int
) -> list[dict[str, Any]]:
    """Return keys of rows that both have vectors of, fewer than wanted where there are fewer."""
    estimate = connection.execute(
        load_sql("queries/estimated_rows.sql"),
        {"table": f"imgvec.{present.embedding_table}", "dimensions": present.dimensions},
    ).fetchone()
    percent = min(100.0, 100 * 4 * sample / max(int(estimate[0]) if estimate else 0, 1))
    statement = render(
        "collection/sample_both.sql",
        **bindable({**present.parts("public"), "other_table": sql.Identifier(target.embedding_table)}),
    )
    while True:
        values = {"percent": percent, "seed": seed, "sample": sample}
        found = [row[0] for row in connection.execute(statement, values)]
        if len(found) >= sample or percent >= 100:
            return found
        percent = min(100.0, percent * 10)


def _shown(keys: Sequence[dict[str, Any]]) -> list[str]:
    return [show_key(key) for key in keys]


def _ask(
    connection: Connection, collection: Collection, file: str, values: dict[str, object]
) -> list[dict[str, Any]]:
    parts = bindable(collection.parts(vector_schema(connection)))
    statement = render(f"collection/{file}.sql", **parts)
    return [row[0] for row in connection.execute(statement, {**values, "k": NEAREST + 1})]


def _ask_words(
    connection: Connection, present: Collection, target: Collection, text: str, embed: Embed | None
) -> Example:
    answers: list[list[dict[str, Any]] | None] = []
    problems: list[str | None] = []
    for collection in (present, target):
        answer, problem = None, None
        try:
            if not collection.has_text:
                raise ModelError("no text tower")
            if embed is not None:
                embed(collection, text)
            answer = _ask(connection, collection, "neighbours_of_words", {"words": text})[:NEAREST]
        except (psycopg.Error, ImgvecError) as error:
            # A report is no place to end for that.
            if isinstance(error, psycopg.OperationalError) and connection.closed:
                raise CollectionError(one_line(error)) from error
            problem = one_line(error)
        answers.append(answer)
        problems.append(problem)
    before, after = (None if answer is None else _shown(answer) for answer in answers)
    keys = [key for answer in answers for key in answer or ()]
    return Example(text, before, after, (problems[0], problems[1]), keys)


def _side(connection: Connection, collection: Collection, seconds: list[float]) -> Side:
    p50, p95 = percentiles(seconds) if seconds else (None, None)
    table, index = collection_bytes(connection, collection)
    return Side(collection.name, collection.model_name, collection.dimensions, p50, p95, table, index)
