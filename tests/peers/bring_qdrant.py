"""Points of qdrant-client 1.20 in its local mode, imported over REST: by id, by a field of the payload, of any norm.

Run: python tests/peers/bring_qdrant.py [--environment DIR] [--rows 3000]

Qdrant's own server is in no package of a registry, so it was not run. What comes nearest is qdrant-client's local mode behind a
few lines of HTTP (inside_qdrant.py): requests and answers pass through the models generated from Qdrant's OpenAPI description.
Installs qdrant-client==1.20.0 into an environment of its own (half a minute), or takes the one in DIR. Exit code 1 where a
vector is missing or another than the one that was stored.
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

for folder in ("chaos", "support", "plugins"):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / folder))

import numpy as np  # noqa: E402
from filedrop import unit_vectors  # noqa: E402
from own import own_server  # noqa: E402
from photostore import make_photos  # noqa: E402

from imgvec_pg.cli.exit_codes import run  # noqa: E402
from imgvec_pg.cli.main import cli  # noqa: E402
from imgvec_pg.database.connect import Connection, connect  # noqa: E402

REQUIREMENT = "qdrant-client==1.20.0"
INSIDE = Path(__file__).with_name("inside_qdrant.py")
DIMENSIONS = 64
ROUNDING = 1e-3
"""Halves of a unit vector's components."""


def main() -> int:
    """Serve, import, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--environment", type=Path)
    parser.add_argument("--rows", type=int, default=3000)
    options = parser.parse_args()
    vectors = unit_vectors(options.rows, DIMENSIONS)
    with (
        tempfile.TemporaryDirectory(prefix="imgvec-peer-") as folder,
        own_server() as own,
        connect(own.dsn) as connection,
    ):
        environment = options.environment or Path(folder) / "environment"
        if options.environment is None:
            venv.create(environment, with_pip=True)
            subprocess.run([environment / "bin" / "pip", "install", "--quiet", REQUIREMENT], check=True)
        make_photos(connection, options.rows, dimensions=DIMENSIONS)
        connection.execute("UPDATE shop.photo SET file = 'shoe ' || id")
        np.save(Path(folder) / "vectors.npy", vectors * np.float32(3))
        peer = subprocess.Popen(
            [environment / "bin" / "python", INSIDE, Path(folder) / "vectors.npy"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert peer.stdout is not None
            port = int(peer.stdout.readline())
            wrong = 0
            for name, arguments in (("one", []), ("dot", ["--match", "file=name"])):
                connection.execute("TRUNCATE imgvec.photo_test_embedding")
                place = f"http://127.0.0.1:{port}/collections/{name}"
                code = run(
                    cli, ["import", "photo_test", place, "--trust-model", *arguments, "--dsn", own.dsn]
                )
                far = farthest(connection, vectors)
                print(f"{name}: exit code {code}, farthest component {far:.1e}")
                wrong += code != 0 or far > ROUNDING
        finally:
            peer.terminate()
            peer.wait()
    return 1 if wrong else 0


def farthest(connection: Connection, vectors: np.ndarray) -> float:
    """Return how far a component in the database is from the one that was stored; infinity where a row is missing."""
    rows = connection.execute(
        "SELECT embedding::float4[]::text FROM imgvec.photo_test_embedding ORDER BY id"
    ).fetchall()
    if len(rows) != len(vectors):
        return float("inf")
    found = np.array([[float(part) for part in text.strip("{}").split(",")] for (text,) in rows])
    return float(np.abs(found - vectors).max())


if __name__ == "__main__":
    sys.exit(main())
