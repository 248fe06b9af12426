"""What is renamed in a Django project takes its embeddings along, forwards and backwards; what is deleted leaves nothing."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from colorshop import COLORS, picture
from stockproject import Project

from imgvec_pg.database.connect import connect

MODELS = """
from django.db import models
from imgvec_pg.django import ImageSearch, ImageSearchManager

class {model}(models.Model):
    {key} = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=200)
    {photo} = models.BinaryField({column})
    {search} = ImageSearch("{photo}", model="color-grid")
    objects = ImageSearchManager()

    class Meta:
        app_label = "shop"
        {meta}
"""
FIRST = {
    "model": "Product", "key": "id", "photo": "photo", "column": "", "search": "clip", "meta": "ordering = ['name']"
}  # fmt: skip
STEPS: Mapping[str, dict[str, str]] = {
    "model": {"model": "Item"},
    "field": {"photo": "picture"},
    "search": {"search": "look"},
    "table": {"meta": "db_table = 'goods'"},
    "key": {"key": "number"},
    "all": {
        "photo": "image",
        "search": "by_look",
        "key": "code",
        "meta": "db_table = 'things'",
    },
    "column": {"column": "db_column='bytes'"},
}
LEFT = """
    SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relname LIKE '%\\_embedding%'
        AND c.relname NOT LIKE 'text_embedding%' AND c.relname NOT LIKE 'image_embedding%'
    UNION ALL SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'imgvec'::regnamespace
        AND (p.proname LIKE 'near\\_%' OR p.proname LIKE '%\\_on\\_%' OR p.proname LIKE 'search\\_shop%')
    UNION ALL SELECT t.tgname FROM pg_trigger t WHERE t.tgname LIKE 'imgvec%'
    UNION ALL SELECT name FROM imgvec.collection WHERE name <> 'image'
    UNION ALL SELECT 'job' FROM imgvec.job UNION ALL SELECT 'failure' FROM imgvec.failure
"""
CHECK = """
import sys
import django; django.setup()
from django.apps import apps
from django.core.management import call_command
call_command("migrate", *sys.argv[1:])
model = next(m for m in apps.get_app_config("shop").get_models() if not m._meta.auto_created)
rows = list(model.objects.near([1.0] + [0.0] * 11)[:20])
near = list(model.objects.near(rows[0])[:3])
print("near", len(rows), len(near), model.objects.near([1.0] * 12).filter(name__startswith="r").count())
if not sys.argv[1:]:
    call_command("makemigrations", check=True)
"""


class Renaming:
    """A shop whose pictures are embedded once."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.declared = dict(FIRST)
        self.write()
        project.manage("makemigrations", "shop")
        project.manage("migrate")
        with connect(project.dsn) as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO shop_product (name, photo) VALUES (%s, %s)", [(c, picture(c)) for c in COLORS]
            )
        assert "8 images embedded" in project.manage("imgvec", "backfill")
        self.embedded = self.embeddings()

    def write(self) -> None:
        (self.project.folder / "shop/models.py").write_text(MODELS.format(**self.declared))

    def embeddings(self) -> list[tuple[object, ...]]:
        """What the embedding table holds; a row written anew has another xmin."""
        with connect(self.project.dsn) as connection:
            row = connection.execute(
                "SELECT name FROM imgvec.collection WHERE source IS NOT NULL AND name <> 'image'"
            )
            [(name,)] = row.fetchall()
            # The first column is the key, whatever it is called.
            return connection.execute(
                f"SELECT xmin::text, e.* FROM imgvec.{name}_embedding AS e ORDER BY 2"
            ).fetchall()

    def migrate(self, *target: str) -> None:
        """Migrate; nothing is embedded anew, nothing waits, near() answers, makemigrations is silent."""
        told = self.project.python("-c", CHECK, *target)
        assert "near 8 3 1" in told
        assert target or "No changes detected" in told
        assert self.embeddings() == self.embedded
        with connect(self.project.dsn) as connection:
            assert connection.execute(
                "SELECT (SELECT count(*) FROM imgvec.job), count(*) FROM imgvec.failure"
                " WHERE code NOT IN ('blank', 'noted')"
            ).fetchone() == (0, 0)


@pytest.fixture(scope="module")
def shop(empty_module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Renaming:
    return Renaming(
        Project(tmp_path_factory.mktemp("renames"), empty_module_database, MODELS.format(**FIRST))
    )


@pytest.mark.parametrize("step", STEPS)
def test_a_rename_takes_the_embeddings_along(shop: Renaming, step: str) -> None:
    shop.declared.update(STEPS[step])
    shop.write()
    made = shop.project.manage("makemigrations", "shop", "--name", step, answers="y\n" * 9)
    assert "Delete model" not in made and "Remove field" not in made, made
    shop.migrate()


def test_all_renames_go_backwards_and_forwards_again(shop: Renaming) -> None:
    last = dict(shop.declared)
    shop.declared = dict(FIRST)
    shop.write()
    shop.migrate("shop", "0001")
    with connect(shop.project.dsn) as connection:
        connection.execute("UPDATE shop_product SET photo = photo || ''::bytea, name = name")
        assert connection.execute("SELECT count(*) FROM imgvec.job").fetchone() == (0,)
        script = shop.project.manage("sqlmigrate", "shop", "0002")
        assert "RENAME TO %I" in script and "imgvec.shop_item_clip_on_update" in script.replace('"', "")
        assert 'ON "public"."shop_item"' in script
    shop.declared = last
    shop.write()
    shop.migrate()


def test_what_is_deleted_leaves_nothing(shop: Renaming) -> None:
    shop.write()
    with connect(shop.project.dsn) as connection:
        connection.execute("UPDATE things SET bytes = '\\x00'")
        assert connection.execute(LEFT).fetchall()
    (shop.project.folder / "shop/models.py").write_text("")
    assert "Delete model" in shop.project.manage("makemigrations", "shop", "--name", "gone")
    shop.project.manage("migrate")
    with connect(shop.project.dsn) as connection:
        assert connection.execute(LEFT).fetchall() == []
    # Back again, empty, and to zero by CreateModel's own way back.
    shop.project.manage("migrate", "shop", "0008")
    with connect(shop.project.dsn) as connection:
        assert ("things_by_look",) in connection.execute("SELECT name FROM imgvec.collection").fetchall()
    shop.project.manage("migrate", "shop", "zero")
    with connect(shop.project.dsn) as connection:
        assert connection.execute(LEFT).fetchall() == []
    shop.project.manage("migrate", "imgvec_pg", "zero")


def test_an_app_of_another_label_takes_the_embeddings_along(empty_database: str, tmp_path: Path) -> None:
    shop = Renaming(Project(tmp_path, empty_database, MODELS.format(**FIRST)))
    settings = tmp_path / "mysite/settings.py"
    settings.write_text(settings.read_text().replace("'shop'", "'store'"))
    (tmp_path / "shop").rename(tmp_path / "store")
    (tmp_path / "store/apps.py").unlink()
    (tmp_path / "store/models.py").write_text(MODELS.format(**FIRST).replace('"shop"', '"store"'))
    with connect(empty_database) as connection:
        # What people do by hand, as Django has no migration for it.
        connection.execute("ALTER TABLE shop_product RENAME TO store_product")
        for table, column in (("django_migrations", "app"), ("django_content_type", "app_label")):
            connection.execute(f"UPDATE {table} SET {column} = 'store' WHERE {column} = 'shop'")
    made = shop.project.manage("makemigrations", "store")
    assert "Rename index shop_product_clip on product to store_product_clip" in made
    told = shop.project.python("-c", CHECK.replace('"shop"', '"store"'))
    assert "near 8 3 1" in told and "No changes detected" in told
    assert shop.embeddings() == shop.embedded
