"""Hints and help with the command as it is typed here: `python manage.py imgvec`, `flask imgvec`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from imgvec_pg.settings import typed_command
from imgvec_pg.text import as_typed

PRINTS_ROWS = frozenset({"search", "page", "recommend", "classify", "matrix", "fuse"})
"""Commands whose stdout has what applications wrote; it is left as it is."""


class _TypedStream:
    """A text stream that has what is written to it advise commands as they are typed here."""

    def __init__(self, stream: TextIO, command: str) -> None:
        self._stream = stream
        self._command = command

    def write(self, text: str) -> int:
        """Write."""
        return self._stream.write(as_typed(text, self._command))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the stream's own
        return getattr(self._stream, name)


@contextmanager
def commands_as_typed(arguments: Sequence[str]) -> Iterator[None]:
    """Have stdout and stderr advise commands as IMGVEC_COMMAND says, for as long as the block lasts."""
    command = typed_command()
    if command is None:
        yield
        return
    streams = sys.stdout, sys.stderr
    sys.stderr = _TypedStream(sys.stderr, command)
    if not (arguments and arguments[0] in PRINTS_ROWS):
        sys.stdout = _TypedStream(sys.stdout, command)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
