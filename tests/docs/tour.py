"""A page's shell blocks as its reader runs them, on a shop of 60 products whose pictures the demo's model knows.

Where a page names weights that this machine cannot fetch, the demo's model stands in; the folder of pictures and
the database have other names here.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from lean_processes import without_transformers

from imgvec_pg.database.connect import connect
from imgvec_pg.demo.pictures import read_manifest, unpack_pictures

PRODUCTS = 60


class Tour:
    """Runs what a page says, in order."""

    def __init__(self, dsn: str, photos: Path, folder: Path) -> None:
        self.dsn = dsn
        self.folder = folder
        self.photos = photos
        with connect(dsn) as connection:
            info = connection.info
            self.names = {
                "PGHOST": info.host,
                "PGPORT": str(info.port),
                "PGUSER": info.user,
                "PGPASSWORD": info.password,
            }
            self.database = info.dbname

    def translate(self, text: str) -> str:
        """Put this machine's names in place of the page's."""
        return (
            text.replace("/srv/photos", str(self.photos))
            .replace("~/Pictures", str(self.photos))
            .replace("ViT-B-32/laion2b_s34b_b79k", "demo")
            .replace(":///shop", f":///{self.database}")
        )

    def export(self, command: str) -> None:
        """Set a variable for the commands that follow."""
        name, _, value = command.removeprefix("export ").partition("=")
        self.names[name] = self.translate(value)

    def shell(self, command: str) -> "subprocess.Popen[str]":
        """Start a command as a shell would."""
        environment = {**without_transformers(), **self.names}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        return subprocess.Popen(
            ["bash", "-c", f"exec {self.translate(command)}"],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str) -> str:
        """Run a command to its end, a worker until it is ready, and return what it printed."""
        process = self.shell(command)
        expected = 0
        if command.startswith("imgvec worker"):
            assert process.stderr is not None
            assert any("is ready" in line for line in process.stderr)
            process.send_signal(signal.SIGTERM)
            expected = 143
        output, errors = process.communicate(timeout=900)
        assert process.returncode == expected, errors
        assert "Traceback" not in errors
        return output + errors


def make_shop(dsn: str, photos: Path) -> None:
    """Make shop.product with PRODUCTS rows, and their pictures in a folder."""
    unpack_pictures(photos)
    with connect(dsn) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.product (id int PRIMARY KEY, name text NOT NULL, price numeric NOT NULL,"
            " in_stock boolean NOT NULL, photo_path text NOT NULL)"
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO shop.product VALUES (%s, %s, %s, %s, %s)",
                [(n, p.name, n, n % 3 > 0, p.file) for n, p in enumerate(read_manifest()[:PRODUCTS], 1)],
            )
