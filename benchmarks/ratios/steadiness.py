"""How steady a machine is: the same loop again and again, by its own processor time.

Neighbours on one host share caches, memory and the frequency of its cores: on such a machine the processor time of the same work
changes too, by a third within minutes on one that this was written on. No figure says more than that.
"""

import statistics
import time

ADDITIONS = 1_000_000
"""A twentieth of a second or a tenth."""
LOOPS = 5


def loop_seconds() -> float:
    """Return the processor time of one fixed loop in seconds: the median of some, 0.5 s in all."""
    taken = []
    for _ in range(LOOPS):
        began, total = time.process_time(), 0
        for number in range(ADDITIONS):
            total += number
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def varied(seconds: list[float]) -> float:
    """Return by how much longer the slowest took than the fastest, 0.25 for a quarter."""
    return max(seconds) / min(seconds) - 1
