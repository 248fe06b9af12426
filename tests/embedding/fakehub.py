"""The Hugging Face hub on loopback, as far as fetching files asks of it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def fake_hub(
    files: dict[str, bytes], damaged: frozenset[str] = frozenset(), asked: list[str] | None = None
) -> Iterator[str]:
    """Serve files by "organisation/name/file" and give the address; damaged ones arrive other than announced.

    Args:
        asked: Gets the path of each request.
    """

    def listing(path: str) -> object:
        """Answer /api/models/ORG/NAME/revision/REVISION, and /tree/COMMIT."""
        organisation, name, what, revision = path.split("?")[0].split("/")[3:7]
        prefix = f"{organisation}/{name}/"
        own = {key.removeprefix(prefix): body for key, body in files.items() if key.startswith(prefix)}
        if not own or revision not in ("main", COMMIT):
            return None
        if what == "revision":
            siblings = [{"rfilename": key} for key in own]
            return {"id": prefix[:-1], "modelId": prefix[:-1], "sha": COMMIT, "siblings": siblings}
        return [
            {
                "type": "file",
                "path": key,
                "size": len(body),
                "oid": hashlib.sha1(body, usedforsecurity=False).hexdigest(),
            }
            for key, body in own.items()
        ]

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            if asked is not None:
                asked.append(self.path)
            if self.path.startswith("/api/models/"):
                self.list_files()
                return
            name = self.path.lstrip("/").split("?")[0].replace("resolve/main/", "")
            name = name.replace(f"resolve/{COMMIT}/", "")
            body = files.get(name)
            self.send_response(404 if body is None else 200)
            if body is None:
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            digest = hashlib.sha256(body).hexdigest()
            sent = body[:-1] + bytes([body[-1] ^ 1]) if name in damaged else body
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{digest}"')
            self.send_header("X-Linked-Etag", f'"{digest}"')
            self.send_header("X-Linked-Size", str(len(body)))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(sent)

        def list_files(self) -> None:
            found = listing(self.path)
            body = b"" if found is None else json.dumps(found).encode()
            self.send_response(404 if found is None else 200)
            if found is None:
                self.send_header(
                    "X-Error-Code", "RevisionNotFound" if "/revision/v" in self.path else "RepoNotFound"
                )
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
