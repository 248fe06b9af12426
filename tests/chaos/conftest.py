"""Servers of a test's own: to be crashed, filled, or reached over TCP."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from own import MakeServer, own_server


@pytest.fixture
def make_server() -> Iterator[MakeServer]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(own_server(**options))
