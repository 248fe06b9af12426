"""Rows a second of export and import, beside write_embeddings and a plain binary COPY, and how much memory they take.

Run: python benchmarks/transfer.py [--rows 200000] [--dimensions 512] [--layouts parquet npy lance] [--json FILE]

Each import begins with an empty embedding table: primary key, foreign key, CHECK, the index on hashes, row-level security, no
HNSW index. "import, float16" reads a file as pyarrow writes it by default, with a dictionary and compressed, which suits halves
badly; "import of that" reads an export of imgvec's own. Exports read over two connections, which is the default, but where it
says otherwise, and those to LanceDB. The plain COPY goes into the very same table, over one connection, from bytes that were
ready before the clock began; a bare table has none of those. Commands run as processes of their own, without
their start. Only the ratios of one run count. The table printed is kept in benchmarks/results/transfer.txt.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parent.parent / "tests"
for folder in ("chaos", "support", "plugins"):
    sys.path.insert(0, str(TESTS / folder))

import sqlalchemy as sa  # noqa: E402
from filedrop import unit_vectors, write_vectors  # noqa: E402
from own import own_server  # noqa: E402
from photostore import make_photos  # noqa: E402
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column  # noqa: E402

from imgvec_pg.database.binary_rows import COPY_END, COPY_HEADER, encode_rows  # noqa: E402
from imgvec_pg.database.connect import Connection, connect  # noqa: E402
from imgvec_pg.sqlalchemy import EmbeddingMixin, write_embeddings  # noqa: E402

TABLE = "imgvec.photo_test_embedding"
COPY_ROWS = 8192
LAYOUTS = ("parquet", "npy", "lance")


class Base(DeclarativeBase):
    """Models of the benchmark."""

    metadata = sa.MetaData(schema="shop")


class Photo(Base):
    """The source."""

    __tablename__ = "photo"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    file: Mapped[str | None]


class PhotoTest(EmbeddingMixin, Base):
    """Its embeddings."""

    __source__ = Photo
    __collection__ = "photo_test"


def plain_copy(connection: Connection, pieces: list[bytes], table: str) -> float:
    """Return the seconds of COPY alone, a transaction each 8,192 rows."""
    begun = time.perf_counter()
    for data in pieces:
        with connection.cursor().copy(
            f"COPY {table} (id, embedding, version, content_hash, reference_hash, precision) FROM STDIN (FORMAT binary)"
        ) as copy:
            copy.write(data)
    return time.perf_counter() - begun


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds that it says itself, the most memory in MB, and processor seconds here and in the server."""

    seconds: float
    memory: float
    client: float
    server: float


def server_cpu(connection: Connection) -> float:
    """Return the processor seconds of the server's processes, those that ended among them."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    parent = int(_stat(str(row[0] if row else 0))[1])
    processes = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]
    total = sum(map(int, _stat(str(parent))[11:15]))
    for pid in processes:
        fields = _stat(pid)
        if fields and int(fields[1]) == parent:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _stat(pid: str) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name: state, parent, ..., from the 12th on times (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def command(connection: Connection, dsn: str, *arguments: object) -> Cost:
    """Run imgvec in a process."""
    # Not ru_maxrss, which a process inherits from the one that started it.
    code = (
        "import sys, time; from pathlib import Path\n"
        "from imgvec_pg.cli.exit_codes import run; from imgvec_pg.cli.main import cli\n"
        "import pyarrow.parquet, sqlalchemy; from imgvec_pg.transfer import export_collection, import_collection\n"
        "begun = time.process_time(); code = run(cli, sys.argv[1:])\n"
        "peak = [line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM')]\n"
        "print(time.process_time() - begun, int(peak[0].split()[1]) // 1024, file=sys.stderr); sys.exit(code)"
    )
    before = server_cpu(connection)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments), "--json", "--dsn", dsn],
        capture_output=True,
        text=True,
        check=True,
    )
    time.sleep(0.5)  # until its backends have ended
    client, memory = map(float, done.stderr.split()[-2:])
    seconds = float(json.loads(done.stdout)["seconds"])
    return Cost(seconds, memory, client, server_cpu(connection) - before)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=LAYOUTS, help="of exports")
    parser.add_argument("--json", type=Path, help="file for the rates, in units of COPY's")
    options = parser.parse_args()
    rows, dimensions = options.rows, options.dimensions
    root = Path(tempfile.mkdtemp(prefix="imgvec-transfer-"))
    try:
        with (
            own_server(settings={"shared_buffers": "512MB", "max_wal_size": "4GB"}) as own,
            connect(own.dsn) as connection,
        ):
            make_photos(connection, rows, dimensions=dimensions)
            connection.execute("VACUUM ANALYZE shop.photo")
            ratios = measure(own.dsn, connection, root, rows, dimensions, options.layouts)
    finally:
        shutil.rmtree(root)
    if options.json:
        options.json.write_text(json.dumps(ratios))


def measure(
    dsn: str, connection: Connection, root: Path, rows: int, dimensions: int, layouts: list[str]
) -> dict[str, float]:
    """Print a line for each way, and return its rate in units of that of COPY into the embedding table."""
    vectors = unit_vectors(rows, dimensions)
    files = {
        kind: write_vectors(root / f"{kind}.parquet", range(1, rows + 1), vectors.astype(kind))
        for kind in ("float16", "float32")
    }
    halves, keys = vectors.astype(">f2"), np.arange(1, rows + 1, dtype=">i8")
    pieces = [
        encoded(keys[start : start + COPY_ROWS], halves[start : start + COPY_ROWS])
        for start in range(0, rows, COPY_ROWS)
    ]

    def emptied(work: Callable[[], float]) -> float:
        connection.execute(f"TRUNCATE {TABLE}; CHECKPOINT")
        return rows / work()

    connection.execute(
        f"CREATE TABLE bare AS SELECT * FROM {TABLE}; ALTER TABLE bare ALTER embedded_at SET DEFAULT now()"
    )
    results: list[tuple[str, float, Cost | None]] = [
        ("COPY into a bare table, no import of ours", rows / plain_copy(connection, pieces, "bare"), None)
    ]
    connection.execute("DROP TABLE bare")
    before = server_cpu(connection)
    copy = emptied(lambda: plain_copy(connection, pieces, TABLE))
    results.append(("COPY into the embedding table", copy, Cost(0, 0, 0, server_cpu(connection) - before)))
    results.append(("write_embeddings", emptied(lambda: by_orm(dsn, vectors)), None))
    del halves
    for kind, path in files.items():
        for jobs in (2, 1):
            costs: list[Cost] = []

            def take_in(path: Path = path, jobs: int = jobs, costs: list[Cost] = costs) -> float:
                costs.append(
                    command(connection, dsn, "import", "photo_test", path, "--trust-model", "--jobs", jobs)
                )
                return costs[0].seconds

            results.append((f"imgvec import, {kind}, --jobs {jobs}", emptied(take_in), costs[0]))
    assert connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone() == (rows,)
    cost = command(connection, dsn, "import", "photo_test", files["float16"], "--trust-model")
    results.append(("imgvec import again: all are there", rows / cost.seconds, cost))
    for layout in layouts:
        for kind in ("float16", "float32"):
            if layout != "lance":
                there = root / "alone"
                given = ("--format", layout, "--vectors", kind, "--jobs", 1)
                cost = command(connection, dsn, "export", "photo_test", there, *given)
                results.append((f"imgvec export, {layout}, {kind}, --jobs 1", rows / cost.seconds, cost))
                shutil.rmtree(there)
            there = root / f"{layout}-{kind}"
            jobs = "" if layout == "lance" else ", --jobs 2"
            cost = command(
                connection, dsn, "export", "photo_test", there, "--format", layout, "--vectors", kind
            )
            results.append((f"imgvec export, {layout}, {kind}{jobs}", rows / cost.seconds, cost))
            connection.execute(f"TRUNCATE {TABLE}; CHECKPOINT")
            cost = command(connection, dsn, "import", "photo_test", there)
            results.append((f"imgvec import of that, {layout}, {kind}", rows / cost.seconds, cost))
            assert connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone() == (rows,)
            shutil.rmtree(there)
    begun = time.perf_counter()
    with connection.cursor().copy(
        f"COPY (SELECT id, embedding FROM {TABLE}) TO STDOUT (FORMAT binary)"
    ) as out:
        for _ in out:
            pass
    results.append(("COPY out, thrown away", rows / (time.perf_counter() - begun), None))
    print(f"{rows:,} rows of {dimensions} dimensions; processor time in us a row\n")
    print(f"{'':43} rows/s  of COPY  client  server  memory")
    for name, rate, used in results:
        line = f"{name:42} {rate:9,.0f}  {rate / copy:7.2f}"
        if used is not None:
            client = f"{used.client / rows * 1e6:6.1f}" if used.client else ""
            memory = f"{used.memory:.0f} MB" if used.memory else ""
            line += f"  {client:6}  {used.server / rows * 1e6:6.1f}  {memory}"
        print(line.rstrip())
    return {name: rate / copy for name, rate, _ in results}


def encoded(keys: np.ndarray, halves: np.ndarray) -> bytes:
    """Return rows as COPY takes them, with hashes as an import writes them."""
    count, packed = len(keys), keys.tobytes()
    split = [packed[start : start + 8] for start in range(0, len(packed), 8)]
    rows = encode_rows([split], halves, [b""] * count, [bytes(32)] * count, 0, "imported")
    return b"".join([COPY_HEADER, *rows, COPY_END])


def by_orm(dsn: str, vectors: np.ndarray) -> float:
    """Return the seconds of write_embeddings in one transaction."""
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: connect(dsn, autocommit=False))
    begun = time.perf_counter()
    with Session(engine) as session:
        write_embeddings(session, PhotoTest, range(1, len(vectors) + 1), vectors)
        session.commit()
    seconds = time.perf_counter() - begun
    engine.dispose()
    return seconds


if __name__ == "__main__":
    main()
