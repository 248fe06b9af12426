"""embedding-atlas 0.26 opens exported files as they are: as many rows, the same vectors, and the map's own places.

Run: python tests/peers/open_in_embedding_atlas.py [--environment DIR] [--rows 500]

Installs embedding-atlas==0.26.0 with what it asks for into an environment of its own (several minutes and GB: torch, litellm), or
takes the one in DIR. Exports a collection with --map as float16 and as float32, starts embedding-atlas with --x x --y y on the
files (1 minute), and asks its data server, which its page asks too, for what the database has.

Exit code 1 where it does not start, has other rows, places or vectors (beyond float16's rounding), or a projection of its own.
"""

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

for folder in ("chaos", "support", "plugins"):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / folder))

from filedrop import unit_vectors, write_vectors  # noqa: E402
from own import own_server  # noqa: E402
from photostore import make_photos  # noqa: E402

from imgvec_pg.cli.exit_codes import run  # noqa: E402
from imgvec_pg.cli.main import cli  # noqa: E402
from imgvec_pg.database.connect import Connection, connect  # noqa: E402

REQUIREMENT = "embedding-atlas==0.26.0"
DIMENSIONS = 16
START_SECONDS = 300
ROWS = "SELECT id, x, y, cluster, list_dot_product(embedding, embedding) AS square FROM dataset ORDER BY id"
MAP = "SELECT id, x::float8, y::float8, cluster_name FROM imgvec.map_photo_test ORDER BY id"


def main() -> int:
    """Export, open, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--environment", type=Path)
    parser.add_argument("--rows", type=int, default=500)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="imgvec-peer-") as folder,
        own_server() as own,
        connect(own.dsn) as connection,
    ):
        root = Path(folder)
        environment = options.environment or install(root / "environment")
        make_photos(connection, options.rows, dimensions=DIMENSIONS)
        vectors = unit_vectors(options.rows, DIMENSIONS)
        file = write_vectors(root / "vectors.parquet", range(1, options.rows + 1), vectors)
        imgvec(own.dsn, "import", "photo_test", file, "--trust-model")
        imgvec(own.dsn, "map", "photo_test")
        wrong = 0
        for kind in ("float16", "float32"):
            out = root / kind
            imgvec(own.dsn, "export", "photo_test", out, "--map", "--columns", "price", "--vectors", kind)
            with atlas(environment, sorted(out.glob("*.parquet"))) as port:
                found = differences(connection, port)
            print(
                f"{kind}: {options.rows} rows opened, {found or 'rows, places, clusters and vectors as in the database'}"
            )
            wrong += bool(found)
    return 1 if wrong else 0


def install(environment: Path) -> Path:
    """Make the environment."""
    venv.create(environment, with_pip=True)
    subprocess.run([environment / "bin" / "pip", "install", "--quiet", REQUIREMENT], check=True)
    return environment


def imgvec(dsn: str, *arguments: object) -> None:
    """Run a command, which must do."""
    code = run(cli, [*map(str, arguments), "--dsn", dsn])
    if code:
        raise SystemExit(f"imgvec {arguments[0]} ended with {code}")


@contextlib.contextmanager
def atlas(environment: Path, files: list[Path]) -> Iterator[int]:
    """Run embedding-atlas over files, and give its port once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [
        environment / "bin" / "embedding-atlas",
        *files,
        "--x",
        "x",
        "--y",
        "y",
        "--vector",
        "embedding",
    ]
    process = subprocess.Popen(
        [*map(str, command), "--host", "127.0.0.1", "--port", str(port), "--no-auto-port"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(urllib.error.URLError):
                ask(port, "/data/metadata.json")
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("embedding-atlas did not start")
            time.sleep(0.5)
        yield port
    finally:
        process.terminate()
        process.wait()


def ask(port: int, path: str, query: dict[str, str] | None = None) -> Any:
    """Return an answer of its data server."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        None if query is None else json.dumps(query).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - of loopback
        return json.load(answer)


def differences(connection: Connection, port: int) -> list[str]:
    """Return what embedding-atlas has otherwise than the database."""
    found = []
    projection = ask(port, "/data/metadata.json")["props"]["data"].get("projection")
    if projection != {"x": "x", "y": "y"}:
        found.append(f"the projection is {projection}")
    rows = ask(port, "/data/query", {"type": "json", "sql": ROWS})
    there = [(row["id"], row["x"], row["y"], row["cluster"]) for row in rows]
    here = connection.execute(MAP).fetchall()
    if [(key, cluster) for key, _, _, cluster in there] != [(key, cluster) for key, _, _, cluster in here]:
        found.append("other keys or clusters")
    # As JSON it prints ten digits.
    elif any(
        abs(a - b) > 1e-6 * (1 + abs(b))
        for row, own in zip(there, here, strict=True)
        for a, b in zip(row[1:3], own[1:3], strict=True)
    ):
        found.append("other places")
    if any(abs(row["square"] - 1) > 2e-3 for row in rows):
        found.append("vectors whose norm is not 1")
    return found


if __name__ == "__main__":
    sys.exit(main())
