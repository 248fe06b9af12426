"""Return freed memory to the system: glibc keeps what large images took, in a heap for each thread that held one."""

import ctypes
import threading
import time

M_ARENA_MAX = -8  # malloc.h
HEAPS = 2
"""Of all threads together. Python and torch seldom wait for one another here: small objects have an allocator of their own."""
PAUSE_SECONDS = 5.0
"""Between two times: each costs milliseconds, and what others will soon ask for again."""

_lock = threading.Lock()
_done_at = 0.0


def keep_few_heaps() -> None:
    """Have threads that start from now on share their heaps; a no-op with other C libraries."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, HEAPS)


def give_back_memory() -> None:
    """Return this process's free memory to the system, unless that was done a moment ago; a no-op with other C libraries."""
    global _done_at
    with _lock:
        now = time.monotonic()
        if now - _done_at < PAUSE_SECONDS:
            return
        _done_at = now
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
