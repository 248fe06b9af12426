"""The demo's photographs: altered copies are found by their originals, offline, and the model says that it has no words."""

from pathlib import Path

import pytest
from PIL import Image

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.demo.examples import run_example
from imgvec_pg.demo.photographs import (
    ALTERATIONS,
    COLLECTION,
    DUPLICATES,
    MORE_LIKE_THIS,
    RECOGNISED,
    SHIPPED,
    open_photographs,
    write_photographs,
)


def test_every_photograph_says_whose_it_is() -> None:
    told = (SHIPPED / "README.md").read_text(encoding="utf-8")
    shipped = sorted(path.name for path in SHIPPED.glob("*.jpg"))
    assert len(shipped) == 11
    for name in shipped:
        [line] = [line for line in told.splitlines() if line.startswith(f"| `{name}` ")]
        assert line.endswith(("CC0 |", "public domain |"))


def test_photographs_are_written_once(tmp_path: Path) -> None:
    rows = write_photographs(tmp_path)
    assert len(rows) == 11 * len(ALTERATIONS)
    (tmp_path / str(rows[3]["file"])).write_bytes(b"")  # as after a power cut
    before = (tmp_path / str(rows[0]["file"])).stat().st_mtime_ns
    assert write_photographs(tmp_path) == rows
    assert (tmp_path / str(rows[0]["file"])).stat().st_mtime_ns == before
    for row in rows:
        with Image.open(tmp_path / str(row["file"])) as image:
            image.load()


def test_altered_photographs_are_recognised(
    connection: Connection,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("IMGVEC_CACHE_DIR", str(tmp_path / "cache"))
    rows = write_photographs(tmp_path / "photographs")
    open_photographs(connection, rows, tmp_path / "photographs")
    options = ["--device", "cpu", "--precision", "fp32", "--dsn", database]
    assert run(cli, ["backfill", COLLECTION, *options]) == 0
    found = {row[0]: row[1:3] for row in run_example(connection, RECOGNISED).rows}
    for altered in ("mirrored", "darker", "cropped", "smaller", "warmer"):
        assert found[altered] == (11, 11)
    assert found["watermarked"][1] >= 8
    assert {row[0] for row in run_example(connection, DUPLICATES).rows} == {"rocket"}
    assert run_example(connection, MORE_LIKE_THIS).rows[0][0] == "cat"
    capsys.readouterr()
    assert run(cli, ["search", "a cat", "--collection", COLLECTION, *options]) == 2
    assert "no text tower" in capsys.readouterr().err
