"""Real worker processes over a table of small pictures, and the check of what they left behind."""

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from forked_python import ForkedProcess, run_forked
from imgvec_test_embedder import DIMENSIONS, ColorGrid
from PIL import Image
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.spec import CollectionSpec

NAME = "photo_grid"
STAGED = Path(__file__).with_name("staged_worker.py")
# Only a failure waits so long: no test passes or fails by how busy the machine is.
PATIENCE_SECONDS = 600.0
# Rounding of 12 components to half precision.
TOLERANCE = 2e-3


def picture(*cells: tuple[int, int, int]) -> bytes:
    """Return a PNG of one colour, or of four in two rows."""
    image = Image.new("RGB", (4, 4), cells[0])
    for place, color in enumerate(cells if len(cells) == 4 else ()):
        image.paste(color, (place % 2 * 2, place // 2 * 2, place % 2 * 2 + 2, place // 2 * 2 + 2))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def random_picture(draw: random.Random) -> bytes:
    """Return a picture that no other is likely to equal."""
    return picture(*[(draw.randrange(20, 256), draw.randrange(256), draw.randrange(256)) for _ in range(4)])


def make_table(
    connection: Connection,
    root: Path,
    rows: int = 0,
    model: str = "faulty-grid",
    *,
    dimensions: int = DIMENSIONS,
    listed: bool = True,
    table: str = "CREATE TABLE photo (id integer PRIMARY KEY, path text, content bytea, price numeric DEFAULT 0)",
) -> None:
    """Make the table photo, whose rows have a path or bytes, and a collection over it; then note every write."""
    connection.execute(sql.SQL(table))  # type: ignore[arg-type]
    fill(connection, root, rows)
    request = CollectionSpec(
        name=NAME,
        source="photo",
        image=["path", "content"],
        model=model,
        dimensions=dimensions,
        has_text=True,
        root=str(root),
    )
    collection = create_collection(connection, request)
    # Temporary measuring devices: each key enqueued and each vector written, in order. (NEW.id would keep the type that it
    # had when the session first came by, and refuse a row once it is another.)
    connection.execute(
        """
        CREATE TABLE enqueued (place bigserial, id bigint, version bigint);
        CREATE TABLE written (place bigserial, id bigint, version bigint);
        CREATE TABLE deleted (id bigint);
        CREATE FUNCTION note_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO public.enqueued (id, version)
            SELECT (k ->> 'id')::bigint, NEW.version FROM jsonb_array_elements(NEW.keys) AS k;
            RETURN NULL;
        END $$;
        CREATE FUNCTION note_vector() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO public.written (id, version) VALUES ((to_jsonb(NEW) ->> 'id')::bigint, NEW.version); RETURN NULL;
        END $$;
        CREATE FUNCTION note_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO public.deleted VALUES ((to_jsonb(OLD) ->> 'id')::bigint); RETURN NULL;
        END $$;
        CREATE TRIGGER note AFTER INSERT ON imgvec.job FOR EACH ROW EXECUTE FUNCTION note_job();
        CREATE TRIGGER note AFTER INSERT OR UPDATE ON imgvec.photo_grid_embedding
            FOR EACH ROW EXECUTE FUNCTION note_vector();
        CREATE TRIGGER note AFTER DELETE ON photo FOR EACH ROW EXECUTE FUNCTION note_delete();
        """
    )
    if listed:
        list_source(connection, collection)


def fill(connection: Connection, root: Path, count: int, seed: int = 1) -> None:
    """Insert rows 1 to count: odd ones with bytes, even ones with a file."""
    draw = random.Random(seed)
    rows: list[tuple[int, str | None, bytes | None]] = []
    for number in range(1, count + 1):
        data = random_picture(draw)
        if number % 2:
            rows.append((number, None, data))
        else:
            (root / f"{number}.png").write_bytes(data)
            rows.append((number, f"{number}.png", None))
    with connection.cursor() as cursor, cursor.copy("COPY photo (id, path, content) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def put_file(connection: Connection, root: Path, number: int, data: bytes, name: str = "") -> None:
    """Insert a row with a file of its own."""
    name = name or f"{number}.png"
    (root / name).write_bytes(data)
    connection.execute("INSERT INTO photo (id, path) VALUES (%s, %s)", [number, name])


def change_picture(application: Connection, root: Path, number: int, draw: random.Random) -> None:
    """Give a row another file or other bytes."""
    data = random_picture(draw)
    if draw.random() < 0.5:
        name = f"{number}-{draw.random()}.png"
        (root / name).write_bytes(data)
        values: list[object] = [name, None, number]
    else:
        values = [None, data, number]
    application.execute("UPDATE photo SET path = %s, content = %s WHERE id = %s", values)


def imgvec(database: str, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a process of its own; one at a time."""
    return run_forked(
        ["-m", "imgvec_pg", *arguments, "--dsn", database], folder=Path.cwd(), environment=environment
    )


AT_FULL_SPEED = ("--server-share", "100", "--nice", "0")
"""For `imgvec worker`, which holds back by itself: a test waits for what it writes."""

ONE_THREAD = ("--decode-threads", "1")
"""Each thread has a process that decodes, which takes 0.2 s of processor time to start."""


def needs_threads(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command says how many threads decode, or many are to wait at once for pictures that take long."""
    return (
        bool({"--decode-threads", "ray"}.intersection(arguments))
        or float(environment.get("IMGVEC_TEST_PREPARE_SECONDS", 0)) > 0
    )


@dataclass
class Running:
    """A process of the test's own."""

    process: "ForkedProcess | subprocess.Popen[bytes]"
    log: Path

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Return the exit code; negative when a signal ended it."""
        return self.process.wait(seconds)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def is_stopped(self) -> bool:
        """Whether SIGSTOP holds all of its threads."""
        stats = Path(f"/proc/{self.process.pid}/task").glob("*/stat")
        try:
            return {stat.read_text().rsplit(")", 1)[1].split()[0] for stat in stats} == {"T"}
        except OSError:  # a thread ended meanwhile
            return False

    def wait_until_stopped(self) -> None:
        wait_until(self.is_stopped, f"the worker to stop itself; it said {self.text()!r}")

    def text(self) -> str:
        return self.log.read_text()


@contextmanager
def running(
    database: str,
    environment: dict[str, str],
    folder: Path,
    *arguments: str,
    script: Sequence[str] = ("-m", "imgvec_pg"),
    before: Sequence[str] = (),
    holds_back: bool = False,
    is_lean: bool = True,
    **settings: str,
) -> Iterator[Running]:
    """Start a command, perhaps by another one such as nice, and kill it at the end if it is still there.

    Args:
        holds_back: Leave `worker` its defaults, with which it writes some ten rows a second.
        is_lean: Start it by `forked_python`, with one thread that decodes, which spares most of what a start takes; never where
            another command starts it, nor with defaults.
    """
    if arguments[:1] == ("worker",) and not holds_back:
        arguments = (*arguments, *AT_FULL_SPEED)
    variables = {**environment, **settings}
    is_lean = is_lean and not before and not holds_back
    embeds = bool({"worker", "backfill"}.intersection(arguments[:1]))
    if is_lean and embeds and not needs_threads(arguments, variables):
        arguments = (*arguments, *ONE_THREAD)
    log = folder / f"log-{random.randrange(10**9)}.txt"
    command = [*script, *arguments, "--dsn", database]
    process: ForkedProcess | subprocess.Popen[bytes]
    if is_lean:
        files = [Path(os.devnull), log, log]
        log.touch()
        process = ForkedProcess(
            command, files=files, folder=Path.cwd(), environment=variables, warnings_are_errors=False
        )
    else:
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*before, sys.executable, *command], env=variables, stdout=output, stderr=output
            )
    try:
        yield Running(process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()


def wait_until(condition: Callable[[], object], what: str = "it", seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition, at most so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def count(connection: Connection, what: str) -> int:
    """Return `SELECT count(*) FROM …`."""
    row = connection.execute(f"SELECT count(*) FROM {what}").fetchone()
    assert row is not None
    return int(row[0])


def failures(connection: Connection) -> dict[int, str]:
    """Return the failed rows and their codes."""
    rows = connection.execute(
        "SELECT (key ->> 'id')::bigint, code FROM imgvec.failure WHERE code NOT IN ('blank', 'noted')"
    )
    return {number: code for number, code in rows}  # noqa: C416 - typed


def queued_keys(connection: Connection) -> int:
    """Return the keys in the queue."""
    return count(connection, "imgvec.job AS j CROSS JOIN jsonb_array_elements(j.keys)")


@dataclass
class Check:
    """What is wrong, by kind: the ids of the rows."""

    problems: dict[str, list[int]] = field(default_factory=dict)

    def add(self, kind: str, number: int) -> None:
        self.problems.setdefault(kind, []).append(number)

    def __str__(self) -> str:
        if not self.problems:
            return "each row has one current embedding"
        return "; ".join(f"{len(ids)} {kind} {sorted(ids)[:8]}" for kind, ids in self.problems.items())


def check(connection: Connection, root: Path) -> Check:
    """Compare every source row with its embedding, computed anew from the image that it has now."""
    found = Check()
    embedder = ColorGrid()
    rows = connection.execute("SELECT id, path, content FROM photo").fetchall()
    stored = {
        row[0]: (row[1], row[2])
        for row in connection.execute("SELECT id, embedding::text, version FROM imgvec.photo_grid_embedding")
    }
    enqueued: dict[int, set[int]] = {}
    for number, version in connection.execute("SELECT id, version FROM enqueued"):
        enqueued.setdefault(number, set()).add(version)
    # A row that went with its partition comes back at version 0, by reconcile.
    gone = {number for (number,) in connection.execute("SELECT id FROM deleted")}
    for number, path, content in rows:
        if number not in stored:
            found.add("missing", number)
            continue
        text, version = stored.pop(number)
        data = content if content is not None else (root / path).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            expected = embedder.embed_images([image])[0]
        if np.abs(np.array(text.strip("[]").split(","), dtype=float) - expected).max() > TOLERANCE:
            found.add("stale", number)
        versions = enqueued.get(number, {-1})
        if version not in versions or (number not in gone and version != max(versions)):
            found.add("of a wrong version", number)
    for number in stored:
        found.add("orphan", number)
    for number, code in failures(connection).items():
        found.add(f"failed ({code})", number)
    for (number,) in connection.execute(
        "SELECT (k ->> 'id')::bigint FROM imgvec.job CROSS JOIN jsonb_array_elements(keys) AS k"
    ):
        found.add("still queued", number)
    # Versions of a row only ever grow; a row that was deleted may come back and begin anew.
    backward = connection.execute(
        "SELECT DISTINCT id FROM (SELECT id, version <= lag(version) OVER (PARTITION BY id ORDER BY place) AS back"
        " FROM written) AS w WHERE back AND NOT EXISTS (SELECT FROM deleted AS d WHERE d.id = w.id)"
    )
    for (number,) in backward:
        found.add("written again or backward", number)
    return found


def seed_of_this_run() -> int:
    """Return IMGVEC_TEST_SEED or a new seed; the caller prints it."""
    given = os.environ.get("IMGVEC_TEST_SEED")
    return int(given) if given else random.SystemRandom().randrange(10**6)
