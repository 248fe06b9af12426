"""The history of `make bench`: a line of JSON a run, appended, from which the documentation's table is made."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.ratios.figures import Outcome

HISTORY = Path(__file__).resolve().parents[1] / "history.jsonl"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run, or a part of one.

    Attributes:
        date: ISO 8601, in UTC.
        machine: As the user calls it, else its processor and number of cores.
        commit: Short hash of what was measured, with "+" behind it where files differed from it.
        base: That of the build to compare with; "" without one.
        load: Load average of the last minute as it began.
        seconds: By the clock.
        figures: By entry and key; what was not measured is not there.
        not_run: Why, by entry.
        speed_varied: By how much longer one fixed loop took at its slowest than at its fastest, between the entries; None where
            nobody looked.
    """

    date: str
    machine: str
    commit: str
    base: str
    load: float
    seconds: float
    versions: dict[str, str]
    figures: dict[str, dict[str, float]]
    not_run: dict[str, str] = field(default_factory=dict)
    speed_varied: float | None = None


def figures_of(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Return the figures as a run keeps them, to four digits."""
    return {
        outcome.entry.name: {key: float(f"{value:.4g}") for key, value in outcome.values.items()}
        for outcome in outcomes
        if outcome.values
    }


def append(run: Run, file: Path = HISTORY) -> None:
    """Add a line."""
    with file.open("a", encoding="utf-8") as history:
        history.write(json.dumps(asdict(run), sort_keys=True) + "\n")


def read_history(file: Path = HISTORY) -> list[Run]:
    """Return all runs, the oldest first; none where there is no file."""
    if not file.exists():
        return []
    stored: list[dict[str, Any]] = [
        json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()
    ]
    return [Run(**each) for each in stored]
