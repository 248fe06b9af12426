"""A server on loopback that sends what a test says, byte by byte, and notes which connection each request came by."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = bytes | Callable[[socket.socket], None]
"""Bytes leave the connection open; a function does as it likes, and closes it when it raises `Hangup`."""


class Hangup(Exception):
    """Close the connection now."""


class RawServer:
    """Answers by path.

    Attributes:
        answers: What to send for a path; others get `default`.
        requests: Number of the connection and path of each request.
        ended: Numbers of the connections that the client has closed.
        hung_up: Numbers of those that were closed here, once they are.
    """

    def __init__(self, default: Answer, context: ssl.SSLContext | None = None) -> None:
        self.default = default
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[int, str]] = []
        self.ended: set[int] = set()
        self.hung_up: set[int] = set()
        self.opened = 0
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._connections: list[socket.socket] = []

    def serve(self) -> None:
        """Accept until it is closed."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.opened += 1
                self._connections.append(connection)
                threading.Thread(target=self._serve_one, args=(connection, self.opened), daemon=True).start()

    def close(self) -> None:
        """Close all."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve_one(self, connection: socket.socket, number: int) -> None:
        try:
            with connection:
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
                with contextlib.closing(connection):
                    self._answer_all(connection, number)
            self.ended.add(number)
        except Hangup:
            self.hung_up.add(number)
        except OSError:  # It closed before it had read everything.
            self.ended.add(number)

    def _answer_all(self, connection: socket.socket, number: int) -> None:
        buffered = b""
        while True:
            while b"\r\n\r\n" not in buffered:
                if not (data := connection.recv(65536)):
                    return
                buffered += data
            head, _, buffered = buffered.partition(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            self.requests.append((number, path))
            answer = self.answers.get(path, self.default)
            if callable(answer):
                answer(connection)
            else:
                connection.sendall(answer)


@contextmanager
def raw_server(default: Answer, context: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Serve meanwhile."""
    server = RawServer(default, context)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
