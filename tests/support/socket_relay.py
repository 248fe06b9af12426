"""Passes bytes between a PostgreSQL client and a server's socket, and holds or cuts answers as a test wants."""

import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class SocketRelay:
    """Listens as a server in a folder of its own; what is passed on afterwards follows the attributes.

    Attributes:
        folder: What clients name as host.
        marks: What a question has that is looked for.
        asked: How many of these have come.
        before_answer: Called before a part of an answer is passed on, once a question has come.
        answer_bytes: Bytes of answers to questions that are still passed on, then the connection ends; None for all.
    """

    def __init__(self, folder: Path, target: Path, marks: bytes) -> None:
        self.folder = folder
        self.marks = marks
        self.asked = 0
        self.before_answer: Callable[[], object] = lambda: None
        self.answer_bytes: int | None = None
        self._target = str(target)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / target.name))
        (folder / target.name).chmod(0o777)
        self._listening.listen()
        self._sockets = [self._listening]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        """End all connections."""
        _end(self._listening)
        # It adds no more afterwards.
        self._threads[0].join()
        _end(*self._sockets[1:])
        for thread in self._threads[1:]:
            thread.join()
        for each in self._sockets:
            each.close()

    def _start(self, run: Callable[..., None], *values: object) -> None:
        self._threads.append(threading.Thread(target=run, args=values, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                self._sockets += [client, server]
                server.connect(self._target)
                is_asked = threading.Event()
                self._start(self._ask, client, server, is_asked)
                self._start(self._answer, server, client, is_asked)

    def _ask(self, client: socket.socket, server: socket.socket, is_asked: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 20):
                if self.marks in data:
                    self.asked += data.count(self.marks)
                    is_asked.set()
                server.sendall(data)
        _end(client, server)

    def _answer(self, server: socket.socket, client: socket.socket, is_asked: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 20):
                if is_asked.is_set():
                    self.before_answer()
                    if self.answer_bytes is not None:
                        data, self.answer_bytes = data[: self.answer_bytes], self.answer_bytes - len(data)
                client.sendall(data)
                if is_asked.is_set() and self.answer_bytes is not None and self.answer_bytes <= 0:
                    break
        _end(client, server)


def _end(*both: socket.socket) -> None:
    for each in both:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def socket_relay(target: Path, marks: bytes) -> Iterator[SocketRelay]:
    """Give one before the socket of a server, such as /run/postgresql/.s.PGSQL.5432."""
    # A socket's path has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="imgvec-relay-", dir="/tmp"))
    # The server that connects may run as another user.
    folder.chmod(0o755)
    relay = SocketRelay(folder, target, marks)
    try:
        yield relay
    finally:
        relay.close()
        shutil.rmtree(folder, ignore_errors=True)
