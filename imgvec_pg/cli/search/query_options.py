"""Options of `imgvec search` that change the query: weighted words, a limit as a percentile."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.search.nearest import NearestOptions, Neighbours, find_nearest
from imgvec_pg.search.operations.calibration import distance_at
from imgvec_pg.search.operations.recommend import find_others
from imgvec_pg.search.operations.weighted_query import Part, add_words
from imgvec_pg.search.query_embedding import ModelOptions
from imgvec_pg.search.query_types import RowKey, SearchQuery
from imgvec_pg.store.collection import Collection

Command = TypeVar("Command", bound=Callable[..., Any])
Weighted = tuple[tuple[float, str], ...]


def combine_options(command: Command) -> Command:
    """Add --weight, --plus, --minus and --max-percentile."""
    options = (
        click.option(
            "--weight",
            type=float,
            metavar="W",
            help="Weight of the query itself beside --plus and --minus  [default: 1]",
        ),
        click.option(
            "--plus", type=(float, str), multiple=True, metavar="W WORDS", help="Add words with this weight."
        ),
        click.option(
            "--minus",
            type=(float, str),
            multiple=True,
            metavar="W WORDS",
            help="Subtract words with this weight.",
        ),
        click.option(
            "--max-percentile",
            type=float,
            metavar="P",
            help="Leave out rows further away than P per cent of random pairs are: see imgvec calibrate.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def add_parts(
    connection: Connection,
    collection: Collection,
    question: SearchQuery,
    weight: float | None,
    plus: Weighted,
    minus: Weighted,
    model: ModelOptions,
) -> SearchQuery:
    """Return the question with words added and taken away, or as it is where there are none.

    Raises:
        UsageError: A weight is not above 0, or --weight stands alone.
    """
    if not plus and not minus:
        if weight is not None:
            raise UsageError("--weight was given alone; expected --plus W WORDS or --minus W WORDS with it")
        return question
    for amount in (1.0 if weight is None else weight, *(amount for amount, _ in (*plus, *minus))):
        if not 0 < amount <= 1000:
            raise UsageError(f"a weight is {amount:g}; expected above 0, to 1000: --minus subtracts")
    parts = [Part(amount, words) for amount, words in plus]
    parts += [Part(-amount, words) for amount, words in minus]
    return add_words(connection, collection, question, 1.0 if weight is None else weight, parts, model)


def distance_limit(
    connection: Connection,
    collection: Collection,
    question: SearchQuery,
    options: NearestOptions,
    max_percentile: float | None,
) -> NearestOptions:
    """Return the options with --max-percentile as a distance.

    Raises:
        UsageError: Both limits are given.
        DatabaseError: The collection is not calibrated, or the percentile is not 0 to 100.
    """
    if max_percentile is None:
        return options
    if options.max_distance is not None:
        raise UsageError("--max-distance and --max-percentile were given; expected one of them")
    pairs_of = "words" if question.kind == "words" else "rows"
    return replace(options, max_distance=distance_at(connection, collection, max_percentile, pairs_of))


def find_answer(
    connection: Connection,
    collection: Collection,
    asked: SearchQuery,
    combined: SearchQuery,
    options: NearestOptions,
) -> Neighbours:
    """Find the nearest rows to a combined question; the query row is not in its own result."""
    if isinstance(asked.target, RowKey) and not isinstance(combined.target, RowKey):
        return find_others(connection, collection, combined.target, [asked.target.key], options)
    return find_nearest(connection, collection, combined.target, options)
