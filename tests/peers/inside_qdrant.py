"""Inside an environment with qdrant-client: Qdrant's REST API over qdrant-client's own local mode.

Run by bring_qdrant.py. Each request is checked by the models that are generated from Qdrant's OpenAPI description, each answer is
one of those models as JSON; what scroll, count and offsets do is qdrant-client's code. Prints its port.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
from qdrant_client import QdrantClient, models

NAMES = {"one": models.Distance.COSINE, "dot": models.Distance.DOT}


def main() -> None:
    """Fill the collections and serve them."""
    vectors = np.load(sys.argv[1])
    client = QdrantClient(":memory:")
    for name, distance in NAMES.items():
        size = vectors.shape[1]
        client.create_collection(name, vectors_config=models.VectorParams(size=size, distance=distance))
        points = [
            models.PointStruct(id=place + 1, vector=vector.tolist(), payload={"name": f"shoe {place + 1}"})
            for place, vector in enumerate(vectors)
        ]
        client.upsert(name, points)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def answer(self, result: dict[str, object]) -> None:
            body = json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.answer(client.get_collection(self.path.split("/")[2]).model_dump(mode="json"))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = self.path.split("/")[2]
            if self.path.endswith("/points/count"):
                exact = models.CountRequest.model_validate(body).exact
                self.answer(client.count(name, exact=bool(exact)).model_dump(mode="json"))
                return
            asked = models.ScrollRequest.model_validate(body)
            points, following = client.scroll(
                name,
                limit=asked.limit,
                offset=asked.offset,
                with_payload=asked.with_payload,
                with_vectors=asked.with_vector,
            )
            result = models.ScrollResult(points=points, next_page_offset=following)
            self.answer(result.model_dump(mode="json", exclude_none=False))

    server = HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
