"""A TCP proxy on loopback that can stop forwarding in both directions without closing anything, or be slow."""

import select
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards connections to a server of this machine until its `with` block ends.

    Args:
        target: Its port, or the path of its Unix socket, which holds less back than a TCP connection does.
        bytes_per_second: What comes from the server, all connections together, at most.

    Attributes:
        port: Where it listens.
        stalls_all: Nothing is forwarded, whenever the connection was made; new ones are accepted.
    """

    def __init__(self, target: int | str, bytes_per_second: float | None = None) -> None:
        self.target = target
        self.bytes_per_second = bytes_per_second
        self._servers: set[socket.socket] = set()
        self.stalls_all = False
        self._stalled: set[socket.socket] = set()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._forward, daemon=True)

    def stall_connections(self) -> None:
        """Forward nothing any more on the connections there are; new ones work."""
        self._stalled = set(self._pairs)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        for each in (self._listener, *self._pairs):
            each.close()

    def _forward(self) -> None:
        while not self._done.is_set():
            # What is stalled is not even read: to its sender the network just takes no more.
            open_ones = [] if self.stalls_all else [one for one in self._pairs if one not in self._stalled]
            ready, _, _ = select.select([self._listener, *open_ones], [], [], 0.05)
            for one in ready:
                if one is self._listener:
                    client, _ = self._listener.accept()
                    server = self._connect()
                    self._servers.add(server)
                    self._pairs.update({client: server, server: client})
                elif one in self._pairs:
                    self._pass_on(one)

    def _connect(self) -> socket.socket:
        if isinstance(self.target, int):
            return socket.create_connection(("127.0.0.1", self.target))
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.target)
        return server

    def _pass_on(self, one: socket.socket) -> None:
        other = self._pairs[one]
        data = b""
        with suppress(OSError):
            data = one.recv(65536)
            if data:
                if self.bytes_per_second is not None and one in self._servers:
                    time.sleep(len(data) / self.bytes_per_second)
                other.sendall(data)
        if not data:
            for each in (one, other):
                del self._pairs[each]
                each.close()
