"""What every part of benchmarks/fill.py takes: a server, builds to compare, pictures, and what a command took."""

import io
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from PIL import Image

from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory

HERE = Path(__file__).resolve().parent.parent.parent
SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB", "max_connections": "40"}
TICKS = os.sysconf("SC_CLK_TCK")
DISTINCT = 24
"""Pictures drawn; others are these with a comment of their own, so that no two have the same bytes and each is decoded."""

WATCH = """
import json, os, sys
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([used.ru_utime + used.ru_stime, used.ru_maxrss], file)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
"""
"""Starts a command and writes down what it took. A process of its own: a command's ru_maxrss begins with the resident memory of
whoever started it (fs/exec.c: exec_mmap), and this one has a gigabyte after rows 7 and 8."""


class ShortError(Exception):
    """A command of a benchmark failed."""


@dataclass(frozen=True)
class Took:
    """What a command took.

    Attributes:
        seconds: By the clock.
        cpu_seconds: Of its processes, children included.
        server_seconds: CPU of the database server meanwhile.
        peak_bytes: Most resident memory of the largest of its processes.
    """

    seconds: float
    cpu_seconds: float
    server_seconds: float
    peak_bytes: int
    output: str = field(repr=False)
    errors: str = field(repr=False)

    def json(self) -> dict[str, Any]:
        """Return the JSON object that it printed last."""
        found: dict[str, Any] = json.loads(self.output)
        return found


@dataclass(frozen=True)
class Setting:
    """One run of the benchmark.

    Attributes:
        folder: For pictures, weights and caches.
        base: Checkout of today's build; None where it is not at hand.
        share: Part of the pictures and rows that the table names, in (0, 1].
        clip_retrieval: Folder of an environment with clip-retrieval, or for one; None where it is not to be measured.
    """

    folder: Path
    server: LocalServer
    base: Path | None
    share: float
    clip_retrieval: Path | None = None

    def count(self, whole: int, least: int = 1) -> int:
        """Return that part of a number of pictures or rows."""
        return max(round(whole * self.share), least)

    def weights(self, name: str) -> Path:
        """Return seeded weights of a model."""
        from imgvec_pg.embedding.catalog import describe_model
        from imgvec_pg.embedding.torch_models.random_weights import write_random_weights

        file = self.folder / f"{name.replace('/', '--')}.safetensors"
        if not file.exists():
            write_random_weights(describe_model(name), file)
        return file

    def run(
        self,
        arguments: Sequence[object],
        build: Path = HERE,
        environment: dict[str, str] | None = None,
        python: Path | None = None,
    ) -> Took:
        """Run python with these arguments, with a build's modules; another python runs with its own modules alone.

        Raises:
            ShortError: It ended with another exit code than 0.
        """
        variables = {
            **os.environ,
            "PYTHONPATH": str(build),
            "IMGVEC_CACHE_DIR": str(self.folder / ("cache" if build == HERE else "cache-base")),
            "HF_HUB_OFFLINE": "1",
            **(environment or {}),
        }
        if python is not None:
            del variables["PYTHONPATH"]
        command = [str(python or sys.executable), *map(str, arguments)]
        server_before = self.server_cpu()
        began = time.monotonic()
        with (self.folder / "stdout").open("w+") as output, (self.folder / "stderr").open("w+") as errors:
            watched = subprocess.run(
                [sys.executable, "-I", "-S", "-c", WATCH, self.folder / "used", *command],
                env=variables,
                cwd=self.folder if python else build,
                stdout=output,
                stderr=errors,
                check=False,
            )
            seconds = time.monotonic() - began
            output.seek(0)
            errors.seek(0)
            told, complained = output.read(), errors.read()
        if watched.returncode:
            raise ShortError(
                f"{' '.join(command[1:4])} … ended with {watched.returncode}: {complained[-800:]}"
            )
        cpu_seconds, peak_kilobytes = json.loads((self.folder / "used").read_text())
        return Took(
            seconds, cpu_seconds, self.server_cpu() - server_before, peak_kilobytes * 1024, told, complained
        )

    def exports(self) -> set[str]:
        """Return what this build has exported for ONNX Runtime so far."""
        return {path.name for path in (self.folder / "cache" / "onnx").glob("*.json")}

    def imgvec(
        self, dsn: str, *arguments: object, build: Path = HERE, environment: dict[str, str] | None = None
    ) -> Took:
        """Run the command `imgvec` of a build."""
        given = {"IMGVEC_DSN": dsn, **(environment or {})}
        return self.run(["-m", "imgvec_pg", *arguments], build, given)

    def server_cpu(self) -> float:
        """Return the CPU seconds of the server so far, of sessions that have ended too."""
        main = self.server.status().pid
        assert main is not None
        return processor_seconds(main)

    def database(self, name: str, build: Path = HERE) -> str:
        """Make a database anew with a build's schema, and return its connection string."""
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
        dsn = self.server.dsn(name)
        self.imgvec(dsn, "migrate", build=build)
        return dsn


def processor_seconds(main: int) -> float:
    """Return the CPU seconds of a server so far, by the process id of its first process."""
    total = _ticks(main, slice(11, 15))
    for child in Path(f"/proc/{main}/task/{main}/children").read_text().split():
        total += _ticks(int(child), slice(11, 13))
    return total / TICKS


def _ticks(pid: int, fields: slice) -> int:
    """Return fields of /proc/PID/stat behind the name; 0 where it is gone (proc(5): utime, stime, cutime, cstime)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return sum(map(int, text.rpartition(")")[2].split()[fields]))


@contextmanager
def running_server() -> Iterator[LocalServer]:
    """Run a server of its own that writes to the disk as a server does."""
    directory = make_temporary_directory("imgvec-fill-server-")
    try:
        with LocalServer(directory, settings=SETTINGS, die_with_parent=True) as server:
            yield server
    finally:
        subprocess.run(["rm", "-rf", str(directory)], check=False)


def write_pictures(folder: Path, count: int, width: int, height: int) -> list[str]:
    """Write JPEGs of a camera's grain and quality, each with bytes of its own, and return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{place:06}.jpg" for place in range(count)]
    drawn: list[bytes] = []
    for place, name in enumerate(names):
        if len(drawn) < DISTINCT:
            drawn.append(_jpeg(place, width, height))
        data = drawn[place % DISTINCT]
        comment = f"picture {place:12}".encode()
        # ISO/IEC 10918-1 B.2.4.5: a comment segment, its length counting itself.
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (folder / name).write_bytes(data[:2] + segment + data[2:])
    return names


def _jpeg(seed: int, width: int, height: int) -> bytes:
    draw = random.Random(seed)
    noise = np.random.default_rng(seed)
    coarse = Image.frombytes("RGB", (12, 9), draw.randbytes(324)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    grain = noise.normal(0, 5, (height, width, 1)).astype(np.float32)
    pixels = np.clip(np.asarray(coarse, dtype=np.float32) + grain, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def make_table(dsn: str) -> None:
    """Make the table item, without rows."""
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, picture text NOT NULL)")


def add_rows(dsn: str, names: Sequence[str], first: int = 0) -> None:
    """Add rows with a path each to the table item, with one statement."""
    with psycopg.connect(dsn) as connection, connection.cursor().copy("COPY item FROM STDIN") as copy:
        for place, name in enumerate(names, first):
            copy.write_row((place, name))
