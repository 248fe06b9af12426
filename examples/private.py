"""What both examples need: a private PostgreSQL in a folder of their own, and the demo's pictures."""

import random
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from psycopg import sql

from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.data_dir import default_directory
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.demo.pictures import DemoPicture, unpack_pictures

# The example is gone when its process is; a power cut may cost it its data, which it makes again.
SETTINGS = {"fsync": "off", "synchronous_commit": "off"}


@contextmanager
def private_database(name: str, home: Path | None) -> Iterator[tuple[Path, str]]:
    """Give a folder that stays, and the connection string of a database in it, whose server ends with this process."""
    folder = (home or default_directory("examples").parent / "examples" / name).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with LocalServer(folder / "server", settings=SETTINGS, die_with_parent=True) as server:
        with connect(server.dsn()) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield folder, server.dsn(name)


@contextmanager
def worker(command: list[str], environment: Mapping[str, str], home: Path) -> Iterator[None]:
    """Run a worker beside the pages: it embeds what changes and what visitors search for, so the pages need no model."""
    with (home / "worker.log").open("w+") as log:
        process = subprocess.Popen(command, stderr=log, env=dict(environment))
        try:
            while process.poll() is None and "is ready" not in (home / "worker.log").read_text():
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait()


def drawings(folder: Path, count: int) -> list[DemoPicture]:
    """Write the demo's pictures to a folder and return `count` of them, the same each time, from all groups."""
    unpacked = [picture for picture, _ in unpack_pictures(folder)]
    return random.Random(4).sample(unpacked, min(count, len(unpacked)))  # noqa: S311 - a shop, no secret
