"""Counts of what a worker wrote."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Written:
    """Counts of one write.

    Attributes:
        embedded: Rows written.
        failed: Failures recorded.
        finished: Keys off the queue for good: embedded, failed, outdated or gone from the source.
        delayed: Keys enqueued again, to be tried later.
        lost_jobs: Jobs whose lease had been lost; they are another worker's now, whatever their keys.
        failure_codes: The reason of each failure recorded.
    """

    embedded: int = 0
    failed: int = 0
    finished: int = 0
    delayed: int = 0
    lost_jobs: int = 0
    failure_codes: tuple[str, ...] = ()

    def __add__(self, other: "Written") -> "Written":
        """Add up what two writes did."""
        return Written(
            self.embedded + other.embedded,
            self.failed + other.failed,
            self.finished + other.finished,
            self.delayed + other.delayed,
            self.lost_jobs + other.lost_jobs,
            self.failure_codes + other.failure_codes,
        )
