"""docs/howto/map.md as its reader follows it: every command and every block, on a small table."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from colorshop import picture
from pageblocks import DOCS, example, read_blocks
from photostore import make_collection
from requires import requires

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect

pytestmark = requires("openTSNE")


@pytest.fixture
def shop(connection: Connection, tmp_path: Path) -> Connection:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, kind text, price numeric)")
    make_collection(connection, name="photo_clip", dimensions=8, root=str(tmp_path))
    random = np.random.default_rng(1)
    for key in range(30):
        (tmp_path / f"{key}.png").write_bytes(picture("red"))
        connection.execute(
            "INSERT INTO shop.photo VALUES (%s, %s, %s, %s)", [key, f"{key}.png", "abc"[key % 3] * 3, key]
        )
        vector = random.normal(size=8) / 9 + np.eye(8)[key % 3]
        connection.execute(
            "INSERT INTO imgvec.photo_clip_embedding (id, embedding, version, content_hash, precision)"
            " VALUES (%s, %s, 1, sha256(%s::text::bytea), 'fp32')",
            [key, str((vector / np.linalg.norm(vector)).tolist()), key],
        )
    connection.execute("ANALYZE shop.photo")
    return connection


def test_the_page_in_order(
    shop: Connection, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_DSN", database)
    monkeypatch.chdir(tmp_path)
    blocks = read_blocks(DOCS / "howto" / "map.md")
    assert [block.language for block in blocks] == ["sh", "sql", "sh", "sh", "sql", "sh"]
    for block in blocks:
        with example(block):
            if block.language == "sh":
                for line in block.text.strip().splitlines():
                    program, *arguments = shlex.split(line)
                    assert (program, run(cli, arguments)) == ("imgvec", 0)
                continue
            with connect(database) as reader:
                assert reader.execute(block.text.strip()).fetchall()  # type: ignore[arg-type]
    assert (tmp_path / "map.html").stat().st_size > 10_000 < (tmp_path / "map.png").stat().st_size
