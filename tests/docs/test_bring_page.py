"""docs/howto/bring.md as its reader follows it: its commands, its SQL and its Python, on a small table."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from filedrop import Imgvec, unit_vectors, write_vectors
from pageblocks import DOCS, Block, example, read_blocks
from photostore import make_collection

from imgvec_pg.database.connect import Connection, connect

# The section on adopting a column has a test of its own, test_bring.py.
BLOCKS = [block for block in read_blocks(DOCS / "howto" / "bring.md") if "--adopt" not in block.text]
ROWS, DIMENSIONS = 40, 512
# What the page's commands lack on this table: pictures to prove the model by, and weights to fill the rest with.
INSTEAD = {"import": ["--trust-model"], "uninstall": ["--yes"]}


def run_block(block: Block, imgvec: Imgvec, connection: Connection) -> None:
    if block.language == "python":
        scope: dict[str, object] = {}
        exec(compile(block.text, block.place, "exec"), scope)  # noqa: S102 - the page's own
        found = scope["table"].count_rows() if "table" in scope else len(scope["vectors"])  # type: ignore[attr-defined,arg-type]
        assert found == ROWS
    elif block.language == "sql" and "parquet" in block.text:
        duckdb = pytest.importorskip("duckdb")
        assert len(duckdb.sql(block.text).fetchall()) == 10
    elif block.language == "sql":
        assert connection.execute(block.text.encode()).rowcount == 10
    else:
        for line in block.text.splitlines():
            program, *arguments = shlex.split(line)
            if program == "embedding-atlas":  # tests/peers runs it
                assert list(Path().glob(arguments[0]))
            elif arguments[0] == "collection":
                make_collection(
                    connection, "shop.product", "product_clip", dimensions=DIMENSIONS, image=["photo_path"]
                )
            elif arguments[0] != "backfill":
                imgvec(*arguments, *INSTEAD.get(arguments[0], []))


def test_the_page_runs_from_top_to_bottom(
    connection: Connection,
    database: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("lancedb")
    connection.execute("CREATE SCHEMA shop")
    connection.execute(
        "CREATE TABLE shop.product (id bigint PRIMARY KEY, name text, price numeric, photo_path text)"
    )
    connection.execute(
        "INSERT INTO shop.product SELECT i, 'shoe', i, i || '.jpg' FROM generate_series(1, %s) AS i", [ROWS]
    )
    write_vectors(
        tmp_path / "items.parquet",
        range(1, ROWS + 1),
        unit_vectors(ROWS, DIMENSIONS),
        key="item_id",
        column="emb",
    )
    imgvec = Imgvec(database, capsys)
    with connect(database) as asking:
        for block in BLOCKS:
            if "numpy.load" in block.text:
                np.save(
                    tmp_path / "vectors" / "embeddings_00000.npy", np.load(exported_npy(imgvec, tmp_path))
                )
            with example(block):
                run_block(block, imgvec, asking)


def exported_npy(imgvec: Imgvec, folder: Path) -> Path:
    imgvec("export", "product_clip", folder / "other", "--format", "npy")
    return folder / "other" / "embeddings_00000.npy"
