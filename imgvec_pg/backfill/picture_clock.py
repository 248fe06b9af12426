"""Clock of the threads that prepare pictures: seconds each spent fetching and decoding, without waiting for other pictures."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class _Spent(threading.local):
    """Seconds that this thread spent so far."""

    fetching = 0.0
    decoding = 0.0


_spent = _Spent()


@contextmanager
def fetching() -> Iterator[None]:
    """Count a block as fetching, whatever becomes of it."""
    began = time.perf_counter()
    try:
        yield
    finally:
        _spent.fetching += time.perf_counter() - began


@contextmanager
def decoding() -> Iterator[None]:
    """Count a block as decoding, whatever becomes of it."""
    began = time.perf_counter()
    try:
        yield
    finally:
        _spent.decoding += time.perf_counter() - began


@dataclass
class PictureSeconds:
    """Seconds that the threads of one pipeline spent, added up; thread-safe."""

    fetching: float = 0.0
    decoding: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Add what this thread spends within the block."""
        before = (_spent.fetching, _spent.decoding)
        try:
            yield
        finally:
            with self._lock:
                self.fetching += _spent.fetching - before[0]
                self.decoding += _spent.decoding - before[1]
