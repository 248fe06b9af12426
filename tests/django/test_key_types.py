"""A key that a Django migration makes wider takes its collections along, forwards and backwards, without embedding anew."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from colorshop import COLORS, picture
from fresh_databases import Server, fresh_database
from stockproject import Project

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.integrity.renewal import has_outdated_triggers
from imgvec_pg.store.registry import get_collection

HEAD = """
from django.db import models
from imgvec_pg.django import ImageSearch, ImageSearchManager

"""
TABLE = """
class Product(models.Model):
    id = {key}
    name = models.CharField(max_length=20)
    photo = models.BinaryField()
    clip = ImageSearch("photo", model="color-grid"{options})
    objects = ImageSearchManager()
    class Meta:
        app_label = "shop"
"""
CHILD = """
class Thing(models.Model):
    id = {key}
    name = models.CharField(max_length=20)
    class Meta:
        app_label = "shop"

class Product(Thing):
    photo = models.BinaryField()
    clip = ImageSearch("photo", model="color-grid"{options})
    objects = ImageSearchManager()
    class Meta:
        app_label = "shop"
"""
AUTO, BIG = "models.AutoField(primary_key=True)", "models.BigAutoField(primary_key=True)"
SMALL = "models.SmallAutoField(primary_key=True)"
SHORT, LONG = (f"models.CharField(primary_key=True, max_length={n})" for n in (8, 40))
HIDE_ROWS = "ALTER TABLE shop_product ENABLE ROW LEVEL SECURITY"
# Models, what the key was and becomes, their types, the collection's options, SQL beforehand.
KEYS = {
    "varchar": (TABLE, SHORT, LONG, "character varying(8)", "character varying(40)", "", ""),
    "child": (CHILD, SMALL, AUTO, "smallint", "integer", "", ""),
    "partitions, row security": (TABLE, AUTO, BIG, "integer", "bigint", ", partitions=2", HIDE_ROWS),
}
CHECK = """
import django; django.setup()
from django.apps import apps
model = apps.get_model("shop.Product")
rows = list(model.objects.near([1.0] + [0.0] * 11)[:20])
print("near", len(rows), len(model.objects.near(rows[0])[:3]))
"""


@pytest.fixture
def dsn(server: Server) -> Iterator[str]:
    with fresh_database(server) as made:
        yield made


def embeddings(connection: Connection) -> list[tuple[object, ...]]:
    statement = (
        "SELECT embedding, version, embedded_at FROM imgvec.shop_product_clip_embedding ORDER BY 2, 3, 1"
    )
    return connection.execute(statement).fetchall()


def assert_key(connection: Connection, type_name: str) -> None:
    collection = get_collection(connection, "shop_product_clip")
    assert list(collection.key_types) == [type_name]
    assert not collection.has_other_key_types and not has_outdated_triggers(connection, collection)
    row = connection.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'imgvec.shop_product_clip_embedding'::regclass AND attnum = 1"
    ).fetchone()
    assert row == (type_name,)


@pytest.mark.parametrize("case", KEYS)
def test_a_wider_key_is_followed(dsn: str, tmp_path: Path, case: str) -> None:
    models, before, after, narrow, wide, options, prepared = KEYS[case]
    project = Project(tmp_path, dsn, HEAD + models.format(key=before, options=options))
    project.manage("makemigrations", "shop")
    project.manage("migrate")
    with connect(dsn) as connection:
        if prepared:
            connection.execute(prepared)  # type: ignore[arg-type]
        fill(connection, "thing" if "class Thing" in models else "product", has_names="CharField(p" in before)
        if prepared:
            project.manage("imgvec", "collection", "reconcile", "shop_product_clip")
        assert "8 images embedded" in project.manage("imgvec", "backfill")
        filled = embeddings(connection)
        assert len(filled) == 8
        assert_key(connection, narrow)

        (tmp_path / "shop/models.py").write_text(HEAD + models.format(key=after, options=options))
        assert "Alter field id" in project.manage("makemigrations", "shop", "--name", "wider")
        printed = project.manage("sqlmigrate", "shop", "0002")
        assert f'ALTER COLUMN "{"thing_ptr_id" if case == "child" else "id"}" TYPE {wide}' in printed
        assert "SET key_types = " in printed
        project.manage("migrate")
        assert_key(connection, wide)
        assert embeddings(connection) == filled
        assert "near 8 3" in project.python("-c", CHECK)
        has_policy = connection.execute("SELECT FROM pg_policy WHERE polname = 'follow_source'").rowcount
        assert has_policy == (1 if prepared else 0)
        assert "0 " in project.manage("imgvec", "verify", "shop_product_clip")

        project.manage("migrate", "shop", "0001")
        assert_key(connection, narrow)
        assert embeddings(connection) == filled


def fill(connection: Connection, parent: str, *, has_names: bool) -> None:
    """Insert eight products, into both tables of a child."""
    for number, color in enumerate(COLORS, 1):
        key = color[:8] if has_names else number
        if parent == "product":
            connection.execute(
                "INSERT INTO shop_product (id, name, photo) VALUES (%s, %s, %s)", [key, color, picture(color)]
            )
        else:
            connection.execute("INSERT INTO shop_thing (id, name) VALUES (%s, %s)", [key, color])
            connection.execute(
                "INSERT INTO shop_product (thing_ptr_id, photo) VALUES (%s, %s)", [key, picture(color)]
            )


def test_what_sqlmigrate_prints_makes_what_migrate_makes(dsn: str, tmp_path: Path) -> None:
    project = Project(tmp_path, dsn, HEAD + TABLE.format(key=AUTO, options=""))
    project.manage("makemigrations", "shop")
    project.manage("migrate")
    (tmp_path / "shop/models.py").write_text(HEAD + TABLE.format(key=BIG, options=""))
    project.manage("makemigrations", "shop", "--name", "wider")
    with connect(dsn) as connection:
        fill(connection, "product", has_names=False)
        project.manage("imgvec", "backfill")
        connection.execute(project.manage("sqlmigrate", "shop", "0002"))  # type: ignore[arg-type]
        assert_key(connection, "bigint")
        assert len(embeddings(connection)) == 8
