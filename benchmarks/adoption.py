"""What adopting a column of 20,000 vectors takes, says and gives, beside embedding the rows.

Run: python benchmarks/adoption.py [--rows N] [--pictures N]
A small CLIP with QuickGELU and seeded weights (112 pixels, 6 layers of 256), from which plain GELU is as far as from real
weights, stands for a real one. open_clip alone, in a process of its own, makes the vectors of each picture in three ways, and
once more with other weights. Each row has bytes of its own, several the same picture. Times are whole commands; embedding is
measured over 1,000 rows of different pictures. The table printed is kept in benchmarks/results/adoption.txt.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from outside_vectors import embed_outside, write_photos, write_quickgelu_model
from tinymodel import write_tiny_model

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.database.migrations import upgrade

HERE = Path(__file__).resolve().parents[1]
EMBEDDED = 1000
DIMENSIONS = 256


def write_model(folder: Path, seed: int = 3) -> Path:
    """Write the model, wider than the tests' one."""

    def write(folder: Path, *, seed: int, change: object) -> Path:
        def wider(config: dict) -> None:  # type: ignore[type-arg]
            change(config)  # type: ignore[operator]
            config["model_cfg"]["embed_dim"] = DIMENSIONS
            config["model_cfg"]["vision_cfg"] |= {"image_size": 112, "width": 256, "layers": 6}

        return write_tiny_model(folder, seed=seed, change=wider)

    return write_quickgelu_model(folder, write, seed=seed)


def imgvec(dsn: str, *arguments: str) -> tuple[int, str, float]:
    """Run a command and return its exit code, output and seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "imgvec_pg", *arguments, "--dsn", dsn],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, time.perf_counter() - began


def fill(connection: Connection, photos: list[bytes], columns: dict[str, np.ndarray], rows: int) -> None:
    """Make the table item: a picture and each way's vectors a row."""
    names = ", ".join(f"{name} vector({DIMENSIONS})" for name in columns)
    connection.execute(f"CREATE TABLE item (id integer PRIMARY KEY, photo bytea, {names})")  # type: ignore[arg-type]
    with connection.cursor().copy(f"COPY item (id, photo, {', '.join(columns)}) FROM STDIN") as copy:  # type: ignore[arg-type]
        for row in range(rows):
            picture = row % len(photos)
            vectors = [f"[{','.join(f'{x:.8g}' for x in column[row])}]" for column in columns.values()]
            copy.write_row((row + 1, photos[picture] + row.to_bytes(4, "big"), *vectors))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--pictures", type=int, default=1000)
    arguments = parser.parse_args()
    directory = make_temporary_directory("imgvec-adoption-")
    try:
        photos = write_photos(directory / "photos", arguments.pictures)
        model = write_model(directory / "clip")
        made = embed_outside(model, directory / "photos", directory / "vectors.npz")
        other = write_model(directory / "other", seed=4)
        made["other"] = embed_outside(other, directory / "photos", directory / "other.npz")["right"]
        which = np.arange(arguments.rows) % arguments.pictures
        columns = {f"v_{name}": vectors[which] for name, vectors in made.items()}
        random = np.random.default_rng(5).random(arguments.rows)
        early = np.arange(arguments.rows) < 0.3 * arguments.rows
        columns["v_plain_early"] = np.where(early[:, None], columns["v_plain"], columns["v_right"])
        columns["v_other_between"] = np.where(random[:, None] < 0.3, columns["v_other"], columns["v_right"])
        columns["v_plain_between"] = np.where(random[:, None] < 0.3, columns["v_plain"], columns["v_right"])
        with LocalServer(directory / "server", die_with_parent=True) as server:
            with connect(server.dsn()) as connection:
                upgrade(connection)
                fill(connection, photos, columns, arguments.rows)
                connection.execute("CREATE TABLE few AS SELECT id, photo FROM item WHERE id <= 1000")
                connection.execute("ALTER TABLE few ADD PRIMARY KEY (id)")
            measure(server.dsn(), f"local-dir:{model}", list(columns), arguments.rows)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure(dsn: str, model: str, columns: list[str], rows: int) -> None:
    """Adopt each column, embed some rows, compare."""
    create = ("collection", "create", "--image", "photo", "--model", model)
    code, said, _ = imgvec(dsn, *create, "few_clip", "--source", "few")
    assert code == 0, said
    code, said, seconds = imgvec(
        dsn, "backfill", "few_clip", "--no-index", "--device", "cpu", "--precision", "fp32"
    )
    assert code == 0, said
    embedding = seconds * rows / EMBEDDED
    print(f"embedding {EMBEDDED:,} rows: {seconds:.1f} s, so {rows:,} take {embedding:.0f} s\n")
    print(f"{'column':<15}{'adopted':>8}{'wrong':>7}{'queued':>8}{'seconds':>9}{'faster':>8}  what was said")
    for name in columns:
        column = ("--source", "item", "--adopt", f"public.item.{name}", "--device", "cpu")
        code, said, seconds = imgvec(dsn, *create, f"c{name[1:]}", *column)
        line = next((x for x in said.splitlines() if "made by" in x or "by none" in x), said)
        with connect(dsn) as connection:
            report(connection, name, code, seconds, embedding, line.replace(model, "MODEL"))
    with connect(dsn) as connection:
        print(
            f"\nten nearest of 100 rows among {EMBEDDED:,}, adopted beside embedded: {same_nearest(connection):.3f} the same"
        )


def report(connection: Connection, name: str, code: int, seconds: float, embedding: float, line: str) -> None:
    """Print a row of the table: adopted vectors, those of them that are not the right ones, rows enqueued."""
    adopted = wrong = queued = 0
    if code == 0:
        [(adopted, wrong)] = connection.execute(
            f"SELECT count(*), count(*) FILTER (WHERE (e.embedding::vector <=> i.v_right) > 0.001)"  # type: ignore[arg-type]
            f" FROM imgvec.c{name[1:]}_embedding AS e JOIN item AS i USING (id)"
        ).fetchall()
        [(queued,)] = connection.execute(
            "SELECT coalesce(sum(jsonb_array_length(keys)), 0) FROM imgvec.job AS j JOIN imgvec.collection AS c"
            " ON c.id = j.collection_id WHERE c.name = %s",
            [f"c{name[1:]}"],
        ).fetchall()
    faster = f"{embedding / seconds:.0f}x" if code == 0 else "refused"
    print(f"{name:<15}{adopted:>8,}{wrong:>7,}{queued:>8,}{seconds:>9.1f}{faster:>8}  {line}", flush=True)


def same_nearest(connection: Connection) -> float:
    """Return the share of exact ten nearest that the adopted rows and the embedded ones have in common."""
    shares = []
    for key in range(1, EMBEDDED + 1, EMBEDDED // 100):
        found = [
            {
                other
                for (other,) in connection.execute(
                    f"SELECT n.id FROM imgvec.near_{name}_row(%s) AS n WHERE n.id <= %s ORDER BY n.distance + 0 LIMIT 10",  # type: ignore[arg-type]
                    [key, EMBEDDED],
                )
            }
            for name in ("c_right", "few_clip")
        ]
        shares.append(len(found[0] & found[1]) / 10)
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
