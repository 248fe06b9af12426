"""What `make bench` measures: entries, each a command that prints several figures, each with its target."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

REACHED, MISSED, NOT_RUN = "reached", "missed", "not run"
BASE = "d784fbe"
"""The build that others are compared with: before rows shared pictures, ONNX Runtime and shrink-on-load."""
EARLIER = f"the build {BASE}"


@dataclass(frozen=True)
class Figure:
    """One figure of an entry.

    Attributes:
        key: Its name in the JSON that the command writes, as `Entry.read` returns it.
        what: What is measured, in what unit if it is no ratio.
        against: What the ratio is to.
        target: The bound it is held to.
        at_most: Whether it must not be above the target; else not below it.
    """

    key: str
    what: str
    against: str
    target: float
    at_most: bool = True

    def verdict(self, value: float | None) -> str:
        """Return "reached", "missed", or "not run" for None."""
        if value is None:
            return NOT_RUN
        return REACHED if (value <= self.target if self.at_most else value >= self.target) else MISSED

    @property
    def bound(self) -> str:
        """Return the target with its sign."""
        return f"{'≤' if self.at_most else '≥'} {self.target:g}"


def as_it_is(found: Any) -> dict[str, float]:  # noqa: ANN401 - JSON
    """Return the figures of a script whose JSON is a mapping of names to numbers."""
    return dict(found)


def of_targets(found: Any) -> dict[str, float]:  # noqa: ANN401 - JSON
    """Return those of a list of `searching.target.Target`, by name; what was not measured is left out."""
    return {each["name"]: each["figure"] for each in found if each["figure"] is not None}


def of_filling(found: Any) -> dict[str, float]:  # noqa: ANN401 - JSON
    """Return those of benchmarks/fill.py, "row.place"; not a number, which misses each target, where the vectors are wrong."""
    values: dict[str, float] = {}
    places: dict[int, int] = {}
    for each in found["results"]:
        row = each["row"]
        places[row] = places.get(row, 0) + 1
        value = each["cpu_ratio"] if each["ratio"] is None else each["ratio"]
        if value is not None:
            values[f"{row}.{places[row]}"] = value if each["is_right"] else math.nan
    return values


@dataclass(frozen=True)
class Entry:
    """A command and its figures.

    Attributes:
        arguments: Of Python. "{json}" is the file that it writes its figures to, standard output where there is none;
            "{base}" a checkout of the build to compare with, "{peers}" a folder for other programs' environments.
        seconds: It is ended after so many, at the latest.
        read: Returns figures by key from the JSON.
        modules: Packages that it cannot do without, by the name that is imported.
    """

    name: str
    arguments: tuple[str, ...]
    seconds: float
    figures: tuple[Figure, ...]
    read: Callable[[Any], Mapping[str, float]] = as_it_is
    modules: tuple[str, ...] = ()

    def needs(self, place: str) -> bool:
        """Return whether its arguments name "base" or "peers"."""
        return any(f"{{{place}}}" in argument for argument in self.arguments)


@dataclass(frozen=True)
class Outcome:
    """What came of an entry: values by key of its figures, and why there are none.

    Attributes:
        reason: Why something is not measured; "" where all is.
        has_failed: Whether it should have been: it ended without, was ended, or there was no time left for it.
    """

    entry: Entry
    values: Mapping[str, float]
    seconds: float
    reason: str = ""
    has_failed: bool = False

    def verdicts(self) -> list[str]:
        """Return the verdict of each figure, in their order."""
        return [figure.verdict(self.values.get(figure.key)) for figure in self.entry.figures]
