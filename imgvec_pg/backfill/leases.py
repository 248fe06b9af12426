"""The leases that a worker holds, shared by its threads."""

import threading
import uuid
from collections.abc import Callable

LOOK_AGAIN_SECONDS = 0.1


class LeaseBook:
    """The tokens a worker holds right now, each with the smallest id of its jobs."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._tokens: dict[uuid.UUID, int] = {}

    def add(self, token: uuid.UUID) -> None:
        """Note a lease."""
        with self._changed:
            self._tokens[token] = 0

    def begins_at(self, token: uuid.UUID, first_id: int) -> None:
        """Note the smallest id of a lease's jobs."""
        with self._changed:
            if token in self._tokens:
                self._tokens[token] = first_id

    def first_id(self) -> int:
        """Return an id that no job held is below; 0 while a claim is on its way."""
        with self._changed:
            return min(self._tokens.values(), default=0)

    def discard(self, token: uuid.UUID) -> None:
        """Forget a lease."""
        with self._changed:
            self._tokens.pop(token, None)
            self._changed.notify_all()

    def held(self) -> list[uuid.UUID]:
        """Return the tokens held."""
        with self._changed:
            return list(self._tokens)

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
