"""What adopting a column of 20,000 vectors takes, says and gives, beside embedding the rows.

Run: python benchmarks/adoption.py [--rows N] [--pictures N] [--columns NAME ...]
A small CLIP with QuickGELU and seeded weights (112 pixels, 6 layers of 256), from which plain GELU is as far as from real
weights, stands for a real one. open_clip alone, in a process of its own, makes the vectors of each picture in three ways, and
once more with other weights. Each row has bytes of its own, several the same picture. Both ways run in this process, the model
in memory already is loaded anew by each; embedding is measured over as many rows as there are pictures, all different, without
its index.
"""

import argparse
import contextlib
import io
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from psycopg import sql

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from outside_vectors import Float32Array, embed_outside, write_photos, write_quickgelu_model
from tinymodel import write_tiny_model

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.unprivileged import make_temporary_directory
from imgvec_pg.database.migrations import upgrade

DIMENSIONS = 256
COLUMNS = {
    "by_right": "m.made_right",
    "by_plain": "m.made_plain",
    "by_other_mean": "m.made_other_mean",
    "plain_early": "CASE WHEN i <= 0.3 * n.rows THEN m.made_plain ELSE m.made_right END",
    "other_between": "CASE WHEN hashint4(i) %% 10 IN (0, 1, 2) THEN m.made_other ELSE m.made_right END",
    "plain_between": "CASE WHEN hashint4(i) %% 10 IN (0, 1, 2) THEN m.made_plain ELSE m.made_right END",
}
"""Columns of the table item, as SQL over what was made of a row's picture."""
ITEMS = """
    CREATE TABLE item AS
    SELECT i AS id, m.photo || int4send(i) AS photo, {columns}
    FROM (SELECT %s AS rows, %s AS pictures) AS n, generate_series(1, n.rows) AS i
    JOIN made AS m ON m.id = (i - 1) %% %s + 1;
    ALTER TABLE item ADD PRIMARY KEY (id)
"""


def write_model(folder: Path, seed: int = 3) -> Path:
    """Write the model, wider than the tests' one."""

    def write(folder: Path, *, seed: int, change: Callable[[dict[str, Any]], None]) -> Path:
        def wider(config: dict[str, Any]) -> None:
            change(config)
            config["model_cfg"]["embed_dim"] = DIMENSIONS
            config["model_cfg"]["vision_cfg"] |= {"image_size": 112, "width": 256, "layers": 6}

        return write_tiny_model(folder, seed=seed, change=wider)

    return write_quickgelu_model(folder, write, seed=seed)


def imgvec(dsn: str, *arguments: str) -> tuple[int, str, float]:
    """Run a command here and return its exit code, output and seconds."""
    began = time.perf_counter()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run(cli, [*arguments, "--dsn", dsn, "--device", "cpu"])
    return code, said.getvalue(), time.perf_counter() - began


def fill(connection: Connection, photos: list[bytes], made: dict[str, Float32Array], rows: int) -> None:
    """Make the table item: each row has one of the pictures, with bytes behind it that are its own."""
    names = [f"made_{name}" for name in made]
    vectors = sql.SQL(", ").join(
        sql.SQL("{} vector({})").format(sql.Identifier(name), sql.Literal(DIMENSIONS)) for name in names
    )
    connection.execute(sql.SQL("CREATE TABLE made (id integer PRIMARY KEY, photo bytea, {})").format(vectors))
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    with connection.cursor().copy(sql.SQL("COPY made (id, photo, {}) FROM STDIN").format(columns)) as copy:
        for number, photo in enumerate(photos):
            copy.write_row((number + 1, photo, *(str(column[number].tolist()) for column in made.values())))
    values = ", ".join(f"{value} AS {name}" for name, value in COLUMNS.items())
    create, key = ITEMS.format(columns=values).split(";")
    connection.execute(create.encode(), [rows, len(photos), len(photos)])
    connection.execute(key.encode())
    connection.execute("CREATE TABLE few AS SELECT id, photo FROM made")
    connection.execute("ALTER TABLE few ADD PRIMARY KEY (id)")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=list(COLUMNS))
    arguments = parser.parse_args()
    directory = make_temporary_directory("imgvec-adoption-")
    try:
        photos = write_photos(directory / "photos", arguments.pictures)
        model = write_model(directory / "clip")
        made = embed_outside(model, directory / "photos", directory / "vectors.npz")
        other = write_model(directory / "other", seed=4)
        made["other"] = embed_outside(other, directory / "photos", directory / "other.npz", only="right")[
            "right"
        ]
        with LocalServer(directory / "server", die_with_parent=True) as server:
            with connect(server.dsn()) as connection:
                upgrade(connection)
                fill(connection, photos, made, arguments.rows)
            measure(server.dsn(), f"local-dir:{model}", arguments.rows, arguments.pictures, arguments.columns)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure(dsn: str, model: str, rows: int, few: int, columns: list[str]) -> None:
    """Embed some rows, adopt each column, compare."""
    create = ("collection", "create", "--image", "photo", "--model", model)
    code, said, _ = imgvec(dsn, *create, "few_clip", "--source", "few")
    assert code == 0, said
    code, said, seconds = imgvec(dsn, "backfill", "few_clip", "--no-index", "--precision", "fp32")
    assert code == 0, said
    embedding = seconds * rows / few
    print(f"embedding {few:,} rows: {seconds:.1f} s, so {rows:,} take {embedding:.0f} s\n")
    print(f"{'column':<15}{'adopted':>8}{'wrong':>7}{'queued':>8}{'seconds':>9}{'faster':>8}  what was said")
    for name in columns:
        code, said, seconds = imgvec(dsn, *create, f"c_{name}", "--source", "item", "--adopt", f"item.{name}")
        line = next((x for x in said.splitlines() if "made by" in x or "by none" in x), said)
        with connect(dsn) as connection:
            report(connection, name, code, seconds, embedding, line.replace(model, "MODEL"))
    with connect(dsn) as connection:
        print(f"\nten nearest, adopted beside embedded: {same_nearest(connection, few):.3f} the same")


def report(connection: Connection, name: str, code: int, seconds: float, embedding: float, line: str) -> None:
    """Print a row of the table: adopted vectors, those of them that are not the right ones, rows enqueued."""
    adopted = wrong = queued = 0
    if code == 0:
        statement = sql.SQL(
            "SELECT count(*), count(*) FILTER (WHERE (e.embedding::vector <=> i.by_right) > 0.001)"
            " FROM imgvec.{} AS e JOIN item AS i USING (id)"
        ).format(sql.Identifier(f"c_{name}_embedding"))
        [(adopted, wrong)] = connection.execute(statement).fetchall()
        [(queued,)] = connection.execute(
            "SELECT coalesce(sum(jsonb_array_length(keys)), 0) FROM imgvec.job AS j JOIN imgvec.collection AS c"
            " ON c.id = j.collection_id WHERE c.name = %s",
            [f"c_{name}"],
        ).fetchall()
    faster = f"{embedding / seconds:.0f}x" if code == 0 else "refused"
    print(f"{name:<15}{adopted:>8,}{wrong:>7,}{queued:>8,}{seconds:>9.1f}{faster:>8}  {line}", flush=True)


def same_nearest(connection: Connection, few: int) -> float:
    """Return the share of exact ten nearest, of a hundred rows, that adopted and embedded rows have in common."""
    shares = []
    for key in range(1, few + 1, max(1, few // 100)):
        found = []
        for name in ("c_by_right", "few_clip"):
            statement = sql.SQL(
                "SELECT n.id FROM imgvec.{} (%s) AS n WHERE n.id <= %s ORDER BY n.distance + 0 LIMIT 10"
            ).format(sql.Identifier(f"near_{name}_row"))
            found.append({other for (other,) in connection.execute(statement, [key, few])})
        shares.append(len(found[0] & found[1]) / 10)
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
