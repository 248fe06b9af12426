"""How often to look at what may be slow to look at: a queue under an old transaction, which keeps VACUUM away."""

import time

SHARE_OF_TIME = 0.05
"""Part of the time that may go into looking."""


class Pace:
    """Says when to look again.

    Args:
        least_seconds: Not sooner than this, however fast it was.
    """

    def __init__(self, least_seconds: float = 0.0) -> None:
        self.least_seconds = least_seconds
        self._next_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time to look."""
        return time.monotonic() >= self._next_at

    def took(self, seconds: float) -> None:
        """Note that it was looked, and for how long."""
        self._next_at = time.monotonic() + max(self.least_seconds, seconds / SHARE_OF_TIME)
