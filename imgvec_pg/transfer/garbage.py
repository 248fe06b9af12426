"""Python's search for reference cycles while rows pass through by the hundred thousand."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

FEW = (100_000, 20, 50)
"""Objects between two looks at the youngest, and the older generations' looks; Python's own first number is 700 to 2,000."""


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Look seldom for cycles, and never among what is there already: modules and classes, hundreds of thousands of objects.

    A chunk of rows is thousands of tuples, of which none is part of a cycle; every few hundred had Python look at the youngest,
    and at everything else from time to time: 0.5 to 2 us of processor time a row, of 6 to 15. It is the whole process's setting:
    commands use it and functions do not.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*FEW)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
