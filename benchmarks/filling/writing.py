"""Rows 7 and 8: writing beside binary COPY, and a fill's time per row and memory as the table grows."""

import datetime
import io
import queue
import resource
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from PIL import Image

from filling.result import Result
from filling.setting import Setting, ShortError, processor_seconds
from imgvec_pg.backfill.batch.queues import drain_several, put
from imgvec_pg.backfill.batch.writer import Finished, WriteSize, write_finished
from imgvec_pg.backfill.claiming import MOST_KEYS_AHEAD
from imgvec_pg.backfill.connections import connect_worker
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.pipeline import UNWRITTEN_BATCHES
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import connect, vector_schema
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.store.embeddings import EmbeddedKey, EmbeddingStore, Outcome
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.index.refill import drop_for_refill
from imgvec_pg.store.queue.jobs import BEGINNING, Job, claim_batches, place_of
from imgvec_pg.store.registry import get_collection

DIMENSIONS = 512
VECTORS = 4096
BATCH = 256
"""Pictures claimed at a time, as `imgvec backfill` does where the model is fast."""
MODEL = "ViT-B-32/laion2b_s34b_b79k"
COLUMNS = ("id", "embedding", "version", "content_hash", "precision", "embedded_at", "reference_hash")
TYPES = ("int8", "halfvec", "int8", "bytea", "text", "timestamptz", "bytea")
WATCHED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from filling.writing import fill_watched
print(json.dumps(fill_watched(sys.argv[2], int(sys.argv[3]))))
"""
"""A process of its own: the benchmark's has torch in its resident memory, four times what this worker needs."""
WINDOW = 10_000
"""Rows that row 8 compares, at the beginning and at the end."""


def write_and_copy(setting: Setting) -> Iterator[Result]:
    """Row 7: rows/s claimed and written as a worker does, beside COPY into a table of the same columns, indexes and key."""
    rows = setting.count(200_000)
    dsn = setting.database("writing")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, picture text NOT NULL)")
        connection.execute("INSERT INTO item SELECT i, i || '.jpg' FROM generate_series(1, %s) AS i", [rows])
        connection.execute("ANALYZE item")
    given = ("--source", "public.item", "--image", "picture", "--root", setting.folder, "--model", MODEL)
    setting.imgvec(dsn, "collection", "create", "item_fill", *given)
    drawn = np.random.default_rng(0).normal(size=(VECTORS, DIMENSIONS)).astype(np.float32)
    vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    ours, our_cpu = timed(setting, lambda: write(dsn, vectors))
    require_rows(dsn, rows)
    theirs, their_cpu = timed(setting, lambda: copy(dsn, vectors, rows))
    yield Result(
        7,
        f"{rows:,} rows of {DIMENSIONS}: claimed and written by a worker's own path, beside binary COPY of the same rows",
        f"{rows / ours:,.0f}/s, {rows / theirs:,.0f}/s",
        theirs / ours,
        their_cpu / our_cpu,
        0.6,
    )
    yield from live_index(setting)


def require_rows(dsn: str, rows: int) -> None:
    """Refuse a figure of rows that were not all written: what ends the writing thread ends nothing else.

    Raises:
        ShortError: Some are missing.
    """
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT count(*) FROM imgvec.item_fill_embedding").fetchone()
    if found != (rows,):
        raise ShortError(f"{found} rows were written, {rows} expected")


def timed(setting: Setting, work: object) -> tuple[float, float]:
    """Return seconds by the clock, and of processor time here and in the server."""
    began, cpu, server = time.monotonic(), time.process_time(), setting.server_cpu()
    work()  # type: ignore[operator]
    return time.monotonic() - began, time.process_time() - cpu + setting.server_cpu() - server


def write(dsn: str, vectors: np.ndarray) -> None:  # type: ignore[type-arg]
    """Claim and write all rows as a worker does whose model takes no time: one thread claims, one writes what waits."""
    waiting: queue.Queue[tuple[Finished, int] | None] = queue.Queue(maxsize=UNWRITTEN_BATCHES)
    broken = threading.Event()

    def write_waiting() -> None:
        try:
            with connect_worker(dsn, "write") as connection:
                collection = get_collection(connection, "item_fill")
                store = EmbeddingStore(connection, collection, vector_schema(connection))
                size = WriteSize(collection.dimensions)
                for batches in drain_several(waiting, broken, lambda: size.keys):
                    write_finished(store, [finished for finished, _ in batches], "fp32", size)
        finally:
            broken.set()

    writer = threading.Thread(target=write_waiting)
    writer.start()
    with connect_worker(dsn, "read") as connection:
        collection_id = get_collection(connection, "item_fill").id
        place = BEGINNING
        while not broken.is_set():
            tokens = [uuid.uuid4() for _ in range(MOST_KEYS_AHEAD // BATCH)]
            claims = claim_batches(connection, collection_id, tokens, BATCH, lease_seconds=60, place=place)
            jobs = [job for claim in claims for job in claim.jobs]
            if not jobs:
                break
            place = place_of(jobs, place)
            for claim in claims:
                put(waiting, ((claim, [outcome_of(job, vectors) for job in claim.jobs]), 0), broken)
        put(waiting, None, broken)
    writer.join()


def outcome_of(job: Job, vectors: np.ndarray) -> Outcome:  # type: ignore[type-arg]
    """Return what the model would have made of a job's rows."""
    rows = [
        EmbeddedKey(
            key, job.version, vectors[key["id"] % len(vectors)], key["id"].to_bytes(32, "big"), bytes(32)
        )
        for key in job.keys
    ]
    return Outcome(job.id, rows)


def copy(dsn: str, vectors: np.ndarray, rows: int) -> None:  # type: ignore[type-arg]
    """Write the same rows by COPY into a table with the same indexes, check and foreign key."""
    now = datetime.datetime.now(datetime.UTC)
    with psycopg.connect(dsn) as connection:
        register_vector(connection)
        connection.execute("CREATE TABLE peer (LIKE imgvec.item_fill_embedding INCLUDING ALL)")
        connection.execute("ALTER TABLE peer ADD FOREIGN KEY (id) REFERENCES item ON DELETE CASCADE")
        with connection.cursor().copy(f"COPY peer ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)") as peer:
            peer.set_types(TYPES)
            for key in range(1, rows + 1):
                hashed = key.to_bytes(32, "big")
                peer.write_row(
                    (key, HalfVector(vectors[key % len(vectors)]), 0, hashed, "fp32", now, bytes(32))
                )


def live_index(setting: Setting) -> Iterator[Result]:
    """Row 7: many rows beside an index of a quarter as many: dropped, written and built anew, beside inserting row by row."""
    rows = setting.count(100_000)
    before = rows // 4
    dsn = setting.database("live")
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(200, DIMENSIONS))
    drawn = (
        centres[draw.integers(0, 200, rows + before)] + draw.normal(size=(rows + before, DIMENSIONS))
    ).astype(np.float32)
    vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, picture text)")
        connection.execute(
            "INSERT INTO item SELECT i, i || '.jpg' FROM generate_series(1, %s) AS i", [before]
        )
    given = ("--source", "public.item", "--image", "picture", "--root", setting.folder, "--model", MODEL)
    setting.imgvec(dsn, "collection", "create", "item_fill", *given)
    write(dsn, vectors)
    with connect(dsn) as connection:
        build_index(connection, get_collection(connection, "item_fill"))
        connection.execute(
            "INSERT INTO item SELECT i, i || '.jpg' FROM generate_series(%s::int, %s) AS i",
            [before + 1, before + rows],
        )
        connection.execute("CREATE TABLE peer (LIKE imgvec.item_fill_embedding INCLUDING ALL)")
        connection.execute("ALTER TABLE peer ADD FOREIGN KEY (id) REFERENCES item ON DELETE CASCADE")
        # LIKE has copied the index too, which these rows come to one by one: as many as were there before.
        connection.execute("INSERT INTO peer SELECT * FROM imgvec.item_fill_embedding")

    def refill() -> None:
        with connect(dsn) as connection:
            collection = get_collection(connection, "item_fill")
            drop_for_refill(connection, collection)
            write(dsn, vectors)
            build_index(connection, collection)

    def insert() -> None:
        now = datetime.datetime.now(datetime.UTC)
        with psycopg.connect(dsn, autocommit=True) as connection:
            register_vector(connection)
            connection.execute("SET synchronous_commit = off")
            statement = f"INSERT INTO peer ({', '.join(COLUMNS)}) VALUES (%s, %b, %s, %s, %s, %s, %s)"
            for key in range(before + 1, before + rows + 1):
                vector, hashed = HalfVector(vectors[key % len(vectors)]), key.to_bytes(32, "big")
                connection.execute(statement, (key, vector, 0, hashed, "fp32", now, bytes(32)))

    ours, our_cpu = timed(setting, refill)
    require_rows(dsn, before + rows)
    theirs, their_cpu = timed(setting, insert)
    yield Result(
        7,
        f"{rows:,} rows of {DIMENSIONS} to {before:,} with an HNSW index: dropped and built anew, part of inserting row by row",
        f"{ours:.0f} s, {theirs:.0f} s",
        ours / theirs,
        our_cpu / their_cpu,
        0.25,
        less_is_better=True,
    )


def growth(setting: Setting, rows: int) -> Iterator[Result]:
    """Row 8: time per row and resident memory of a worker at the end of a fill, beside those of its first rows."""
    dsn = setting.database("growth")
    stream = io.BytesIO()
    Image.new("RGB", (48, 36), "teal").save(stream, "JPEG")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, picture bytea NOT NULL)")
        # Each with a comment of its own (ISO/IEC 10918-1 B.2.4.5), so that each is decoded.
        connection.execute(
            "INSERT INTO item SELECT i, substr(%(jpeg)s, 1, 2) || '\\xfffe000e'::bytea"
            " || convert_to(lpad(i::text, 12, '0'), 'UTF8') || substr(%(jpeg)s, 3) FROM generate_series(1, %(rows)s) AS i",
            {"jpeg": stream.getvalue(), "rows": rows},
        )
    setting.imgvec(
        dsn,
        "collection",
        "create",
        "item_fill",
        "--source",
        "public.item",
        "--image",
        "picture",
        "--model",
        "test",
    )
    server = setting.server.status().pid
    assert server is not None
    seen = setting.run(["-c", WATCHED, Path(__file__).parent.parent, dsn, server]).json()
    window = min(WINDOW, rows // 3)
    # The first batches start the decoders.
    first = [each for each in seen if window // 5 <= each[0] <= window // 5 + window]
    last = [each for each in seen if each[0] >= rows - window]
    spent = [(group[-1][2] - group[0][2]) / (group[-1][0] - group[0][0]) for group in (first, last)]
    took = [(group[-1][1] - group[0][1]) / (group[-1][0] - group[0][0]) for group in (first, last)]
    yield Result(
        8,
        f"time per row of the last {window:,} of {rows:,} rows, beside the first",
        f"{1e3 * took[1]:.2f} ms, {1e3 * took[0]:.2f} ms",
        took[1] / took[0],
        spent[1] / spent[0],
        1.15,
        less_is_better=True,
    )
    memory = [max(each[3] for each in group) for group in (first, last)]
    yield Result(
        8,
        f"resident memory of the worker then, of {rows:,} rows",
        f"{memory[1] >> 20} MB, {memory[0] >> 20} MB",
        memory[1] / memory[0],
        None,
        1.1,
        less_is_better=True,
    )


def fill_watched(dsn: str, server: int) -> list[tuple[int, float, float, int]]:
    """Fill in this process; for each written batch rows so far, seconds, processor time and resident bytes."""
    seen: list[tuple[int, float, float, int]] = []

    def note(stats: WorkerStats) -> None:
        spent = time.process_time() + processor_seconds(server) + decoders_cpu()
        seen.append((stats.finished, time.monotonic(), spent, resident_bytes()))

    Worker(dsn, "item_fill", load_embedder("test"), PipelineOptions(batch_size=256), on_progress=note).run()
    return seen


def decoders_cpu() -> float:
    """Return the processor time of the children that decode: ended ones, and those at work."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            comm = Path(f"/proc/{child}/cmdline")
            if comm.exists() and b"decoding.child" in comm.read_bytes():
                total += int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) / 1e9
    return total


def resident_bytes() -> int:
    """Return this process's resident memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
