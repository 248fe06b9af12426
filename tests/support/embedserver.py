"""A server of embeddings on loopback that can be told to answer badly; the model is `test`, by one of three dialects."""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

from imgvec_pg.embedding.light_embedder import LightEmbedder

Answer = dict[str, Any]
Fault = Callable[["FaultyServer", Answer, list[Any]], Any]
"""Is given the good answer and the inputs; returns what to send: a dict, bytes, or (status, body, headers)."""


class FaultyServer(ThreadingHTTPServer):
    """Answers well until it is told otherwise.

    Attributes:
        fault: What becomes of an answer, None for nothing.
        dialect: "modality", "objects" or "messages"; "text": embeds the text of data URLs.
        seen: (number of inputs, headers) of each request.
        below: Path that /embeddings is below.
        most_at_once: Requests that were under way together.
    """

    daemon_threads = True
    fault: Fault | None = None
    dialect = "modality"
    model = LightEmbedder()
    below = "/v1"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[int, dict[str, str], Any]] = []
        self.lock = threading.Lock()
        self.under_way = self.most_at_once = 0

    @property
    def name(self) -> str:
        """The model as imgvec is told it."""
        return f"http:test@http://127.0.0.1:{self.server_address[1]}{self.below}"

    def wait_for_company(self, seconds: float) -> None:
        """Return once two requests have been under way together, or after this long."""
        deadline = time.monotonic() + seconds
        while self.most_at_once < 2 and time.monotonic() < deadline:
            time.sleep(0.005)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: without it the second waits 40 ms for the first to be acknowledged.
    disable_nagle_algorithm = True
    server: FaultyServer

    def do_POST(self) -> None:
        server = self.server
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.under_way += 1
            server.most_at_once = max(server.most_at_once, server.under_way)
        try:
            if self.path == f"{server.below}/embeddings":
                self._answer(server, asked)
            else:
                self._send(404, b'{"detail": "Not Found"}', {})
        finally:
            with server.lock:
                server.under_way -= 1

    def _answer(self, server: FaultyServer, asked: dict[str, Any]) -> None:
        inputs, is_image = read(server.dialect, asked)
        with server.lock:
            server.seen.append((len(inputs), dict(self.headers), asked))
        if inputs == [None]:
            self._send(422, b'{"detail": "another form is expected"}', {})
            return
        vectors = (
            server.model.embed_images([picture(url) for url in inputs])
            if is_image
            else server.model.embed_texts(inputs)
        )
        good: Answer = {
            "model": "test",
            "data": [{"index": place, "embedding": vector.tolist()} for place, vector in enumerate(vectors)],
        }
        answer = good if server.fault is None else server.fault(server, good, inputs)
        if isinstance(answer, tuple):
            self._send(*answer)
            return
        self._send(200, answer if isinstance(answer, bytes) else json.dumps(answer).encode(), {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def read(dialect: str, asked: dict[str, Any]) -> tuple[list[Any], bool]:
    """Return the inputs and whether they are pictures; [None] where the dialect has another form."""
    if dialect == "messages":
        if "messages" in asked:
            (message,) = asked["messages"]
            return [
                part["image_url"]["url"] for part in message["content"] if part["type"] == "image_url"
            ], True
        # As vLLM has it: what is no message is text, whatever else the request says.
        is_text = all(isinstance(each, str) for each in asked["input"])
        return (asked["input"], False) if is_text else ([None], False)
    if "messages" in asked:
        return [None], False
    if dialect == "objects":
        if not all(isinstance(each, dict) for each in asked["input"]):
            return [None], False
        is_image = "image" in asked["input"][0]
        return [each["image" if is_image else "text"] for each in asked["input"]], is_image
    if not all(isinstance(each, str) for each in asked["input"]):
        return [None], False
    return asked["input"], asked.get("modality") == "image" and dialect != "text"


def picture(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")


@contextmanager
def embedding_server(dialect: str = "modality") -> Iterator[FaultyServer]:
    """Serve until left."""
    with FaultyServer() as server:
        server.dialect = dialect
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def as_base64(server: FaultyServer, answer: Answer, inputs: list[Any]) -> Answer:
    for entry in answer["data"]:
        entry["embedding"] = base64.b64encode(np.asarray(entry["embedding"], "<f4").tobytes()).decode()
    return answer


def in_another_order(server: FaultyServer, answer: Answer, inputs: list[Any]) -> Answer:
    answer["data"].reverse()
    return answer


def one_too_few(server: FaultyServer, answer: Answer, inputs: list[Any]) -> Answer:
    answer["data"] = answer["data"][:-1]
    return answer


def an_index_twice(server: FaultyServer, answer: Answer, inputs: list[Any]) -> Answer:
    for entry in answer["data"]:
        entry["index"] = 0
    answer["data"] = answer["data"] * (1 if len(answer["data"]) > 1 else 2)
    return answer


def another_dimension(server: FaultyServer, answer: Answer, inputs: list[Any]) -> Answer:
    for entry in answer["data"]:
        entry["embedding"] = entry["embedding"][:24]
    return answer


def another_model(server: FaultyServer, answer: Answer, inputs: list[Any]) -> Answer:
    for entry in answer["data"]:
        entry["embedding"] = entry["embedding"][::-1]
    return answer


def no_json(server: FaultyServer, answer: Answer, inputs: list[Any]) -> bytes:
    return b"<html>Welcome to our gateway</html>"


def slow(server: FaultyServer, answer: Answer, inputs: list[Any]) -> Answer:
    time.sleep(3)
    return answer


def status(code: int, body: bytes = b"", **headers: str) -> Fault:
    """Return a fault that is always this status."""

    def fault(server: FaultyServer, answer: Answer, inputs: list[Any]) -> tuple[int, bytes, dict[str, str]]:
        return code, body, {name.replace("_", "-"): value for name, value in headers.items()}

    return fault


def only_at_first(fault: Fault, times: int) -> Fault:
    """Return a fault that ends after so many requests."""
    left = [times]

    def now_and_then(server: FaultyServer, answer: Answer, inputs: list[Any]) -> Any:
        left[0] -= 1
        return fault(server, answer, inputs) if left[0] >= 0 else answer

    return now_and_then


def at_most(inputs_allowed: int) -> Fault:
    """Return a fault that refuses larger requests with 413."""

    def fault(server: FaultyServer, answer: Answer, inputs: list[Any]) -> Any:
        return answer if len(inputs) <= inputs_allowed else (413, b'{"message": "too large"}', {})

    return fault
