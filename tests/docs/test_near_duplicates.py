"""docs/howto/near-duplicates.md as its reader follows it: every command and every block, on a small table."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from pageblocks import DOCS, Block, example, read_blocks
from photostore import make_collection

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.index.radius_index import radius_index_state
from imgvec_pg.store.registry import get_collection

BLOCKS = read_blocks(DOCS / "howto" / "near-duplicates.md")


@pytest.fixture(scope="module")
def shop(module_database: str) -> Iterator[Connection]:
    with connect(module_database) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, price numeric, width int, height int)"
        )
        connection.execute(
            "INSERT INTO shop.photo SELECT i, i || '.jpg', i, i * 10, 100 FROM generate_series(1, 60) AS i"
        )
        make_collection(connection, name="photo_clip")
        # Pairs of neighbours, and one picture by itself; the vectors lie in a plane.
        connection.execute(
            "INSERT INTO imgvec.photo_clip_embedding (id, embedding, version, content_hash, precision)"
            " SELECT i, ARRAY[cos(a), sin(a), 0]::real[]::vector::halfvec, 1, sha256(i::text::bytea), 'fp32'"
            " FROM generate_series(1, 60) AS i,"
            " LATERAL (SELECT CASE i WHEN 60 THEN pi() ELSE (i / 2) * 0.05 + i * 0.001 END AS a)"
        )
        connection.execute("CREATE TABLE shop.upload (id bigint PRIMARY KEY, file text)")
        connection.execute("INSERT INTO shop.upload VALUES (1, 'new.jpg')")
        make_collection(connection, "shop.upload", "upload_clip")
        connection.execute(
            "INSERT INTO imgvec.upload_clip_embedding (id, embedding, version, content_hash, precision)"
            " SELECT 1, embedding, 1, content_hash, 'fp32' FROM imgvec.photo_clip_embedding WHERE id = 2"
        )
        yield connection


@pytest.mark.parametrize("block", BLOCKS, ids=[block.place for block in BLOCKS])
def test_a_block_runs_and_its_answer_is_not_empty(
    shop: Connection, module_database: str, block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if block.language == "sh":
        for line in block.text.splitlines():
            arguments = shlex.split(line)
            if "pixels" in arguments:
                assert run(cli, [*arguments[1:], "--dsn", module_database, "--threshold", "0.999"]) == 0
            else:
                assert run(cli, [*arguments[1:], "--dsn", module_database]) == 0
        return
    if block.language == "text":
        pytest.skip("a plan: the next test compares it")
    with example(block):
        cursor = shop.execute(block.text.encode())
        assert cursor.rowcount > 0


def test_an_anti_join_plans_as_the_page_shows_without_the_radius_index_and_with_it(
    shop: Connection, module_database: str
) -> None:
    shown = [block.text for block in BLOCKS if block.language == "text"]
    [question] = [block.text for block in BLOCKS if "NOT EXISTS (SELECT FROM imgvec.within" in block.text]
    radius = ["photo_clip", "--radius", "--dsn", module_database]
    if radius_index_state(shop, get_collection(shop, "photo_clip")).exists:
        assert run(cli, ["index", "drop", "--yes", *radius]) == 0
    for text, create in zip(shown, (False, True), strict=True):
        if create:
            assert run(cli, ["index", "create", *radius]) == 0
        for analyze in ("", "ANALYZE shop.photo, imgvec.photo_clip_embedding"):
            with shop.transaction():
                shop.execute(analyze.encode())
                # A table of one page is read whole where it is known to have one; those that an index is made for have many.
                shop.execute("SET LOCAL seq_page_cost = 100")
                plan = [row[0] for row in shop.execute(f"EXPLAIN (COSTS OFF) {question}".encode())]
            for line in text.splitlines():
                if "…" not in line:
                    assert line in plan, "\n".join(plan)
