"""A stand-in for Qdrant: it speaks the part of its REST API that an import reads, as its documentation has it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class StandIn:
    """One collection.

    Attributes:
        vectors: What `config.params.vectors` says.
        points: Each with id, payload and vector, in the order of their ids.
        key: Expected in the header api-key; None for none.
        fails_at: The page that is answered by a failure, 500.
        asked: Bodies of the scroll requests.
    """

    vectors: dict[str, Any]
    points: list[dict[str, Any]]
    key: str | None = None
    fails_at: int | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""


@contextmanager
def served(stand_in: StandIn) -> Iterator[StandIn]:
    """Serve one on a port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def answer(self, result: object, status: int = 200) -> None:
            body = json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            if self.path != "/collections/shoes":
                self.answer(None, 404)
            elif stand_in.key is not None and self.headers.get("api-key") != stand_in.key:
                self.answer(None, 401)
            else:
                self.answer({"config": {"params": {"vectors": stand_in.vectors}}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/points/count"):
                self.answer({"count": len(stand_in.points)})
                return
            stand_in.asked.append(body)
            if stand_in.fails_at == len(stand_in.asked):
                self.answer(None, 500)
                return
            start = next((n for n, p in enumerate(stand_in.points) if p["id"] == body.get("offset")), 0)
            end = start + min(body["limit"], 7)
            page = [
                {
                    "id": point["id"],
                    "payload": point["payload"] if body["with_payload"] else None,
                    **({"vector": point["vector"]} if body["with_vector"] else {}),
                }
                for point in stand_in.points[start:end]
            ]
            following = stand_in.points[end]["id"] if end < len(stand_in.points) else None
            self.answer({"points": page, "next_page_offset": following})

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stand_in.url = f"http://127.0.0.1:{server.server_port}/collections/shoes"
        try:
            yield stand_in
        finally:
            server.shutdown()
