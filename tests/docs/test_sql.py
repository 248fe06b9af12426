"""docs/reference/sql.md: every function of the schema as pg_proc has it, and every example run."""

import re
from collections.abc import Iterator

import psycopg
import pytest
from pageblocks import DOCS, Block, example, read_blocks
from photostore import make_collection
from routines import documented_routines

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect

PAGE = DOCS / "reference" / "sql.md"
HEADING = re.compile(r"^### `(imgvec\..+)`\n(.+)$", re.MULTILINE)
EXAMPLES = [block for block in read_blocks(PAGE) if block.language == "sql"]
NEEDS_WORKER = "-- needs a running worker\n"


@pytest.fixture(scope="module")
def shop(module_database: str) -> Iterator[Connection]:
    with connect(module_database) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.product (id bigint PRIMARY KEY, name text, price numeric, in_stock boolean, photo text)"
        )
        connection.execute(
            "INSERT INTO shop.product SELECT i, 'name ' || i, i, i % 2 = 0, i || '.jpg' FROM generate_series(1, 60) AS i"
        )
        make_collection(connection, "shop.product", "product_clip", image=["photo"])
        connection.execute(
            "INSERT INTO imgvec.product_clip_embedding (id, embedding, version, content_hash, precision)"
            " SELECT id, l2_normalize(ARRAY[id, 20, 3]::real[]::vector)::halfvec, 1, sha256(photo::bytea), 'fp32'"
            " FROM shop.product"
        )
        connection.execute(
            "INSERT INTO imgvec.text_embedding (model_id, text, embedding)"
            " SELECT m.id, t, '[1,0,0]' FROM imgvec.model AS m, unnest(ARRAY['red leather shoes', 'a hat']) AS t"
        )
        connection.execute("UPDATE imgvec.model SET logit_scale = 100; SET imgvec.text_timeout = '100 ms'")
        assert run(cli, ["calibrate", "product_clip", "--sample", "40", "--dsn", module_database]) == 0
        connection.execute("CREATE ROLE analyst")
        try:
            yield connection
        finally:
            connection.execute("DROP OWNED BY analyst; DROP ROLE analyst")


def test_every_function_is_told_as_it_is(shop: Connection) -> None:
    told = dict(HEADING.findall(PAGE.read_text()))
    assert told == documented_routines(shop)


@pytest.mark.parametrize("block", EXAMPLES, ids=[block.place for block in EXAMPLES])
def test_an_example_runs(shop: Connection, block: Block) -> None:
    if block.text.startswith(NEEDS_WORKER):
        with pytest.raises(psycopg.Error, match="worker"):
            shop.execute(block.text.encode())
        return
    with example(block):
        cursor = shop.execute(block.text.encode())
    if cursor.description is not None:
        assert cursor.rowcount > 0
    if "distance" in block.text.split("FROM")[0] and cursor.description is not None:
        columns = [column.name for column in cursor.description]
        distances = [row[columns.index("distance")] for row in cursor] if "distance" in columns else []
        assert distances == sorted(distances)
