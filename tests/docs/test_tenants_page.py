"""docs/howto/tenants.md: its statements run in their order and give what the page says, and so do the commands between them."""

from collections.abc import Iterator

import pytest
from pageblocks import DOCS, read_blocks
from photostore import make_collection, take_enqueued

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.registry import get_collection
from imgvec_pg.tenants.survey import find_partitions

BLOCKS = [block for block in read_blocks(DOCS / "howto" / "tenants.md") if block.language in ("sql", "text")]


@pytest.fixture(scope="module")
def shop(module_database: str) -> Iterator[Connection]:
    """Tenant 7 has 10,000 photos, two others few."""
    with connect(module_database) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.photo (tenant_id int, id bigint, file text, PRIMARY KEY (tenant_id, id))"
            " PARTITION BY LIST (tenant_id)"
        )
        for tenant, rows in ((7, 10_000), (8, 30), (9, 20)):
            connection.execute(
                f"CREATE TABLE shop.photo_{tenant} PARTITION OF shop.photo FOR VALUES IN ({tenant})"  # type: ignore[arg-type]
            )
            connection.execute(
                "INSERT INTO shop.photo SELECT %s, i, i || '.jpg' FROM generate_series(1, %s) AS i",
                [tenant, rows],
            )
        make_collection(connection, "shop.photo", "photo_clip", partition_by="tenant_id")
        connection.execute(
            "INSERT INTO imgvec.photo_clip_embedding"
            " (tenant_id, id, embedding, version, content_hash, precision, reference_hash)"
            " SELECT tenant_id, id, l2_normalize(ARRAY[tenant_id, id % 97, 3 + id % 89]::real[]::vector)::halfvec, 1,"
            " sha256(file::bytea), 'fp32', sha256(convert_to(ROW(file)::text, 'UTF8')) FROM shop.photo"
        )
        connection.execute("DELETE FROM imgvec.job")
        yield connection


def test_the_page_is_as_it_says(shop: Connection, module_database: str) -> None:
    searched, joined, explained, plan, detach, attach, drop = [block.text for block in BLOCKS]
    command = ["collection", "partition", "photo_clip", "--dsn", module_database]
    assert run(cli, command) == 0
    [part] = find_partitions(shop, get_collection(shop, "photo_clip"))
    assert (part.table, part.tenants) == ("photo_clip_embedding_1", ("7",))
    assert len(shop.execute(searched.encode()).fetchall()) == 10
    assert len(shop.execute(joined.encode()).fetchall()) == 10
    assert [line for (line,) in shop.execute(explained.encode())] == [line[1:] for line in plan.splitlines()]
    rows = "SELECT count(*), count(*) FILTER (WHERE tenant_id = 7) FROM imgvec.photo_clip_embedding"
    shop.execute(detach.encode())
    assert shop.execute(rows).fetchone() == (50, 0)  # type: ignore[arg-type]
    reconcile = ["collection", "reconcile", "photo_clip", "--dsn", module_database]
    assert run(cli, reconcile) == 0
    shop.execute("UPDATE shop.photo_7 SET file = 'other.jpg' WHERE id = 3")
    shop.execute(attach.encode())
    assert run(cli, reconcile) == 0
    assert shop.execute(rows).fetchone() == (10_050, 10_000)  # type: ignore[arg-type]
    # The key as jsonb orders it: id, then tenant_id.
    assert take_enqueued(shop) == [(3, 7)]
    shop.execute(drop.encode())
    assert run(cli, reconcile) == 0
    assert shop.execute(rows).fetchone() == (50, 0)  # type: ignore[arg-type]
    assert take_enqueued(shop) == []
