"""A server of KServe v2 on loopback that can be told to answer badly: `test` embeds pictures, `words` words."""

import base64
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import embedserver
import numpy as np
from embedserver import Answer, FaultyServer, Handler

JSON_LENGTH = "Inference-Header-Content-Length"
KINDS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}


class KServeServer(FaultyServer):
    """Answers well until it is told otherwise.

    Attributes:
        about: What is said of each model; its first output is the right one.
        extensions: Of the server, "binary_tensor_data" for raw bytes.
        takes: "base64" or "raw": what an element of BYTES must be.
        most: Pictures that a request may hold; more are refused with 400, as Triton does.
        gets: Paths that were asked for by GET.
    """

    takes = "base64"
    most = 64

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = KServeHandler
        self.extensions: list[str] = []
        self.gets: list[str] = []
        taken = {"name": "picture", "datatype": "BYTES", "shape": [-1, 1]}
        given = {"name": "embedding", "datatype": "FP32", "shape": [-1, 48]}
        self.about: dict[str, Any] = {
            name: {"name": name, "platform": "test", "inputs": [taken], "outputs": [given]}
            for name in ("test", "words")
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def name(self) -> str:
        return f"http:test@{self.url}"


class KServeHandler(Handler):
    server: KServeServer

    def do_GET(self) -> None:
        self.server.gets.append(self.path)
        model = self.path.removeprefix("/v2/models/")
        if self.path == "/v2":
            self._send(200, json.dumps({"name": "test", "extensions": self.server.extensions}).encode(), {})
        elif model in self.server.about:
            self._send(200, json.dumps(self.server.about[model]).encode(), {})
        else:
            self._send(404, b'{"error": "unknown"}', {})

    def do_POST(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        model = self.path.removeprefix("/v2/models/").removesuffix("/infer")
        if model not in server.about or not self.path.endswith("/infer"):
            self._send(404, b'{"error": "unknown"}', {})
            return
        length = int(self.headers.get(JSON_LENGTH, len(body)))
        asked = json.loads(body[:length])
        (tensor,) = asked["inputs"]
        elements = read_elements(tensor, body[length:])
        listed = server.about[model]["inputs"] or [{"shape": [-1]}]
        assert tensor["shape"] == [len(elements), *(1 for _ in listed[0]["shape"][1:])]
        with server.lock:
            server.seen.append((len(elements), dict(self.headers), asked))
        if len(elements) > server.most:
            self._send(400, b'{"error": "batch-size must be <= %d"}' % server.most, {})
            return
        try:
            vectors = self._vectors(model, tensor, elements)
        except (ValueError, OSError):
            self._send(400, b'{"error": "cannot read the elements"}', {})
            return
        good, behind = answer_of(server.about[model], asked, vectors)
        answer = good if server.fault is None else server.fault(server, good, elements)
        if isinstance(answer, tuple):
            self._send(*answer)
            return
        head = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self._send(200, head + behind, {JSON_LENGTH: str(len(head))} if behind else {})

    def _vectors(
        self, model: str, tensor: dict[str, Any], elements: Sequence[bytes]
    ) -> "np.ndarray[Any, Any]":
        if model == "words":
            return self.server.model.embed_texts([element.decode() for element in elements])
        if self.server.takes == "base64":
            elements = [base64.b64decode(element, validate=True) for element in elements]
        return self.server.model.embed_images([opened(element) for element in elements])


def opened(file: bytes) -> Any:
    return embedserver.picture("," + base64.b64encode(file).decode())


def read_elements(tensor: dict[str, Any], behind: bytes) -> list[bytes]:
    """Return the elements of BYTES, which stand in the JSON or behind it."""
    if "data" in tensor:
        return [text.encode() for text in tensor["data"]]
    assert tensor["parameters"]["binary_data_size"] == len(behind)
    found = []
    while behind:
        size = int.from_bytes(behind[:4], "little")
        found.append(behind[4 : 4 + size])
        behind = behind[4 + size :]
    return found


def answer_of(about: Answer, asked: Answer, vectors: "np.ndarray[Any, Any]") -> tuple[Answer, bytes]:
    """Return the JSON of an answer with the outputs that were asked for, and what follows it."""
    wanted = {output["name"]: output.get("parameters", {}) for output in asked.get("outputs", [])}
    outputs, behind = [], b""
    for place, output in enumerate(about["outputs"] or [{"name": "embedding", "datatype": "FP32"}]):
        if wanted and output["name"] not in wanted:
            continue
        numbers = np.roll(vectors, place, axis=1)
        entry: Answer = {"name": output["name"], "datatype": output["datatype"], "shape": list(vectors.shape)}
        everywhere = asked.get("parameters", {}).get("binary_data_output", False)
        if wanted.get(output["name"], {}).get("binary_data", everywhere):
            raw = numbers.astype(KINDS[output["datatype"]]).tobytes()
            entry["parameters"] = {"binary_data_size": len(raw)}
            behind += raw
        else:
            entry["data"] = numbers.ravel().tolist()
        outputs.append(entry)
    return {"model_name": about["name"], "outputs": outputs}, behind


@contextmanager
def kserve_server() -> Iterator[KServeServer]:
    """Serve until left."""
    with KServeServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
