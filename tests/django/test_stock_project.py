"""What Django's own commands and test cases do in a project by `startproject`, with the lines of docs/howto/django.md alone."""

import pytest
from colorshop import COLORS, picture
from stockproject import Project

from imgvec_pg.database.connect import connect

MODELS = """
from django.db import models
from imgvec_pg.django import ImageSearch, ImageSearchManager

class Product(models.Model):
    name = models.CharField(max_length=200)
    photo = models.BinaryField()
    clip = ImageSearch("photo", model="color-grid")
    objects = ImageSearchManager()

class Review(models.Model):
    product = models.ForeignKey(Product, models.CASCADE)
"""

TESTS = """
from django.db import connection
from django.test import LiveServerTestCase, TestCase, TransactionTestCase
from shop.models import Product

VECTOR = [1.0] + [0.0] * 11

class Rows:
    def add(self):
        product = Product.objects.create(name="one", photo=b"x")
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO imgvec.shop_product_clip_embedding (id, embedding, version, content_hash, precision)"
                           " VALUES (%s, %s, 1, '', 'fp32')", [product.pk, str(VECTOR)])
        self.assertEqual([p.pk for p in Product.objects.near(VECTOR)[:2]], [product.pk])

    def test_one(self):
        self.add()

    def test_two(self):
        self.add()

class Plain(Rows, TestCase): pass
class Committing(Rows, TransactionTestCase): pass
class Serving(Rows, LiveServerTestCase): pass
"""


@pytest.fixture(scope="module")
def project(empty_module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("stock"), empty_module_database, MODELS, TESTS, forks=False)
    made.manage("makemigrations", "shop")
    made.manage("migrate")
    with connect(made.dsn) as connection, connection.cursor() as cursor:
        rows = [(color, picture(color)) for color in COLORS]
        cursor.executemany("INSERT INTO shop_product (name, photo) VALUES (%s, %s)", rows)
    made.manage("imgvec", "backfill")
    return made


def test_migrations_write_the_collection_down_and_no_model_of_it(project: Project) -> None:
    written = (project.folder / "shop/migrations/0001_initial.py").read_text()
    assert written.count("CreateModel(") == 2
    assert "CollectionIndex(" in written and "HalfVectorField" not in written
    assert "No changes detected" in project.manage("makemigrations", "--check")


def test_all_of_djangos_test_cases_run(project: Project) -> None:
    assert "Ran 6 tests" in project.manage("test")


def test_a_dump_is_loaded_again_without_embeddings_and_flush_empties_both(project: Project) -> None:
    embeddings = "imgvec.shop_product_clip_embedding"
    project.manage("dumpdata", "shop", "-o", "dump.json")
    assert "productclip" not in (project.folder / "dump.json").read_text()
    assert '"imgvec"."shop_product_clip_embedding"' in project.manage("sqlflush")
    assert project.count(embeddings) == len(COLORS)
    project.manage("flush", "--no-input")
    assert (project.count("shop_product"), project.count(embeddings)) == (0, 0)
    assert f"Installed {len(COLORS)} object(s)" in project.manage("loaddata", "dump.json")
    assert "8 images embedded" in project.manage("imgvec", "backfill")
    assert project.count(embeddings) == len(COLORS)


def test_sqlmigrate_prints_what_makes_the_collection(project: Project) -> None:
    script = project.manage("sqlmigrate", "shop", "0001")
    project.manage("migrate", "shop", "zero")
    with connect(project.dsn) as connection:
        connection.execute(script)
    project.manage("migrate", "shop", "--fake")
    with connect(project.dsn) as connection:
        connection.execute("INSERT INTO shop_product (name, photo) VALUES ('red', %s)", [picture("red")])
    assert "1 images embedded" in project.manage("imgvec", "backfill")
