"""Alembic's async template, over both async drivers: collections and indexes are made, changed and dropped as elsewhere."""

from pathlib import Path

import pytest
from alembicapp import MODELS, App

from imgvec_pg.alembic.migration_errors import MigrationError
from imgvec_pg.database.connect import Connection

OBJECTS = """
    SELECT 'relation', c.relname::text FROM pg_class c WHERE c.relnamespace = 'imgvec'::regnamespace
    UNION ALL SELECT 'function', p.oid::regprocedure || md5(p.prosrc) FROM pg_proc p WHERE p.pronamespace = 'imgvec'::regnamespace
    UNION ALL SELECT 'trigger', g.tgname || g.tgrelid::regclass FROM pg_trigger g WHERE NOT g.tgisinternal
    ORDER BY 1, 2
"""


def objects(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(OBJECTS).fetchall()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_the_async_template_migrates_up_down_and_up_again(
    database: str, connection: Connection, tmp_path: Path, driver: str
) -> None:
    app = App(tmp_path, database, template="async", driver=driver)
    before = objects(connection)
    written = app.autogenerate("first")
    assert "op.create_collection(" in written and "run_sync" in (tmp_path / "alembic/env.py").read_text()
    app.alembic("upgrade", "head")
    app.alembic("check")
    connection.execute("INSERT INTO product (id, name, photo) VALUES (7, 'a', 'a.jpg')")
    assert connection.execute("SELECT keys FROM imgvec.job").fetchall() == [([{"id": 7}],)]
    assert connection.execute("SELECT count(*) FROM imgvec.near_product_clip_row(7)").fetchone() == (0,)
    # Settings of the migration's own session are no business of ours afterwards.
    app.change('root="/srv/photos"', 'root="/srv/new"')
    assert "op.alter_collection(" in app.autogenerate("second")
    app.alembic("upgrade", "head")
    assert connection.execute(
        "SELECT root FROM imgvec.collection WHERE name = 'product_clip'"
    ).fetchone() == ("/srv/new",)
    app.write_revision(
        'op.drop_collection_functions("product_clip"); op.create_collection_functions('
        '"product_clip", source="product", image="photo", root="/srv/photos", model="demo", key={"id": "bigint"});'
        ' op.create_collection_triggers("product_clip", source="product", image="photo", root="/srv/photos",'
        ' model="demo", key={"id": "bigint"})'
    )
    app.alembic("upgrade", "head")
    app.alembic("check")
    assert connection.execute("SELECT count(*) FROM imgvec.near_product_clip_row(7)").fetchone() == (0,)
    app.alembic("downgrade", "base")
    assert objects(connection) == before
    app.alembic("upgrade", "head")
    app.alembic("check")


def test_what_is_in_the_way_is_one_line_over_asyncpg_too(
    database: str, connection: Connection, tmp_path: Path
) -> None:
    app = App(tmp_path, database, template="async", driver="asyncpg")
    app.autogenerate("first")
    app.alembic("upgrade", "head")
    app.write_revision(
        'op.create_collection("product_clip", source="product", image="photo", model="color-grid", dimensions=12,'
        ' has_text=True, key={"id": "bigint"})'
    )
    with pytest.raises(
        MigrationError,
        match=r'"product_clip" exists already, over public.product by demo; expected product by color-grid',
    ):
        app.alembic("upgrade", "head")
    app.write(MODELS)
    app.alembic("downgrade", "base")
    connection.execute("DROP SCHEMA imgvec CASCADE; CREATE EXTENSION IF NOT EXISTS vector")
    with pytest.raises(MigrationError, match="no schema imgvec yet; run first: imgvec migrate"):
        app.alembic("upgrade", "head")
