"""Parts of an export on their way: as many are read and written at once as there are connections to read by."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Protocol, Self

import psycopg

from imgvec_pg.database.connect import Connection
from imgvec_pg.transfer.part_reader import KeyRange, made_ahead
from imgvec_pg.transfer.row_chunks import RowChunk

CANCEL_SECONDS = 5.0


class Writer(Protocol):
    """What writes parts: PartWriter, LanceWriter."""

    def write(self, number: int, chunks: Iterator[RowChunk], wrote: Callable[[int], None]) -> int:
        """Write a part, and return its rows."""

    def keep(self, number: int) -> None:
        """Make it last."""


class PartPool:
    """Threads that read and write parts, a connection each; what is done is kept in the order of the parts' numbers.

    Threads are enough: libpq, NumPy and pyarrow's writer do their work without the interpreter's lock, under which a row
    spends 1.5 us of 6.5.

    Args:
        read: Gives a range's rows over a connection.
        done: Rows that are there already.
        progress: Called with all rows written so far.
    """

    def __init__(
        self,
        writer: Writer,
        readers: Sequence[Connection],
        read: Callable[[Connection, KeyRange], Generator[RowChunk]],
        done: int,
        progress: Callable[[int], None],
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._read = read
        self._done = done
        self._progress = progress
        self._free: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        for reader in readers:
            self._free.put(reader)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._under_way: deque[tuple[int, Future[int]]] = deque()
        self._threads = ThreadPoolExecutor(len(readers), thread_name_prefix="imgvec-export-write")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """End what is under way; none of it is kept."""
        self._stopped.set()
        for _, part in self._under_way:
            part.cancel()
        if self._under_way:
            for reader in self._readers:
                with suppress(psycopg.Error):
                    reader.cancel_safe(timeout=CANCEL_SECONDS)
        self._threads.shutdown()

    def submit(self, number: int, keys: KeyRange) -> None:
        """Have a part read and written; waits while more are under way than are read at once, and one.

        Raises:
            What reading, writing and keeping an earlier part raises.
        """
        while len(self._under_way) > len(self._readers):
            self._keep_first()
        self._under_way.append((number, self._threads.submit(self._write, number, keys)))

    def finish(self) -> None:
        """Wait until all parts are kept.

        Raises:
            What reading, writing and keeping one raises.
        """
        while self._under_way:
            self._keep_first()

    def _keep_first(self) -> None:
        number, part = self._under_way[0]
        rows = part.result()
        self._under_way.popleft()
        if rows:
            self._writer.keep(number)

    def _write(self, number: int, keys: KeyRange) -> int:
        reader = self._free.get()
        try:
            with closing(made_ahead(self._read(reader, keys))) as chunks:
                return self._writer.write(number, self._until_stopped(chunks), self._wrote)
        finally:
            self._free.put(reader)

    def _until_stopped(self, chunks: Iterator[RowChunk]) -> Iterator[RowChunk]:
        for chunk in chunks:
            if self._stopped.is_set():
                raise RuntimeError("the export has ended meanwhile")
            yield chunk

    def _wrote(self, rows: int) -> None:
        with self._lock:
            self._done += rows
            self._progress(self._done)
