"""What all index methods have in common: the width of a scan, and what each method makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from imgvec_pg.errors import UsageError


@dataclass(frozen=True)
class IndexFacts:
    """What is known of the index that serves a collection.

    Attributes:
        method: Its access method's name in pg_am.
        rows: Embedded rows, estimated.
        lists: Of an IVFFlat index.
        probes: The collection's own, else what suits the lists or the session's, if that is more.
    """

    method: str
    rows: float
    lists: int = 1
    probes: int = 1


class IndexMethod(Protocol):
    """An access method of indexes."""

    @property
    def label(self) -> str:
        """What people call it."""

    @property
    def tuned(self) -> str | None:
        """The setting that trades time for recall, as the registry's column has it; None where only its own commands know."""

    @property
    def largest(self) -> int:
        """Its highest value."""

    @property
    def unknown_settings(self) -> Mapping[str, str]:
        """What a scan sets, and the values where PostgreSQL does not know them: its library is not loaded yet."""

    def scan_settings(self, index: IndexFacts, candidates: int, iterative_scan: str) -> dict[str, str]:
        """Return what a scan for that many candidates sets.

        Args:
            iterative_scan: "relaxed_order", or "strict_order" where the rows cannot be put in order afterwards.
        """

    def measured_settings(self, value: int) -> dict[str, str]:
        """Return what a search for recall sets, at a value of `tuned`."""

    def steps(self, k: int, lists: int) -> Sequence[int]:
        """Return the values of `tuned` to measure, the cheapest first."""


class OtherMethod:
    """A method without a module: PostgreSQL reads it in order of the distance, by the session's own settings."""

    tuned = None
    largest = 0
    unknown_settings: Mapping[str, str] = {}

    def __init__(self, name: str) -> None:
        self.label = name

    def scan_settings(self, index: IndexFacts, candidates: int, iterative_scan: str) -> dict[str, str]:
        """Set nothing: what a setting of an unknown method would do, nobody here knows."""
        return {}

    def measured_settings(self, value: int) -> dict[str, str]:
        """Set nothing."""
        return {}

    def steps(self, k: int, lists: int) -> Sequence[int]:
        """Measure once, as it is."""
        return (0,)


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Refuse what is out of range.

    Raises:
        UsageError: It is.
    """
    if not low <= value <= high:
        raise UsageError(f"{name} is {value}; expected {low} to {high}")
