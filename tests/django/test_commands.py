"""`manage.py imgvec` in a project with several searches and databases: what it works, says, and refuses in one line."""

import re

import pytest
from colorshop import COLORS, picture
from stockproject import Project

from imgvec_pg.cli.main import COMMANDS
from imgvec_pg.database.connect import connect
from imgvec_pg.text import COMMANDS as ADVISED

MODELS = """
from django.db import models
from imgvec_pg.django import ImageSearch, ImageSearchManager

class Product(models.Model):
    photo = models.BinaryField(blank=True)
    clip = ImageSearch("photo", model="ViT-B-32/laion2b_s34b_b79k")
    objects = ImageSearchManager()

class Shelf(models.Model):
    photo = models.BinaryField(blank=True)
    clip = ImageSearch("photo", model="test", collection="shelves")
    second = ImageSearch("photo", model="ViT-B-16/laion2b_s34b_b88k")
    objects = ImageSearchManager()
"""
TESTS = """
import io, sys
from django.core.management import CommandError, call_command
from django.test import TestCase, TransactionTestCase
from imgvec_pg.django.testing import embed_now
from shop.models import Product, Shelf

class Committing(TransactionTestCase):
    def test_a_worker_embeds(self):
        Product.objects.create(photo=open("red.png", "rb").read())
        Product.objects.create()
        said = io.StringIO()
        call_command("imgvec", "backfill", "shop_product_clip", "--no-index", "--batch-size", "2", stdout=said)
        self.assertIn("shop_product_clip: 1 images embedded", said.getvalue())
        self.assertEqual(Product.objects.near("red").count(), 1)
        with self.assertRaises(CommandError) as caught:
            call_command("imgvec", "backfill", "no_such", "--no-index", stderr=said)
        self.assertEqual(caught.exception.returncode, 1)
        self.assertIn('"no_such" does not exist', said.getvalue())
        self.assertNotIn("torch", sys.modules)

class Inside(TestCase):
    def test_the_reason_is_told(self):
        Product.objects.create(photo=open("red.png", "rb").read())
        said = io.StringIO()
        call_command("imgvec", "backfill", "--database", "default", "shop_product_clip", stderr=said, stdout=said)
        self.assertIn("in a transaction", said.getvalue())
        self.assertIn("embed_now", said.getvalue())
        self.assertEqual(Product.objects.near("red").count(), 0)

    def test_rows_are_embedded_here(self):
        red, blue = (Product.objects.create(photo=open(f"{c}.png", "rb").read()) for c in ("red", "blue"))
        Product.objects.create()
        self.assertEqual(embed_now(Product), 2)
        self.assertEqual(list(Product.objects.near("something blue")[:1]), [blue])
        self.assertEqual(list(Product.objects.near(red)[:9]), [blue])
        self.assertNotIn("torch", sys.modules)
"""


@pytest.fixture(scope="module")
def project(empty_module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("commands"), empty_module_database, MODELS, TESTS)
    with (made.folder / "mysite/settings.py").open("a") as settings:
        settings.write(
            "DATABASES['lite'] = {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'lite.db'}\n"
            "IMGVEC = {'MODEL': 'test', 'EMBED': 'process'}\n"
        )
    for color in ("red", "blue"):
        (made.folder / f"{color}.png").write_bytes(picture(color))
    made.manage("makemigrations", "shop")
    made.manage("migrate")
    return made


def fill(project: Project) -> None:
    with connect(project.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE shop_product, shop_shelf CASCADE")
        for table in ("shop_product", "shop_shelf"):
            cursor.executemany(f"INSERT INTO {table} (photo) VALUES (%s)", [(picture(c),) for c in COLORS])


def test_without_a_name_all_collections_of_the_project_are_filled_with_one_set_of_weights(
    project: Project,
) -> None:
    fill(project)
    with connect(project.dsn) as connection:
        connection.execute("CREATE TABLE foreign_shot (id int PRIMARY KEY, photo bytea)")
    project.manage(
        *(
            "imgvec",
            "collection",
            "create",
            "not_ours",
            "--source",
            "foreign_shot",
            "--image",
            "photo",
            "--model",
            "test",
        )
    )
    done = project.manage("imgvec", "backfill")
    for name in ("shop_product_clip", "shop_shelf_second", "shelves"):
        assert f"{name}: {len(COLORS)} images embedded" in done
    # Those of one table share what is decoded.
    # Of the two sources, the later one's are copied as far as the other's are written by then.
    decoded = re.search(rf"(\d+) pictures decoded for {3 * len(COLORS)} embeddings", done)
    assert decoded is not None and len(COLORS) <= int(decoded[1]) <= 2 * len(COLORS), done
    assert "not_ours" not in done
    assert "8 images" not in project.manage("imgvec", "backfill", "shelves")
    with connect(project.dsn) as connection:
        models = connection.execute("SELECT DISTINCT model FROM imgvec.status WHERE embedded > 0").fetchall()
    assert models == [("test",)]


def test_hints_name_the_command_as_it_is_typed(project: Project) -> None:
    assert sorted(ADVISED) == sorted(COMMANDS)
    for arguments, code, told in (
        (["recall"], 2, "python manage.py imgvec recall"),
        (["backfill", "nope"], 1, "does not exist"),
        (["doctor"], None, "python manage.py imgvec migrate --database-defaults"),
        (["backfill", "--help"], 0, "python manage.py imgvec backfill product_clip"),
    ):
        said = project.manage("imgvec", *arguments, code=code)
        assert told in said
        lines = [line for line in said.splitlines() if not line.startswith("imgvec: ")]
        assert not any(
            f" imgvec {name}" in line.replace("manage.py imgvec", "") for line in lines for name in COMMANDS
        )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--database", "lite"],
            'the database "lite" is sqlite; expected PostgreSQL with pgvector: name the other one: --database default',
        ),
        (["--database=nope"], 'there is no database "nope" in DATABASES; expected one of: default, lite'),
    ],
    ids=["sqlite", "unknown"],
)
def test_another_database_is_refused_in_one_line(project: Project, arguments: list[str], told: str) -> None:
    for command in ("status", "backfill"):
        code = 2 if "nope" in told else 1
        said = project.manage("imgvec", command, *arguments, code=code)
        assert said.startswith(f"imgvec: {told}") and said.count("\n") == 1


def test_an_applications_own_tests_embed_without_torch(project: Project) -> None:
    assert "Ran 3 tests" in project.manage("test", "shop")
