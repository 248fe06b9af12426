"""Filters by a source's own columns, as pages offer them: which there are, and the SQL condition of what was chosen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Literal, TypeVar

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.source import resolve_relation

MAX_FILTERS = 24
BARS = 24
PREFIXES = ("min:", "max:", "is:", "has:")
"""Of the names that a request gives filters by: the lowest and highest value, one of several, and text that contains."""
_Value = TypeVar("_Value")
Kind = Literal["boolean", "number", "date", "category", "text"]


@dataclass(frozen=True)
class Filter:
    """A column to filter by.

    Attributes:
        values: Of a category: its values, the most frequent first (those of an enum in its order), with the rows that the
            last ANALYZE expects to have each; None where it does not know.
        low: The lowest value that the last ANALYZE met, as PostgreSQL writes it; "" where it is not known.
        high: The highest.
        bars: Of a number or a date: a histogram between them, as histogram() has it; empty where nothing is known.
    """

    name: str
    kind: Kind
    values: tuple[tuple[str, int | None], ...] = ()
    low: str = ""
    high: str = ""
    bars: tuple[float, ...] = ()


def find_filters(connection: Connection, collection: Collection) -> list[Filter]:
    """Return the columns of the source that this role may filter by, in the table's order; no keys, no paths.

    Reads the catalogue alone, no rows: as quick for a million.
    """
    found = connection.execute(
        load_sql("queries/filter_columns.sql"),
        {
            "oid": resolve_relation(connection, collection.source.as_string(connection)),
            "except": [*collection.key_columns, collection.path_column or ""],
            "limit": MAX_FILTERS,
        },
    )
    return [_filter(*row) for row in found]


def _filter(
    name: str,
    kind: Kind,
    labels: list[str] | None,
    common: list[str] | None,
    shares: list[float] | None,
    bounds: list[str] | None,
    rows: float,
    null_share: float,
) -> Filter:
    counts = {
        value: round(share * rows) if rows else None
        for value, share in zip(common or [], shares or [], strict=True)
    }
    if kind == "category":
        names = labels or dict.fromkeys([*counts, *(bounds or [])])
        return Filter(name, kind, tuple((value, counts.get(value)) for value in names))
    if kind not in {"number", "date"}:
        return Filter(name, kind)
    # The bounds leave out the most common values.
    read, show = (_day_number, _show_day) if kind == "date" else (_finite, _show_number)
    met = [(read(value), share) for value, share in zip(common or [], shares or [], strict=True)]
    known = [(value, share) for value, share in met if value is not None]
    others = sorted(value for value in map(read, bounds or []) if value is not None)
    values = [value for value, _ in known] + others
    if not values:
        return Filter(name, kind)
    bars = histogram(
        [(float(value), share) for value, share in known], [float(value) for value in others], null_share
    )
    return Filter(name, kind, (), show(min(values)), show(max(values)), bars)


def _finite(text: str) -> Decimal | None:
    """Return a number as a Decimal; None for an infinity and NaN."""
    number = Decimal(text)
    return number if number.is_finite() and abs(number.adjusted()) < 300 else None


def _day_number(text: str) -> Decimal | None:
    """Return a day or time as the number of its day; None where a calendar's field has none: infinities, before Christ."""
    try:
        return None if text.endswith("BC") else Decimal(date.fromisoformat(text[:10]).toordinal())
    except ValueError:
        return None


def _show_number(number: Decimal) -> str:
    return f"{number:f}"


def _show_day(number: Decimal) -> str:
    return date.fromordinal(int(number)).isoformat()


def condition(
    connection: Connection, filters: Sequence[Filter], chosen: Sequence[tuple[str, str]]
) -> str | None:
    """Return the SQL condition over the source's columns of what a person chose; None where they chose nothing.

    Args:
        chosen: Pairs such as ("max:price", "5"), ("is:color", "red"); other names are passed over, and so are empty values.

    Raises:
        UsageError: A column is not there (any more), or a value is none of its type.
    """
    by_name = {item.name: item for item in filters}
    values: dict[tuple[str, str], list[str]] = {}
    for given, value in chosen:
        prefix = given.partition(":")[0] + ":"
        if prefix not in PREFIXES or not value.strip():
            continue
        name = given[len(prefix) :]
        if name not in by_name:
            raise UsageError(
                f'there is no column "{name}" to filter by; expected one of {", ".join(by_name) or "none"}'
            )
        if "\0" in value:
            raise UsageError(f'the filter of "{name}" has a NUL character; expected text')
        values.setdefault((prefix, name), []).append(value.strip() if prefix != "is:" else value)
    terms = [_term(by_name[name], prefix, given) for (prefix, name), given in values.items()]
    return sql.SQL(" AND ").join(terms).as_string(connection) if terms else None


def _term(item: Filter, prefix: str, given: Sequence[str]) -> sql.Composed:
    column = sql.Identifier(item.name)
    if prefix == "has:" and item.kind in {"text", "category"}:
        # Not LIKE: % and _ are characters here as any others.
        template = "pg_catalog.strpos(pg_catalog.lower({}::pg_catalog.text), pg_catalog.lower({})) OPERATOR(pg_catalog.>) 0"
        return sql.SQL(template).format(column, sql.Literal(given[-1]))
    if prefix == "is:" and item.kind == "boolean" and given[-1] in {"true", "false"}:
        return sql.SQL("{} IS {}").format(column, sql.SQL(given[-1].upper()))
    if prefix == "is:" and item.kind in {"text", "category"}:
        return sql.SQL("{} IN ({})").format(column, sql.SQL(", ").join(map(sql.Literal, given)))
    if prefix in {"min:", "max:"} and item.kind == "number":
        operator = sql.SQL(">=" if prefix == "min:" else "<=")
        return sql.SQL("{} {} {}").format(column, operator, sql.Literal(_read(item, given[-1], _number)))
    if prefix in {"min:", "max:"} and item.kind == "date":
        day = _read(item, given[-1], date.fromisoformat)
        if prefix == "min:":
            return sql.SQL("{} >= {}").format(column, sql.Literal(day))
        # The whole of the last day, of timestamps too.
        following = _read(item, given[-1], lambda _: day + timedelta(days=1))
        return sql.SQL("{} < {}").format(column, sql.Literal(following))
    raise UsageError(f'"{given[-1][:40]}" is no filter of "{item.name}"; expected one for a {item.kind}')


def _number(text: str) -> Decimal:
    number = Decimal(text)
    # PostgreSQL would write 1e999999 out.
    if not number.is_finite() or abs(number.adjusted()) > 300:
        raise ValueError(text)
    return number


def _read(item: Filter, text: str, read: Callable[[str], _Value]) -> _Value:
    try:
        return read(text)
    except (ValueError, OverflowError, InvalidOperation) as error:
        expected = "a number" if item.kind == "number" else "a day such as 2026-01-31"
        raise UsageError(f'the filter of "{item.name}" is "{text[:40]}"; expected {expected}') from error


def histogram(
    common: Sequence[tuple[float, float]], bounds: Sequence[float], null_share: float = 0.0, bars: int = BARS
) -> tuple[float, ...]:
    """Return how many values lie in each of equally wide parts between the lowest and the highest, relative to the fullest part.

    Args:
        common: The most common values, each with its share of the rows, 0 to 1 (pg_stats.most_common_vals and _freqs).
        bounds: Between two neighbours lie equally many of the other values (pg_stats.histogram_bounds), ascending.
        null_share: Share of rows without a value.

    Returns:
        `bars` numbers from 0 to 1; empty where there is no width to divide.
    """
    values = [value for value, _ in common] + list(bounds)
    low, high = min(values, default=0.0), max(values, default=0.0)
    width = (high - low) / bars
    if not width > 0:
        return ()
    held = [0.0] * bars

    def part_of(value: float) -> int:
        return min(int((value - low) / width), bars - 1)

    for value, share in common:
        held[part_of(value)] += share
    each = max(0.0, 1 - null_share - sum(share for _, share in common)) / max(len(bounds) - 1, 1)
    for begin, end in pairwise(bounds):
        first, last = part_of(begin), part_of(end)
        for part in range(first, last + 1):
            overlap = min(end, low + (part + 1) * width) - max(begin, low + part * width)
            held[part] += each if end == begin else each * max(overlap, 0.0) / (end - begin)
    fullest = max(held)
    return tuple(round(share / fullest, 3) for share in held) if fullest > 0 else ()
