"""docs/howto/bring.md as its readers follow it: each command adopts what it says."""

import io

import numpy as np
import pytest
from pageblocks import DOCS, example, read_blocks, shell_commands
from PIL import Image

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.embedding.load import load_embedder

PAGE = DOCS / "howto" / "bring.md"
ROWS = 60


@pytest.fixture
def items(connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Give a table item with the demo model's vectors, in the table itself and beside it."""
    embedder = load_embedder("demo", device="cpu")
    random = np.random.default_rng(2)
    connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, photo bytea, embedding vector)")
    connection.execute("CREATE TABLE vectors (item bigint UNIQUE, clip halfvec)")
    for key in range(1, ROWS + 1):
        small = Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        image = small.resize((128, 128), Image.Resampling.BICUBIC)
        written = io.BytesIO()
        image.save(written, "PNG")
        vector = str((9 * embedder.embed_images([image])[0]).tolist())
        connection.execute("INSERT INTO item VALUES (%s, %s, %s)", [key, written.getvalue(), vector])
        connection.execute("INSERT INTO vectors VALUES (%s, %s)", [key, vector])
    monkeypatch.setenv("IMGVEC_DSN", database)
    monkeypatch.delenv("IMGVEC_MODEL_DIR", raising=False)
    return connection


def test_commands_adopt(items: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = [block for block in read_blocks(PAGE) if not block.language and "--adopt" in block.text]
    assert len(blocks) == 2
    for block in blocks:
        for command in shell_commands(block):
            with example(block):
                assert run(cli, command.split()[1:]) == 0, capsys.readouterr().err
        said = capsys.readouterr().out
        assert "made by demo, 1.0000 (median of 50)" in said
        assert f"{ROWS} vectors adopted from public." in said
        found = items.execute(
            "SELECT precision, count(*) FROM imgvec.item_clip_embedding GROUP BY 1"
        ).fetchall()
        assert found == [("adopted", ROWS)]
        assert run(cli, ["collection", "drop", "item_clip", "--yes"]) == 0
