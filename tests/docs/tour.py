"""A page's shell blocks as its reader runs them, on a shop of 60 products whose pictures the demo's model knows.

Where a page names weights that this machine cannot fetch, the demo's model stands in; the folder of pictures and
the database have other names here.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from forked_python import run_forked
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

    def environment(self) -> dict[str, str]:
        """Return the variables of the commands."""
        made = {**without_transformers(), **self.names}
        made["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{made['PATH']}"
        return made

    def shell(self, command: str) -> "subprocess.Popen[str]":
        """Start a command as a shell would."""
        return subprocess.Popen(
            ["bash", "-c", f"exec {self.translate(command)}"],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str) -> str:
        """Run a command to its end, a worker until it is ready, and return what it printed."""
        if words := plain_words(self.translate(command)):
            done = run_forked(
                ["-m", "imgvec_pg", *words],
                folder=self.folder,
                environment=self.environment(),
                with_models=True,
            )
            assert done.returncode == 0, done.stderr
            assert "Traceback" not in done.stderr
            return done.stdout + done.stderr
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


def plain_words(command: str) -> list[str] | None:
    """Return the words after `imgvec`, None where a shell would do more than divide them, or where a worker is to go on."""
    divided = list(shlex.shlex(command, posix=True, punctuation_chars=True))
    words = shlex.split(command)
    # With punctuation_chars an operator outside of quotes is a word of its own, made of those characters alone.
    special = any(word and set(word) <= set("();<>|&") for word in divided) or re.search(
        r"[$`~*?\\]", command
    )
    if words[:1] != ["imgvec"] or words[1:2] == ["worker"] or special:
        return None
    return words[1:]


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
