"""Finding: the result of one check of `imgvec doctor`."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "info", "ok"]
LEVELS: tuple[Level, ...] = ("error", "warning", "info", "ok")
"""Worst first."""


@dataclass(frozen=True)
class Finding:
    """One finding: severity, what was met in one line, and the fix, a command where there is one.

    Attributes:
        subject: What was looked at: "server", "database" or the name of a collection.
    """

    level: Level
    subject: str
    met: str
    next_step: str | None = None
