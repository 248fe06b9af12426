"""What reports of recall have in common, whether of one server or of shards."""

import math
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import click

Measured = TypeVar("Measured")


class ExactTimes(Protocol):
    """Times of exact answers, in milliseconds; NaN where none was timed."""

    @property
    def p50_ms(self) -> float:
        """Median."""

    @property
    def p95_ms(self) -> float:
        """95th percentile."""


def measure_in_time(
    tuned: str | None, steps: Iterable[int], measure: Callable[[int], Measured | None]
) -> list[Measured]:
    """Return what each step gives, and say from which one on the time was over: `measure` returns None then."""
    found: list[Measured] = []
    for step in steps:
        measured = measure(step)
        if measured is None:
            click.echo(
                f"the time is over; from {tuned} {step} on nothing was measured: give more with --max-seconds",
                err=True,
            )
            break
        found.append(measured)
    return found


def times_as_object(exact: ExactTimes) -> dict[str, float | None]:
    """Return the times of exact answers as JSON has them."""
    times = {"exact_p50_ms": exact.p50_ms, "exact_p95_ms": exact.p95_ms}
    return {name: None if math.isnan(value) else value for name, value in times.items()}
