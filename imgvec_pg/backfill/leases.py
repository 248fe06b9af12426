"""Leases held by a worker, renewed by its heartbeat, and its cursor in the queue; shared by its threads."""

import threading
import uuid
from collections.abc import Callable, Sequence

from imgvec_pg.backfill.backoff import PollingLimit
from imgvec_pg.database.connect import Connection
from imgvec_pg.store.queue.jobs import BEGINNING, END, Job, QueuePosition, extend_leases, place_of

LOOK_AGAIN_SECONDS = 0.1
LOOK_FROM_THE_BEGINNING_SECONDS = 1.0
"""Jobs given back, and those whose transaction took long to commit, lie behind a worker's place in the queue."""


class HeldLeases:
    """Tokens of the leases held, each with the queue position where its jobs begin."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._tokens: dict[uuid.UUID, QueuePosition] = {}

    def add(self, token: uuid.UUID, place: QueuePosition) -> None:
        """Note a lease, its jobs from this place on; or note a later place than before."""
        with self._changed:
            self._tokens[token] = place

    def place(self) -> QueuePosition:
        """Return a place that no job held lies before."""
        with self._changed:
            places = list(self._tokens.values())
        return QueuePosition(
            min((place.first_change for place in places), default=END.first_change),
            min((place.first_fill for place in places), default=END.first_fill),
        )

    def discard(self, token: uuid.UUID) -> None:
        """Forget a lease."""
        with self._changed:
            self._tokens.pop(token, None)
            self._changed.notify_all()

    def held(self) -> list[uuid.UUID]:
        """Return the tokens held."""
        with self._changed:
            return list(self._tokens)

    def renew(self, connection: Connection, collection_id: int, lease_seconds: float) -> None:
        """Renew all leases held, for another `lease_seconds` from now."""
        # First the place: a lease taken between the two is young.
        place, held = self.place(), self.held()
        extend_leases(connection, collection_id, held, lease_seconds, place)

    def wait_until_only(self, token: uuid.UUID, give_up: Callable[[], bool]) -> bool:
        """Wait until all others are gone; False when `give_up` says so first."""
        return self._wait(lambda: self._tokens.keys() <= {token}, give_up)

    def wait_until_gone(self, token: uuid.UUID, give_up: Callable[[], bool]) -> bool:
        """Wait until this one is gone; False when `give_up` says so first."""
        return self._wait(lambda: token not in self._tokens, give_up)

    def _wait(self, done: Callable[[], bool], give_up: Callable[[], bool]) -> bool:
        with self._changed:
            while not done():
                if give_up():
                    return False
                self._changed.wait(LOOK_AGAIN_SECONDS)
            return True


class QueueCursor:
    """Cursor in one collection's queue; outlives the sessions of a worker."""

    def __init__(self) -> None:
        self._place = BEGINNING
        self._looking_back = PollingLimit(LOOK_FROM_THE_BEGINNING_SECONDS)

    def next(self) -> QueuePosition:
        """Return where to begin: from time to time, from the beginning."""
        return BEGINNING if self._looking_back.is_due() else self._place

    def is_known(self) -> bool:
        """Whether there is another place to begin at than the beginning."""
        return self._place != BEGINNING

    def note(self, place: QueuePosition, jobs: Sequence[Job], seconds: float) -> None:
        """Note what was found from a place, and how long that took."""
        if place == BEGINNING:
            self._looking_back.took(seconds)
        self._place = place_of(jobs, self._place)
