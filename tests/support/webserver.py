"""A web server on loopback whose paths behave badly in every way there is."""

import contextlib
import gzip
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

MEBIBYTE = 1024 * 1024


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by its path."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0].strip("/")
        path = path if self.server.echoes else unquote(path)
        self.server.asked.append(self.path)
        name, _, argument = path.partition("/")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, f"answer_{name}", self.answer_missing)(argument)
        self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def begin(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.begin(status, Content_Length=str(len(body)), **headers)
        self.wfile.write(body)

    def answer_missing(self, argument: str) -> None:
        self.send(b"", 404)

    def answer_picture(self, argument: str) -> None:
        self.send(self.server.picture)

    def answer_chunked(self, argument: str) -> None:
        self.begin(Transfer_Encoding="chunked")
        half = len(self.server.picture) // 2
        for part in (self.server.picture[:half], self.server.picture[half:], b""):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def answer_badchunk(self, argument: str) -> None:
        """Announce a chunk whose size is no number."""
        self.begin(Transfer_Encoding="chunked")
        self.wfile.write(b"xyz\r\n" + self.server.picture)

    def answer_zipped(self, argument: str) -> None:
        self.send(gzip.compress(self.server.picture), Content_Encoding="gzip")

    def answer_status(self, argument: str) -> None:
        code, _, after = argument.partition("/")
        self.send(b"", int(code), **({"Retry_After": after} if after else {}))

    def answer_busy(self, argument: str) -> None:
        """Say "later" twice."""
        if self.server.asked.count(self.path) <= 2:
            self.send(b"", 503 if argument == "1" else 429, Retry_After="1")
        else:
            self.send(self.server.picture)

    def answer_to(self, argument: str) -> None:
        """Redirect; the argument is the target with its slashes as bars."""
        self.send(b"", 302, Location=argument.replace("%7C", "|").replace("|", "/"))

    def answer_loop(self, argument: str) -> None:
        self.send(b"", 302, Location="/loop")

    def answer_trickle(self, argument: str) -> None:
        """Send a byte every 50 ms."""
        self.begin(Content_Length="1000000")
        for _ in range(400):
            self.wfile.write(b"\xff")
            self.wfile.flush()
            if self.server.stop.wait(0.05):
                return

    def answer_slowheaders(self, argument: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(400):
            self.wfile.write(b"X: 1\r\n")
            self.wfile.flush()
            if self.server.stop.wait(0.05):
                return

    def answer_silent(self, argument: str) -> None:
        self.server.stop.wait(30)

    def answer_endless(self, argument: str) -> None:
        self.begin()
        for _ in range(200):
            self.wfile.write(b"\xff" * MEBIBYTE)

    def answer_huge(self, argument: str) -> None:
        """Announce a terabyte."""
        self.begin(Content_Length=str(1 << 40))

    def answer_short(self, argument: str) -> None:
        """Announce more than is sent."""
        self.begin(Content_Length=str(len(self.server.picture) + 1000))
        self.wfile.write(self.server.picture)

    def answer_bomb(self, argument: str) -> None:
        """Send 20 KB that become 20 MB."""
        self.send(gzip.compress(b"\0" * 20 * MEBIBYTE, 9), Content_Encoding="gzip")

    def answer_nonsense(self, argument: str) -> None:
        self.wfile.write(b"220 smtp.example.com ESMTP\r\n")

    def answer_headers(self, argument: str) -> None:
        """Send headers without end."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * MEBIBYTE)


class Server(http.server.ThreadingHTTPServer):
    """The server, what it was asked for, and the picture that it has."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, picture: bytes, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), Handler)
        self.picture = picture
        self.asked: list[str] = []
        self.echoes = False
        self.stop = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def web_server(picture: bytes) -> Iterator[Server]:
    """Serve meanwhile."""
    server = Server(picture)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
        time.sleep(0.06)  # what trickles looks once more
