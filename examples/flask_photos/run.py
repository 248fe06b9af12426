"""Start the photo library: a private PostgreSQL, migrations, photos, their embeddings, and the pages."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from fill import fill  # noqa: E402 - beside this file
from private import private_database, worker  # noqa: E402 - beside this folder


def main() -> int:
    """Serve until ctrl-C."""
    parser = argparse.ArgumentParser(
        description="An example photo library in Flask, searched by its pictures."
    )
    parser.add_argument("--port", type=int, default=8002)
    parser.add_argument("--photos", type=int, default=800)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--home", type=Path, help="folder for database and pictures")
    options = parser.parse_args()
    with private_database("photos", options.home) as (home, dsn):
        os.environ["PHOTOS_DSN"] = dsn
        # For other commands, such as imgvec browse --dsn.
        (home / "dsn").write_text(dsn)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}

        def flask(*arguments: str, check: bool = True) -> int:
            command = [sys.executable, "-m", "flask", "--app", "photos", *arguments]
            return subprocess.run(command, env=environment, check=check, cwd=HERE).returncode

        flask("db", "upgrade")
        folder = home / "pictures"
        fill(folder, options.photos)
        flask("imgvec", "migrate")
        source = ("--source", "photo", "--image", "path", "--root", str(folder), "--model", options.model)
        if not has_collection(dsn):
            flask("imgvec", "collection", "create", "photo_clip", *source)
        flask("imgvec", "backfill", "photo_clip")
        following = [sys.executable, "-m", "flask", "--app", "photos", "imgvec", "worker", "photo_clip"]
        print(f"\nThe photo library: http://127.0.0.1:{options.port}/", flush=True)
        with worker(following, environment, home):
            try:
                return flask("run", "--port", str(options.port), check=False)
            except KeyboardInterrupt:
                return 0


def has_collection(dsn: str) -> bool:
    """Whether an earlier start made the collection."""
    from imgvec_pg.database.connect import connect
    from imgvec_pg.store.registry import find_collections

    with connect(dsn) as connection:
        return bool(find_collections(connection, "photo_clip"))


if __name__ == "__main__":
    sys.exit(main())
