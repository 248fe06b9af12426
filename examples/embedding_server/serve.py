"""A server that embeds by OpenAI's protocol, with pictures as data URLs: imgvec's own models for those who want them over HTTP.

    python examples/embedding_server/serve.py --model demo --port 8077 [--key-from EMBED_KEY]

    export IMGVEC_ALLOW_NETWORKS=127.0.0.1
    imgvec collection create product_remote --source shop.product --image photo --model http:demo@http://127.0.0.1:8077

It answers POST /v1/embeddings with {"model", "input": [text or data URL, …], "modality": "text" or "image"}, as Infinity takes
it, by floats or base64 (encoding_format); 401 without the key where one is set, 413 beyond --max-inputs. A small one, to try
things out with and to test against: one forward pass at a time, no TLS. Stop it with ctrl-C.
"""

import argparse
import base64
import io
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import load_embedder

MAX_BODY_BYTES = 64 << 20


class Refused(Exception):
    """A request that gets another status than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server(ThreadingHTTPServer):
    """Takes it calmly when a client hangs up."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """Answers /v1/embeddings."""

    protocol_version = "HTTP/1.1"
    embedder: Embedder
    name: str
    key = ""
    max_inputs = 64
    one_at_a_time = threading.Lock()

    def do_POST(self) -> None:
        """Embed what was sent."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), MAX_BODY_BYTES))
        try:
            self.reply(200, self.embeddings(body))
        except Refused as error:
            self.reply(error.status, {"error": {"message": str(error)}})

    def embeddings(self, body: bytes) -> dict[str, Any]:
        """Return the answer to a request."""
        if self.key and self.headers.get("Authorization") != f"Bearer {self.key}":
            raise Refused(401, "no or another key")
        if self.path != "/v1/embeddings":
            raise Refused(404, "there is only /v1/embeddings")
        try:
            asked = json.loads(body)
            inputs = asked["input"]
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(400, 'expected a JSON object with "input"') from error
        if asked.get("model") != self.name:
            raise Refused(404, f"the model here is {self.name}")
        inputs = inputs if isinstance(inputs, list) else [inputs]
        if len(inputs) > self.max_inputs:
            raise Refused(413, f"at most {self.max_inputs} inputs")
        if not inputs or not all(isinstance(each, str) for each in inputs):
            raise Refused(422, "input holds something else than texts")
        with self.one_at_a_time:
            vectors = (
                self.embedder.embed_images([picture(url) for url in inputs])
                if asked.get("modality") == "image"
                else self.embedder.embed_texts(inputs)
            )
        as_base64 = asked.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": place,
                "embedding": packed(vector) if as_base64 else vector.tolist(),
            }
            for place, vector in enumerate(vectors)
        ]
        return {
            "object": "list",
            "model": self.name,
            "data": data,
            "usage": {"prompt_tokens": 0, "total_tokens": 0},
        }

    def reply(self, status: int, answer: dict[str, Any]) -> None:
        """Send an answer."""
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of requests."""


def picture(url: str) -> Image.Image:
    """Return the picture of a data URL; no other is fetched."""
    head, comma, data = url.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64") and comma):
        raise Refused(422, "expected pictures as data URLs in base64")
    try:
        return Image.open(io.BytesIO(base64.b64decode(data, validate=True))).convert("RGB")
    except (ValueError, OSError) as error:
        raise Refused(422, f"a picture cannot be read: {error}") from error


def packed(vector: "np.ndarray[Any, np.dtype[np.float32]]") -> str:
    """Return a vector as base64 of float32, little-endian."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def main() -> None:
    """Load the model and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="as imgvec names it")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8077, help="0 for any that is free")
    parser.add_argument("--key-from", metavar="VARIABLE", help="environment variable with the key to ask for")
    parser.add_argument("--max-inputs", type=int, default=64)
    options = parser.parse_args()
    Handler.embedder, Handler.name = load_embedder(options.model, device="cpu"), options.model
    Handler.key, Handler.max_inputs = os.environ.get(options.key_from or "", ""), options.max_inputs
    with Server((options.host, options.port), Handler) as server:
        print(f"{options.model} at http://{options.host}:{server.server_address[1]}/v1", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
