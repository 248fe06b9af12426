"""The examples of docs/howto/sqlalchemy.md and docs/howto/django.md run in an application's environment without torch.

The worker, which embeds, runs in the full environment beside them, as on another machine; the model is the demo's.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from applicationenv import MODELS, Environment
from docpages import django_app, sqlalchemy_blocks
from lean_processes import without_transformers
from psycopg.conninfo import conninfo_to_dict
from workers import count, running, wait_until

from imgvec_pg.database.connect import connect
from imgvec_pg.demo.pictures import read_manifest, unpack_pictures

ROWS = 60
WORDS = "red leather shoes"
MODEL = "ViT-B-32/laion2b_s34b_b79k"
LOCAL_MODEL = "LocalModel("
"""Stands in the one block that loads a model into the application's own process."""
CREATE = """
from imgvec_pg.database.connect import connect
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source
with connect({dsn!r}) as connection:
    list_source(connection, create_collection(connection, ProductClip.__table__.info["imgvec_spec"]))
"""


@dataclass(frozen=True)
class Shop:
    """A migrated database with shop.product in it, and the folder of its pictures."""

    dsn: str
    photos: Path
    folder: Path


@pytest.fixture
def shop(database: str, tmp_path: Path) -> Shop:
    photos = tmp_path / "photos"
    unpack_pictures(photos)
    rows = [(n, p.name, n, p.file) for n, p in enumerate(read_manifest()[:ROWS], 1)]
    with connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA shop")
        cursor.execute(
            "CREATE TABLE shop.product (id bigint PRIMARY KEY, name text NOT NULL, price float NOT NULL, photo_path text)"
        )
        cursor.executemany("INSERT INTO shop.product VALUES (%s, %s, %s, %s)", rows)
        connection.execute("ALTER DATABASE " + connection.info.dbname + " SET imgvec.text_timeout = '60 s'")
    return Shop(database, photos, tmp_path)


def test_the_environment_has_no_torch(application: Environment, tmp_path: Path) -> None:
    code = f"import importlib.util as u; print([n for n in {MODELS!r} if u.find_spec(n) is not None])"
    assert application.run("-c", code, cwd=tmp_path).stdout.strip() == "[]"


def test_the_examples_for_sqlalchemy_run_with_a_worker(plain: Environment, shop: Shop) -> None:
    blocks = [
        text.replace("/srv/photos", str(shop.photos)).replace(MODEL, "demo") for text in sqlalchemy_blocks()
    ]
    url = (
        f"create_engine('postgresql+psycopg://', creator=lambda: __import__('psycopg').connect({shop.dsn!r}))"
    )
    script = [text.replace('create_engine("postgresql+psycopg:///shop")', url) for text in blocks]
    (shop.folder / "create.py").write_text(blocks[0] + CREATE.format(dsn=shop.dsn))
    plain.run("create.py", cwd=shop.folder)
    plain.run("-m", "imgvec_pg", "words", "setup", "--dsn", shop.dsn, cwd=shop.folder)
    (shop.folder / "page.py").write_text("\n".join(text for text in script if LOCAL_MODEL not in text))
    (shop.folder / "local.py").write_text(
        "\n".join(text for text in script if LOCAL_MODEL in text or "create_engine" in text)
    )
    with working(shop, "product_clip"):
        told = plain.run("-W", "error", "page.py", cwd=shop.folder).stdout.splitlines()
        refused = plain.run("local.py", cwd=shop.folder, code=1)
    assert len(told) == 10 + 1 + 5 + 1
    nearest = [float(line.split()[0]) for line in told[:10]]
    assert nearest == sorted(nearest) and 0 < nearest[0] < 1
    assert told[10].startswith("exact ['")
    assert (
        "MissingExtraError: loading the model demo needs the extra models" in refused.stderr.splitlines()[-1]
    )


def test_the_examples_for_django_run_with_a_worker(application: Environment, shop: Shop) -> None:
    project = DjangoProject(application, shop)
    project.manage("makemigrations", "shop")
    project.manage("migrate")
    with connect(shop.dsn) as connection:
        connection.execute(
            "INSERT INTO shop_product (name, price, photo) SELECT name, price, photo_path FROM shop.product ORDER BY id"
        )
    assert "needs the extra models" in project.manage("imgvec", "backfill", code=1)
    view = (
        "from django.test import RequestFactory; from shop.views import search;"
        f"print(search(RequestFactory().get('/', {{'q': {WORDS!r}}})).content.decode())"
    )
    queries = (project.folder / "shop" / "queries.py").read_text().replace(".page(2)", ".page(1)")
    with working(shop, "shop_product_clip"):
        shown, *answers = project.shell(
            f"{view}\n{queries}\nprint(len(cheap[:10]), cheap.count(), cheap[0].distance)"
        ).splitlines()
        assert "no issues" in project.manage("check")
        assert project.manage("imgvec", "search", WORDS, "-k", "3").count(".webp") == 3
    found = json.loads(shown)["found"]
    assert len(found) == 10
    assert [distance for _, distance in found] == sorted(distance for _, distance in found)
    rows, cheap, distance = answers[-1].split()
    assert (int(rows), int(cheap)) == (10, ROWS - 11) and 0 < float(distance) < 1


class DjangoProject:
    """The project of docs/howto/django.md around the shop, made by Django's own command."""

    def __init__(self, environment: Environment, shop: Shop) -> None:
        self.environment, self.folder = environment, shop.folder / "project"
        self.folder.mkdir()
        environment.run("-m", "django", "startproject", "mysite", ".", cwd=self.folder)
        app = django_app(self.folder)
        models = (app / "models.py").read_text()
        (app / "models.py").write_text(models.replace(MODEL, "demo"))
        settings = self.folder / "mysite" / "settings.py"
        parts = conninfo_to_dict(shop.dsn)
        keys = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port", "PASSWORD": "password"}
        database = {key: str(parts[name]) for key, name in keys.items() if parts.get(name)}
        settings.write_text(
            settings.read_text()
            + 'INSTALLED_APPS += ["imgvec_pg.django", "shop"]\n'
            + f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.postgresql', **{database}}}}}\n"
            + f"MEDIA_ROOT = {str(shop.photos)!r}\n"
        )

    def manage(self, *arguments: str, code: int = 0) -> str:
        done = self.environment.run("-W", "error", "manage.py", *arguments, cwd=self.folder, code=code)
        return done.stdout + done.stderr

    def shell(self, code: str) -> str:
        return self.manage("shell", "--no-imports", "-c", code)


@contextmanager
def working(shop: Shop, collection: str) -> Iterator[None]:
    """Run a worker in the full environment; all rows are embedded before the block begins."""
    with (
        running(shop.dsn, without_transformers(), shop.folder, "worker", collection),
        connect(shop.dsn) as connection,
    ):
        wait_until(lambda: count(connection, f"imgvec.{collection}_embedding") == ROWS, "the pictures")
        yield
