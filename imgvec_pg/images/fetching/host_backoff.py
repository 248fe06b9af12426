"""One circuit breaker for each host that pictures are fetched from.

Closed: requests are sent. Open: the host did not answer, asked for later or timed out several times in a row; its pictures
are delayed without a request until the cool-down is over. Half-open: the cool-down is over and requests are sent as a
trial; an answer closes the breaker, a failure opens it for twice as long.

So a host that is slow, down or busy costs a worker a few seconds now and then, and its pictures wait in the queue, at no
attempt's cost, while those of other hosts are embedded.
"""

import logging
import random
import threading
import time
from dataclasses import dataclass

from imgvec_pg.errors import ImageError
from imgvec_pg.images.fetching.url_rules import Url

log = logging.getLogger(__name__)

FIRST_COOL_DOWN_SECONDS = 2.0
MAX_COOL_DOWN_SECONDS = 300.0
TIMEOUTS_TO_OPEN = 3
"""That many timeouts in a row mean a slow host; fewer, slow pictures."""
FREE_DOWN_SECONDS = 600.0
"""A host that has been down for longer counts as an attempt of its pictures: a queue must come to an end."""
FREE_LATERS = 10
"""A picture that is told "later" more often has it counted as an attempt: perhaps it alone is told so."""
MAX_REMEMBERED = 10_000


@dataclass
class _Breaker:
    """One host's.

    Attributes:
        openings: Times that it opened since it was last closed.
        timeouts: In a row.
        cool_down_ends_at: By time.monotonic(); open until then, half-open from then on. 0: closed.
        down_since: When the host first gave no answer at all.
    """

    openings: int = 0
    timeouts: int = 0
    cool_down_ends_at: float = 0.0
    down_since: float | None = None


def _log_opening(breaker: _Breaker, url: Url, error: ImageError) -> None:
    """Say why pictures are delayed, when a closed breaker opens."""
    if not breaker.openings:
        log.warning(
            "circuit breaker open for %s: its pictures are delayed (%s)",
            url.host,
            str(error).removeprefix(f"{url.shown}: "),
        )


class HostCircuitBreakers:
    """The breakers of one process; safe in any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._breakers: dict[str, _Breaker] = {}
        self._laters: dict[Url, int] = {}

    def require_not_open(self, url: Url) -> None:
        """Refuse a request to a host whose breaker is open.

        Raises:
            ImageError: `fetch_later`, or `fetch_failed` when the host has been down for long.
        """
        with self._lock:
            breaker = self._breakers.get(url.authority)
            wait = 0.0 if breaker is None else breaker.cool_down_ends_at - time.monotonic()
            if breaker is None or wait <= 0:
                return
            counts_as_attempt = self._is_down_for_long(breaker)
        raise ImageError(
            "fetch_failed" if counts_as_attempt else "fetch_later",
            f"{url.shown} was not requested: its host did not answer lately (circuit breaker open)",
            transient=True,
            # With jitter, or all that wait would come at once.
            retry_after_seconds=wait * random.uniform(1.0, 1.5),  # noqa: S311
            counts_as_attempt=counts_as_attempt,
        )

    def record_answer(self, url: Url) -> None:
        """Close a host's breaker: it answers."""
        with self._lock:
            self._breakers.pop(url.authority, None)
            self._laters.pop(url, None)

    def record_timeout(self, url: Url) -> None:
        """Count an answer that took too long; open the breaker at the third in a row."""
        with self._lock:
            breaker = self._breaker(url)
            breaker.timeouts += 1
            if breaker.timeouts >= TIMEOUTS_TO_OPEN:
                self._open(breaker)

    def record_failure(self, url: Url, error: ImageError) -> None:
        """Open the breaker of a host that gave no answer at all, and set in the error whether it counts as an attempt."""
        with self._lock:
            breaker = self._breaker(url)
            if breaker.down_since is None:
                breaker.down_since = time.monotonic()
            _log_opening(breaker, url, error)
            self._open(breaker)
            error.counts_as_attempt = self._is_down_for_long(breaker)
            error.retry_after_seconds = breaker.cool_down_ends_at - time.monotonic()

    def record_later(self, url: Url, error: ImageError) -> None:
        """Open the breaker of a host that asks for backoff, and set in the error whether it counts as an attempt."""
        with self._lock:
            breaker = self._breaker(url)
            _log_opening(breaker, url, error)
            self._open(breaker, error.retry_after_seconds)
            self._laters[url] = self._laters.get(url, 0) + 1
            while len(self._laters) > MAX_REMEMBERED:
                del self._laters[next(iter(self._laters))]
            error.counts_as_attempt = self._laters.get(url, 0) > FREE_LATERS
            error.retry_after_seconds = breaker.cool_down_ends_at - time.monotonic()

    def _breaker(self, url: Url) -> _Breaker:
        while len(self._breakers) > MAX_REMEMBERED:
            del self._breakers[next(iter(self._breakers))]
        return self._breakers.setdefault(url.authority, _Breaker())

    @staticmethod
    def _open(breaker: _Breaker, seconds: float | None = None) -> None:
        """Open it for a time asked for, else for its own cool-down, which doubles with each opening."""
        now = time.monotonic()
        # Requests that were under way when the first failed tell nothing new.
        if breaker.cool_down_ends_at <= now:
            breaker.openings += 1
        own = min(FIRST_COOL_DOWN_SECONDS * 2 ** (breaker.openings - 1), MAX_COOL_DOWN_SECONDS)
        breaker.cool_down_ends_at = max(
            breaker.cool_down_ends_at, now + (own if seconds is None else seconds)
        )

    @staticmethod
    def _is_down_for_long(breaker: _Breaker) -> bool:
        return breaker.down_since is not None and time.monotonic() - breaker.down_since > FREE_DOWN_SECONDS
