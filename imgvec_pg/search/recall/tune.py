"""Choosing hnsw.ef_search for a collection by the recall that it is measured to give."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg

from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import CollectionError, DatabaseError, UsageError
from imgvec_pg.search.recall.intervals import perfect_answers_needed
from imgvec_pg.search.recall.measure import RecallMeter
from imgvec_pg.search.recall.measurements import LEAST_QUESTIONS, Exact, RecallOptions, Setting
from imgvec_pg.store.collection import Collection

RECALL_RANGE = (0.5, 0.9999)
SAMPLE_FACTOR = 3
"""Queries for each that the bound would need were all answers perfect: room for some that are not."""


@dataclass(frozen=True)
class Tuned:
    """What was measured, the last being the cheapest setting whose lower bound reaches the wanted recall."""

    exact: Exact
    settings: list[Setting]

    @property
    def chosen(self) -> Setting:
        """The setting to store."""
        return self.settings[-1]


def questions_for(recall: float) -> int:
    """Return a sample that can show a recall, 0.5 to 0.9999.

    Raises:
        UsageError: It is out of range.
    """
    low, high = RECALL_RANGE
    if not low <= recall <= high:
        raise UsageError(f"the recall is {recall:g}; expected {low} to {high}, such as 0.99")
    return max(200, SAMPLE_FACTOR * perfect_answers_needed(recall))


def find_ef_search(
    meter: RecallMeter, recall: float, report: Callable[[Setting], None] = lambda setting: None
) -> Tuned:
    """Measure settings from the cheapest up, until the lower bound of the recall (95 %, two-sided) reaches what is wanted.

    Raises:
        CollectionError: No setting reaches it, the plan does not use the index, or the index cannot be measured.
        DatabaseError: The time was over before.
    """
    meter.check()
    exact = meter.ask_exactly()
    name, asked = meter.collection.name, len(exact.questions)
    needed = perfect_answers_needed(recall)
    if asked < needed:
        raise DatabaseError(
            f"{asked} queries cannot show a recall of {recall:g}: {needed} perfect answers would; give a larger --sample, "
            "more time (--max-seconds), or a lower --recall"
        )
    measured: list[Setting] = []
    for ef_search in meter.ladder():
        setting = meter.measure(exact, ef_search)
        if setting is None:
            raise DatabaseError(
                f"the time was over before ef_search {ef_search} was measured{best(measured)}; give more with --max-seconds"
            )
        if setting.low is None:
            raise CollectionError(
                f"PostgreSQL answers exactly, without the index of {name}, at ef_search {ef_search}{best(measured)}: "
                "there is nothing to tune; a small or never analyzed table is read faster whole (ANALYZE "
                f"imgvec.{meter.collection.embedding_table})"
            )
        report(setting)
        measured.append(setting)
        if setting.low >= recall:
            return Tuned(exact, measured)
    raise CollectionError(
        f"no ef_search up to {measured[-1].ef_search} shows a recall of {recall:g}{best(measured)}; build a denser index: "
        f"imgvec index rebuild {name} --m {min(2 * meter.collection.m, 100)} --ef-construction 200, or give a larger --sample"
    )


def best(measured: list[Setting]) -> str:
    """Return "; ef_search 400 has 0.981 (0.975 to 0.987)" of the best, or nothing."""
    if not measured:
        return ""
    top = max(measured, key=lambda setting: setting.low or 0)
    return f"; ef_search {top.ef_search} has {top.recall:.4f} ({top.low:.4f} to {top.high:.4f})"


def tuning_options(recall: float, k: int, sample: int | None, seed: int, max_seconds: float) -> RecallOptions:
    """Return what is measured for a wanted recall."""
    wanted = questions_for(recall)
    options = RecallOptions(k=k, sample=max(wanted, LEAST_QUESTIONS), seed=seed, max_seconds=max_seconds)
    return options if sample is None else replace(options, sample=sample)


def store_ef_search(connection: Connection, collection: Collection, ef_search: int) -> None:
    """Store what searches of this collection set from now on.

    Raises:
        DatabaseError: The role may not.
    """
    try:
        connection.execute(
            load_sql("queries/store_ef_search.sql"), {"ef_search": ef_search, "collection_id": collection.id}
        )
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"the role {connection.info.user} may not store ef_search {ef_search} for {collection.name} "
            f"({one_line(error)}); run it as the owner of imgvec.collection, or with --dry-run"
        ) from error
