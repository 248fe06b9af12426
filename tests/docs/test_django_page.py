"""docs/howto/django.md as its reader follows it, from `django-admin startproject` with rows in the table on."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from colorshop import COLORS, picture
from forked_python import run_forked
from pageblocks import DOCS, Block, example, read_blocks
from psycopg.conninfo import conninfo_to_dict

from imgvec_pg.database.connect import connect
from imgvec_pg.store.registry import get_collection

PAGE = DOCS / "howto" / "django.md"
MODEL = "ViT-B-32/laion2b_s34b_b79k"
STAND_IN = "color-grid"
WITHOUT = ("imgvec_pg.django", "clip = ", "objects = ")
"""What the page adds to the reader's own model."""


BARE = f"""
from django.db import migrations, models
from imgvec_pg.django.indexes import CollectionIndex

class Migration(migrations.Migration):
    dependencies = [("shop", "0004_build_index")]
    operations = [
        # The table is there already, from elsewhere.
        migrations.SeparateDatabaseAndState(state_operations=[
            migrations.CreateModel("Bare", [("id", models.IntegerField(primary_key=True)), ("photo", models.ImageField())],
                                   options={{"db_table": "bare"}}),
        ]),
        migrations.AddIndex("bare", CollectionIndex(fields=["photo"], model="{STAND_IN}", name="bare_look")),
    ]
"""


class Project:
    """A project made by Django's own command, on a database of its own."""

    def __init__(self, folder: Path, dsn: str, environment: dict[str, str]) -> None:
        self.folder = folder
        self.dsn = dsn
        self.environment = {**environment, "DJANGO_SETTINGS_MODULE": "mysite.settings"}
        self.environment.pop("IMGVEC_DSN", None)
        self.added = 0
        self.django_admin("startproject", "mysite", ".")
        self.django_admin("startapp", "shop")
        self.found: dict[str, Block] = {
            block.text.splitlines()[0].removeprefix("# "): block
            for block in read_blocks(PAGE)
            if block.language == "python"
        }
        self.blocks = {name: block.text for name, block in self.found.items()}

    def django_admin(self, *arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "django", *arguments], cwd=self.folder, check=True)

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-W", "error", "manage.py", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def manage(self, *arguments: str, code: int = 0) -> str:
        done = run_forked(["manage.py", *arguments], folder=self.folder, environment=self.environment)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text.replace(MODEL, STAND_IN))

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def point_at_database(self) -> None:
        """Do what every project does before: PostgreSQL, the app, a folder for files."""
        parts = conninfo_to_dict(self.dsn)
        keys = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port", "PASSWORD": "password"}
        database = {key: str(parts[name]) for key, name in keys.items() if parts.get(name)}
        text = re.sub(r"DATABASES = \{.*?\n\}\n", "", self.read("mysite/settings.py"), flags=re.DOTALL)
        text = text.replace("INSTALLED_APPS = [", "INSTALLED_APPS = [\n    'shop',")
        text += f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.postgresql', **{database}}}}}\n"
        self.write("mysite/settings.py", text + "MEDIA_ROOT = BASE_DIR / 'media'\n")

    def follow(self) -> None:
        """Add the lines that the page shows for settings, model and view, and count them."""
        settings, model, view = (self.blocks[name] for name in ("settings.py", "models.py", "views.py"))
        app = next(line for line in settings.splitlines() if "imgvec_pg.django" in line)
        text = self.read("mysite/settings.py")
        self.write("mysite/settings.py", text.replace("INSTALLED_APPS = [", "INSTALLED_APPS = [\n" + app))
        self.write("shop/models.py", "from django.db import models\n" + model)
        before = ["from django.db import models", *self.own_model().splitlines()]
        now = self.read("shop/models.py").splitlines()
        added = [line for line in now if line.strip() and not line.startswith("#") and line not in before]
        body = [line for line in view.splitlines()[1:] if line.strip()]
        self.added = 1 + len(added) + len(body)
        self.write(
            "shop/views.py",
            "from django.http import JsonResponse\nfrom shop.models import Product\n" + view,
        )

    def own_model(self) -> str:
        """Return the page's model without what it adds."""
        return "\n".join(
            line for line in self.blocks["models.py"].splitlines() if not any(w in line for w in WITHOUT)
        )

    def shell(self, code: str) -> str:
        return self.manage("shell", "--no-imports", "-c", code)


@pytest.fixture(scope="module")
def project(
    empty_module_database: str, tmp_path_factory: pytest.TempPathFactory, module_environment: dict[str, str]
) -> Project:
    made = Project(tmp_path_factory.mktemp("django"), empty_module_database, module_environment)
    made.point_at_database()
    made.write("shop/models.py", "from django.db import models\n" + made.own_model())
    made.manage("makemigrations")
    made.manage("migrate")
    photos = made.folder / "media" / "products"
    photos.mkdir(parents=True)
    for color in COLORS:
        (photos / f"{color}.png").write_bytes(picture(color))
    rows = [(color, n, f"products/{color}.png") for n, color in enumerate(COLORS, 1)]
    with connect(made.dsn) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO shop_product (name, price, photo) VALUES (%s, %s, %s)", rows)
    made.follow()
    return made


@pytest.fixture(scope="module")
def module_environment() -> dict[str, str]:
    plugins = str(Path(__file__).parents[1] / "plugins")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([plugins, os.environ.get("PYTHONPATH", "")])}


def test_at_most_ten_lines_are_added(project: Project) -> None:
    assert 4 < project.added <= 10


def test_migrations_are_made_once_and_run_on_a_table_with_rows(project: Project) -> None:
    with example(project.found["models.py"]):
        assert "Create index shop_product_clip on field(s) photo" in project.manage(
            "makemigrations", "-n", "product_clip"
        )
    assert "No changes detected" in project.manage("makemigrations", "--check")
    assert "-- imgvec: create collection shop_product_clip" in project.manage("sqlmigrate", "shop", "0002")
    first, second = (project.manage("sqlmigrate", "imgvec_pg", name) for name in ("0001", "0002"))
    assert "CREATE TABLE imgvec.collection " in first and "CREATE TABLE imgvec.unseen_change" not in first
    assert "CREATE TABLE imgvec.unseen_change" in second and "CREATE TABLE imgvec.collection " not in second
    back = project.manage("sqlmigrate", "--backwards", "imgvec_pg", "0002")
    assert "DROP TABLE imgvec.unseen_change" in back and "DROP TABLE imgvec.collection " not in back
    assert "product_clip... OK" in project.manage("migrate")
    assert "No migrations to apply" in project.manage("migrate")


def test_the_commands_and_the_view_of_the_page_find_pictures(project: Project) -> None:
    assert "8 images embedded" in project.manage("imgvec", "backfill")
    view = (
        "from django.test import RequestFactory; from shop.views import search;"
        "print(search(RequestFactory().get('/', {'q': 'red'})).content.decode())"
    )
    with example(project.found["views.py"]):
        assert '[["red", 0.0], ' in project.shell(view)
    queries = project.blocks["queries.py"].replace("red heart", "red")
    names = "from django.core.paginator import Paginator\nfrom django.db.models import F\nimport datetime\n"
    names += "from shop.models import Product\ntoday = datetime.date.today()\n"
    shown = [
        f"print(repr({line.split('  #')[0].strip()}))" if not line.startswith(("cheap =", "#")) else line
        for line in queries.splitlines()
        if line.strip()
    ]
    with example(project.found["queries.py"]):
        answers = project.shell(names + "\n".join(shown).replace(".page(2)", ".page(1)")).splitlines()
    assert len(answers) == len(shown) - 2, answers
    assert "shop_product_clip" in project.manage("imgvec", "status")
    assert "red" in project.manage("imgvec", "search", "red", "--where", "price < 50")
    project.write(
        "shop/admin.py",
        "from django.contrib import admin\nfrom shop.models import Product\n"
        "from imgvec_pg.django.admin import ImageSearchAdmin\n" + project.blocks["admin.py"],
    )
    with example(project.found["admin.py"]):
        assert "no issues" in project.manage("check")


def test_a_migration_that_ran_already_is_repeated_without_harm(project: Project) -> None:
    with connect(project.dsn) as connection:
        connection.execute(
            "DELETE FROM django_migrations WHERE app IN ('imgvec_pg') OR name = '0002_product_clip'"
        )
    assert "product_clip... OK" in project.manage("migrate")
    with connect(project.dsn) as connection:
        row = connection.execute("SELECT count(*) FROM imgvec.shop_product_clip_embedding").fetchone()
    assert row == (8,)


def test_another_model_under_data_is_refused_and_changes_nothing(project: Project) -> None:
    model = project.read("shop/models.py")
    project.write("shop/models.py", model.replace(STAND_IN, "demo"))
    try:
        project.manage("makemigrations", "-n", "other_model")
        refused = project.manage("migrate", code=1)
        assert "cannot be changed under its data" in refused
        assert "dimensions is 12, declared 256" in refused
        assert "Traceback" not in refused
    finally:
        project.write("shop/models.py", model)
        (project.folder / "shop/migrations/0003_other_model.py").unlink()
    project.write("shop/models.py", model.replace(STAND_IN + '"', STAND_IN + '", m=24, ef_construction=80'))
    project.manage("makemigrations", "-n", "finer")
    project.manage("migrate")
    with connect(project.dsn) as connection:
        kept = connection.execute("SELECT count(*) FROM imgvec.shop_product_clip_embedding").fetchone()
        options = connection.execute("SELECT m, ef_construction FROM imgvec.collection").fetchone()
    assert (kept, options) == ((8,), (24, 80))


def test_a_migration_killed_in_an_index_build_is_repaired_by_the_next(project: Project) -> None:
    block = project.blocks["migrations/0003_build_index.py"].replace("0002_product_clip", "0003_finer")
    head = "from django.db import migrations\nfrom imgvec_pg.django.operations import BuildIndex\n"
    project.write("shop/migrations/0004_build_index.py", head + block)
    index = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('imgvec.shop_product_clip_embedding_{}')"
    with connect(project.dsn) as holder:
        with holder.transaction():
            holder.execute("UPDATE imgvec.shop_product_clip_embedding SET precision = precision WHERE id = 1")
            process = project.begin("migrate")
            with connect(project.dsn) as looking:
                deadline = time.monotonic() + 600
                while (
                    looking.execute(index.format("next")).fetchone() is None and time.monotonic() < deadline
                ):
                    time.sleep(0.1)
                os.kill(process.pid, signal.SIGKILL)
                process.communicate()
                # The server does not notice a client that died while it waits for a lock.
                looking.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index WHERE datname = current_database()"
                )
                while looking.execute("SELECT FROM pg_stat_progress_create_index").fetchone() is not None:
                    time.sleep(0.1)
                assert looking.execute(index.format("next")).fetchone() == (False,)
        with example(project.found["migrations/0003_build_index.py"]):
            assert "build_index... OK" in project.manage("migrate")
        assert holder.execute(index.format("hnsw")).fetchone() == (True,)
        assert holder.execute(index.format("next")).fetchone() is None


def test_backwards_and_forwards_again_the_rows_stay(project: Project) -> None:
    refused = project.manage("migrate", "imgvec_pg", "zero", code=1)
    assert "there are collections still: shop_product_clip" in refused and "Traceback" not in refused
    project.manage("migrate", "shop", "0001")
    with connect(project.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM shop_product").fetchone() == (8,)
        assert connection.execute("SELECT to_regclass('imgvec.shop_product_clip_embedding')").fetchone() == (
            None,
        )
        assert connection.execute(
            "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'imgvec%'"
        ).fetchone() == (0,)
        connection.execute("UPDATE shop_product SET photo = photo")
    project.manage("migrate", "imgvec_pg", "zero")
    project.manage("migrate")
    assert "8 images embedded" in project.manage("imgvec", "backfill")


def test_the_pages_pictures_on_the_web_are_migrated_and_back(project: Project) -> None:
    model = project.read("shop/models.py")
    project.write("shop/models.py", f"{model}\n\n{project.blocks['models.py: pictures on the web']}")
    try:
        project.manage("makemigrations", "-n", "offer")
        assert "url_prefixes=('https://images.example.com',)" in project.read("shop/migrations/0005_offer.py")
        assert "url_prefixes" in project.manage("sqlmigrate", "shop", "0005")
        project.manage("migrate")
        assert "No changes detected" in project.manage("makemigrations", "--check")
        with connect(project.dsn) as connection:
            made = get_collection(connection, "shop_offer_clip")
            assert (made.root, made.url_prefixes) == (None, ["https://images.example.com"])
        project.manage("migrate", "shop", "0004")
    finally:
        project.write("shop/models.py", model)
        (project.folder / "shop/migrations/0005_offer.py").unlink()


def test_a_table_without_primary_key_is_refused_in_one_line(project: Project) -> None:
    with connect(project.dsn) as connection:
        connection.execute("CREATE TABLE bare (id int, photo text)")
    project.write("shop/migrations/0005_bare.py", BARE)
    try:
        refused = project.manage("migrate", code=1)
    finally:
        (project.folder / "shop/migrations/0005_bare.py").unlink()
    assert "bare has no primary key" in refused and "Traceback" not in refused


def test_another_database_than_postgresql_is_refused_in_one_line(project: Project) -> None:
    settings = project.read("mysite/settings.py")
    lite = (
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': BASE_DIR / 'db.sqlite3'}}\n"
    )
    project.write("mysite/settings.py", settings + lite)
    try:
        refused = project.manage("migrate", code=1)
        assert (
            'the database "default" is sqlite; expected PostgreSQL' in refused and "Traceback" not in refused
        )
    finally:
        project.write("mysite/settings.py", settings)


def test_the_pages_own_tests_pass_without_a_model(project: Project) -> None:
    project.write(
        "mysite/settings_test.py", "from mysite.settings import *\n" + project.blocks["settings_test.py"]
    )
    names = (
        "from django.core.files.uploadedfile import SimpleUploadedFile\nfrom django.test import TestCase\n"
        "from imgvec_pg.django.testing import embed_now\nfrom shop.models import Product\n"
        f"RED_PNG = {picture('red')!r}\n"
    )
    project.write("shop/tests.py", names + project.blocks["tests.py"])
    with example(project.found["settings_test.py"]), example(project.found["tests.py"]):
        assert "Ran 1 test" in project.manage("test", "shop", "--settings", "mysite.settings_test")
