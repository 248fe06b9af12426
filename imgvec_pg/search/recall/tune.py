"""Choosing ef_search or probes for a collection by the recall that it is measured to give."""

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


def find_setting(
    meter: RecallMeter, recall: float, report: Callable[[Setting], None] = lambda setting: None
) -> Tuned:
    """Measure settings from the cheapest up, until the lower bound of the recall (95 %, two-sided) reaches what is wanted.

    Raises:
        CollectionError: No setting reaches it, the index's method has none that is known here, the plan does not use the index,
            or the index cannot be measured.
        DatabaseError: The time was over before.
    """
    meter.check()
    name, label = meter.collection.name, meter.method.tuned
    if label is None:
        raise CollectionError(
            f"the index of {name} is of the method {meter.method.label}, whose settings imgvec does not know: set them for the "
            f"role or database (ALTER ROLE … SET …) and look at: imgvec recall {name}"
        )
    exact = meter.ask_exactly()
    asked = len(exact.questions)
    needed = perfect_answers_needed(recall)
    if asked < needed:
        raise DatabaseError(
            f"{asked} queries cannot show a recall of {recall:g}: {needed} perfect answers would; give a larger --sample, "
            "more time (--max-seconds), or a lower --recall"
        )
    measured: list[Setting] = []
    for value in meter.ladder():
        setting = meter.measure(exact, value)
        if setting is None:
            raise DatabaseError(
                f"the time was over before {label} {value} was measured{best(label, measured)}; give more with --max-seconds"
            )
        if setting.low is None:
            raise CollectionError(
                f"PostgreSQL answers exactly, without the index of {name}, at {label} {value}{best(label, measured)}: "
                "there is nothing to tune; a small or never analyzed table is read faster whole (ANALYZE "
                f"imgvec.{meter.collection.embedding_table})"
            )
        report(setting)
        measured.append(setting)
        if setting.low >= recall:
            return Tuned(exact, measured)
    denser = f"--m {min(2 * meter.collection.m, 100)} --ef-construction 200"
    if meter.collection.quantization is not None:
        denser = "--quantize none"
    cure = (
        f"build a denser index: imgvec index rebuild {name} {denser}, or give"
        if label == "ef_search"
        else "give"
    )
    raise CollectionError(
        f"no {label} up to {measured[-1].value} shows a recall of {recall:g}{best(label, measured)}; {cure} a larger --sample"
    )


def best(label: str, measured: list[Setting]) -> str:
    """Return "; ef_search 400 has 0.981 (0.975 to 0.987)" of the best, or nothing."""
    if not measured:
        return ""
    top = max(measured, key=lambda setting: setting.low or 0)
    return f"; {label} {top.value} has {top.recall:.4f} ({top.low:.4f} to {top.high:.4f})"


def tuning_options(recall: float, k: int, sample: int | None, seed: int, max_seconds: float) -> RecallOptions:
    """Return what is measured for a wanted recall."""
    wanted = questions_for(recall)
    options = RecallOptions(k=k, sample=max(wanted, LEAST_QUESTIONS), seed=seed, max_seconds=max_seconds)
    return options if sample is None else replace(options, sample=sample)


def store_setting(connection: Connection, collection: Collection, label: str, value: int) -> None:
    """Store what searches of this collection set from now on.

    Raises:
        DatabaseError: The role may not.
    """
    try:
        connection.execute(
            load_sql(f"queries/store_{label}.sql"), {"value": value, "collection_id": collection.id}
        )
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"the role {connection.info.user} may not store {label} {value} for {collection.name} "
            f"({one_line(error)}); run it as the owner of imgvec.collection, or with --dry-run"
        ) from error
