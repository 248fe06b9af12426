"""Real photographs, a real architecture with seeded weights: SQL gives the neighbours that OpenCLIP's own vectors have.

Seeded weights carry no meaning; this is about right numbers. Meaning is tested with the demo model.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from fresh_databases import Server, fresh_database
from lean_processes import without_transformers
from photographs import write_photographs

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect

ARCHITECTURE = "ViT-S-32-alt"
# A batch adds in another order than one picture alone, and a last bit may then round to the neighbouring half
# (2 ** -11 of a component): seen up to 2.1e-6 of distance.
TIE = 1e-5


@dataclass(frozen=True)
class Shop:
    """A filled shop: connection, files by id (from 1) and OpenCLIP's vectors of them, rounded as halfvec stores them."""

    connection: Connection
    files: list[Path]
    vectors: npt.NDArray[np.float64]
    raw: npt.NDArray[np.float32]

    def distances(self, row: int) -> npt.NDArray[np.float64]:
        """Cosine distances of all rows to the row with id `row`."""
        return 1 - self.vectors @ self.vectors[row - 1]


def imgvec(*arguments: str) -> None:
    assert run(cli, arguments) == 0, arguments


@pytest.fixture(scope="module")
def shop(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("photographs")
    files = write_photographs(folder / "photos")
    names = folder / "names.txt"
    names.write_text("\n".join(map(str, files)))
    reference = [str(Path(__file__).with_name("reference.py")), str(folder / "model"), ARCHITECTURE]
    done = subprocess.run(
        [sys.executable, *reference, str(names), str(folder / "vectors.npy")],
        env=without_transformers(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    raw = np.load(folder / "vectors.npy")
    stored = raw.astype(np.float16).astype(np.float64)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    with fresh_database(server) as dsn:
        imgvec("migrate", "--dsn", dsn)
        with connect(dsn) as connection:
            fill_tables(connection, files)
            source = ("--source", "shop.product", "--image", "photo_path", "--root", str(folder / "photos"))
            model = f"local-dir:{folder / 'model'}"
            imgvec("collection", "create", "product_clip", *source, "--model", model, "--dsn", dsn)
            # The comparison's bounds are those of fp32, which is not the default where a CPU has bf16 instructions. One worker: a
            # second would load the model once more.
            imgvec("backfill", "product_clip", "--precision", "fp32", "--dsn", dsn)
            yield Shop(connection, files, stored, raw)


def fill_tables(connection: Connection, files: Sequence[Path]) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.supplier (id int PRIMARY KEY, country text NOT NULL)")
    connection.execute(
        "INSERT INTO shop.supplier SELECT g, (ARRAY['FR', 'DE', 'IT'])[g % 3 + 1] FROM generate_series(1, 9) g"
    )
    connection.execute(
        "CREATE TABLE shop.product (id bigint PRIMARY KEY, supplier_id int NOT NULL REFERENCES shop.supplier,"
        " price numeric NOT NULL, in_stock boolean NOT NULL, photo_path text)"
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO shop.product VALUES (%s, %s, %s, %s, %s)",
            [(i, i % 9 + 1, i * 7 % 100, i % 3 > 0, file.name) for i, file in enumerate(files, 1)],
        )


def assert_nearest(shop: Shop, row: int, found: list[tuple[int, float]], allowed: set[int]) -> None:
    """The found (id, distance) are the ten nearest allowed ids, other than `row`, by OpenCLIP's own vectors."""
    distances = shop.distances(row)
    expected = sorted(distances[i - 1] for i in allowed - {row})[:10]
    assert len(found) == min(10, len(expected))
    assert len({i for i, _ in found}) == len(found)
    assert {i for i, _ in found} <= allowed - {row}
    np.testing.assert_allclose([distances[i - 1] for i, _ in found], expected, atol=TIE)
    np.testing.assert_allclose([distance for _, distance in found], expected, atol=TIE)


def test_every_photograph_has_one_embedding_equal_to_openclips(shop: Shop) -> None:
    rows = shop.connection.execute(
        "SELECT id, embedding::real[] FROM imgvec.product_clip_embedding ORDER BY id"
    ).fetchall()
    assert [i for i, _ in rows] == list(range(1, len(shop.files) + 1))
    ours = np.array([vector for _, vector in rows], dtype=np.float64)
    cosines = (ours * shop.raw).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(shop.raw, axis=1)
    assert cosines.min() >= 0.9999


def test_ten_nearest_of_every_photograph(shop: Shop) -> None:
    for row in range(1, len(shop.files) + 1):
        found = shop.connection.execute(
            "SELECT id, distance FROM imgvec.near_product_clip_row(%s) ORDER BY distance LIMIT 10", [row]
        ).fetchall()
        assert_nearest(shop, row, found, set(range(1, len(shop.files) + 1)))


def test_ten_nearest_under_a_filter_with_a_join(shop: Shop) -> None:
    allowed = {
        i
        for i in range(1, len(shop.files) + 1)
        if i * 7 % 100 < 50 and i % 3 > 0 and ("FR", "DE", "IT")[(i % 9 + 1) % 3] == "DE"
    }
    shop.connection.execute("SET hnsw.iterative_scan = strict_order")
    for row in range(1, len(shop.files) + 1):
        found = shop.connection.execute(
            "SELECT p.id, n.distance FROM imgvec.near_product_clip_row(%s) n JOIN shop.product p USING (id)"
            " JOIN shop.supplier s ON s.id = p.supplier_id"
            " WHERE p.price < 50 AND p.in_stock AND s.country = 'DE' ORDER BY n.distance LIMIT 10",
            [row],
        ).fetchall()
        assert_nearest(shop, row, found, allowed)


def test_search_function_finds_the_same(shop: Shop) -> None:
    for row in range(1, len(shop.files) + 1, 7):
        found = shop.connection.execute(
            "SELECT id, distance FROM imgvec.search_product_clip(imgvec.embedding_of('product_clip', %s), 11)",
            [row],
        ).fetchall()
        assert_nearest(
            shop, row, [item for item in found if item[0] != row][:10], set(range(1, len(shop.files) + 1))
        )
