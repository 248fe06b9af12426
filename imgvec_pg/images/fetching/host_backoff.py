"""What is known of the hosts that pictures come from: those that do not answer are left alone for a while.

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

FIRST_REST_SECONDS = 2.0
LONGEST_REST_SECONDS = 300.0
SLOW_IN_A_ROW = 3
"""So many answers that took too long, one after the other, mean a slow host; fewer, slow pictures."""
PATIENCE_SECONDS = 600.0
"""A host that has not answered for so long is charged to its pictures: a queue must come to an end."""
FREE_LATERS = 10
"""A picture that is told "later" more often is charged for it: perhaps it alone is."""
MAX_REMEMBERED = 10_000


@dataclass
class _Host:
    rests: int = 0
    slow: int = 0
    awake_at: float = 0.0
    down_since: float | None = None


def _tell_once(host: _Host, url: Url, error: ImageError) -> None:
    """Say why pictures are delayed, when a host is first found not to be ready."""
    if not host.rests:
        log.warning("waiting for %s (%s)", url.host, str(error).removeprefix(f"{url.shown}: "))


class HostCircuitBreakers:
    """A process's own notes; safe in any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}
        self._laters: dict[Url, int] = {}

    def require_awake(self, url: Url) -> None:
        """Refuse to ask a host that is left alone.

        Raises:
            ImageError: `fetch_later`, or `fetch_failed` when it has been down for long.
        """
        with self._lock:
            host = self._hosts.get(url.authority)
            wait = 0.0 if host is None else host.awake_at - time.monotonic()
            if host is None or wait <= 0:
                return
            counts_as_attempt = self._is_down_for_long(host)
        raise ImageError(
            "fetch_failed" if counts_as_attempt else "fetch_later",
            f"{url.shown} is not asked for: its host did not answer lately",
            transient=True,
            # With jitter, or all that wait would come at once.
            retry_after_seconds=wait * random.uniform(1.0, 1.5),  # noqa: S311
            counts_as_attempt=counts_as_attempt,
        )

    def note_answer(self, url: Url) -> None:
        """Note that a host answers: it is up."""
        with self._lock:
            self._hosts.pop(url.authority, None)
            self._laters.pop(url, None)

    def note_slow(self, url: Url) -> None:
        """Note an answer that took too long."""
        with self._lock:
            host = self._host(url)
            host.slow += 1
            if host.slow >= SLOW_IN_A_ROW:
                self._rest(host)

    def note_down(self, url: Url, error: ImageError) -> None:
        """Note that a host gave no answer at all, and say in the error whether its picture is charged for that."""
        with self._lock:
            host = self._host(url)
            if host.down_since is None:
                host.down_since = time.monotonic()
            _tell_once(host, url, error)
            self._rest(host)
            error.counts_as_attempt = self._is_down_for_long(host)
            error.retry_after_seconds = host.awake_at - time.monotonic()

    def note_later(self, url: Url, error: ImageError) -> None:
        """Note that a host asks for backoff, and say in the error whether its picture is charged for that."""
        with self._lock:
            host = self._host(url)
            _tell_once(host, url, error)
            self._rest(host, error.retry_after_seconds)
            self._laters[url] = self._laters.get(url, 0) + 1
            while len(self._laters) > MAX_REMEMBERED:
                del self._laters[next(iter(self._laters))]
            error.counts_as_attempt = self._laters.get(url, 0) > FREE_LATERS
            error.retry_after_seconds = host.awake_at - time.monotonic()

    def _host(self, url: Url) -> _Host:
        while len(self._hosts) > MAX_REMEMBERED:
            del self._hosts[next(iter(self._hosts))]
        return self._hosts.setdefault(url.authority, _Host())

    @staticmethod
    def _rest(host: _Host, seconds: float | None = None) -> None:
        now = time.monotonic()
        # Those that were under way when the first failed tell nothing new.
        if host.awake_at <= now:
            host.rests += 1
        own = min(FIRST_REST_SECONDS * 2 ** (host.rests - 1), LONGEST_REST_SECONDS)
        host.awake_at = max(host.awake_at, now + (own if seconds is None else seconds))

    @staticmethod
    def _is_down_for_long(host: _Host) -> bool:
        return host.down_since is not None and time.monotonic() - host.down_since > PATIENCE_SECONDS
