"""An installation without the extra `models`: what still works, and the one line that names the extra where it does not.

The extra's modules are made unimportable in processes of their own; test_examples.py runs an environment that has none of them.
"""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from applicationenv import MODELS
from colorshop import make_shop, picture
from PIL import Image
from workers import count, running, wait_until

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.demo.pictures import read_manifest, unpack_pictures

EXTRA = "pip install 'imgvec-pg[models]'"
# importlib.util.find_spec() then finds none, and import raises ModuleNotFoundError, as where it was never installed.
BLOCKED = f"import sys; sys.modules.update(dict.fromkeys({MODELS!r}))\n"
COMMAND = BLOCKED + "from imgvec_pg.cli import main; main()"
EVERY_MODULE = """
import importlib, pkgutil, django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "imgvec_pg.django"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "none"}},
)
django.setup()
import imgvec_pg
names = [m.name for m in pkgutil.walk_packages(imgvec_pg.__path__, "imgvec_pg.")]
needing = [n for n in names if n.startswith("imgvec_pg.embedding.torch_models.")]
needing += ["imgvec_pg.embedding.onnx_models.export"]
for name in names:
    if name not in needing and not name.endswith("__main__"):
        importlib.import_module(name)
refused = []
for name in needing:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        refused.append(name)
print(len(names), len(refused))
assert not [name for name in sys.modules if name.split(".")[0] in MODELS and sys.modules[name] is not None]
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def imgvec(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command without the extra."""
    return python(COMMAND, *arguments)


def test_every_module_but_the_networks_is_imported_without_the_extra() -> None:
    done = python(f"{BLOCKED}MODELS = {MODELS!r}\n{EVERY_MODULE}")
    assert done.returncode == 0, done.stderr
    modules, refused = map(int, done.stdout.split())
    assert modules > 150 and refused > 3


def test_catalogued_models_are_described_without_the_extra() -> None:
    code = (
        "from imgvec_pg.embedding.catalog import CATALOGUE, describe_known, describe_model\n"
        "assert [describe_model(name).name for name in CATALOGUE] == list(CATALOGUE)\n"
        "assert describe_model('demo').dimensions == 256\n"
        "assert describe_known('ViT-B-16/another') is None, 'nobody here can tell'\n"
        "for name in ('ViT-B-32', 'dmo'):\n"
        "    try:\n"
        "        describe_model(name)\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    done = python(BLOCKED + code)
    assert done.returncode == 0, done.stderr
    word, unknown = done.stdout.splitlines()
    assert word.startswith("ModelNotFoundError ViT-B-32 is an architecture, not a model")
    assert unknown.startswith("ModelNotFoundError there is no model 'dmo'")


def refused(done: subprocess.CompletedProcess[str], what: str) -> None:
    """See that a command ended with one line about the extra."""
    assert done.returncode == 1, done.stderr
    [line] = done.stderr.strip().splitlines()
    assert what in line and "needs the extra models (not installed: torch" in line and EXTRA in line


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["model", "benchmark", "demo"], "loading the model demo"),
        (
            ["model", "benchmark", "ViT-B-32/laion2b_s34b_b79k", "--random-weights"],
            "loading the model ViT-B-32/",
        ),
        (
            ["model", "fetch", "ViT-B-32/laion2b_s34b_b79k", "--to", "/nowhere"],
            "fetching the model ViT-B-32/",
        ),
        (["model", "show", "ViT-B-33/laion2b_s34b_b79k"], "the nearest names are ViT-B-32/laion2b_s34b_b79k"),
        (["model", "show", "timm/resnet51.a1_in1k"], "'timm/resnet51.a1_in1k' is not in the catalogue"),
        (["demo", "--directory"], "loading the model demo"),
    ],
)
def test_what_loads_a_model_names_the_extra(arguments: list[str], what: str, tmp_path: Path) -> None:
    if arguments[-1] == "--directory":
        arguments = [*arguments, str(tmp_path / "demo")]
    refused(imgvec(*arguments), what)


def test_a_model_in_the_application_s_own_process_names_the_extra() -> None:
    code = (
        "from imgvec_pg.sqlalchemy import LocalModel\n"
        "from imgvec_pg.errors import MissingExtraError\n"
        "try:\n"
        "    LocalModel('demo').words('a heart')\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n"
    )
    assert EXTRA in python(BLOCKED + code).stdout


def test_where_weights_are_is_left_open_without_the_extra() -> None:
    done = imgvec("model", "show", "ViT-B-32/laion2b_s34b_b79k")
    assert done.returncode == 0, done.stderr
    assert (
        "not on this machine, as far as is known: looking into the hub's cache needs the extra" in done.stdout
    )
    assert imgvec("model", "list").returncode == 0


@pytest.fixture(scope="module")
def shop(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Give a database with a collection of the demo's model over some of its pictures, none embedded yet."""
    photos = tmp_path_factory.mktemp("photos")
    unpack_pictures(photos)
    rows = [(n, p.name, p.file) for n, p in enumerate(read_manifest()[:20], 1)]
    with connect(module_database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE sticker (id int PRIMARY KEY, name text, photo text)")
        cursor.executemany("INSERT INTO sticker VALUES (%s, %s, %s)", rows)
    made = imgvec(
        *(
            "collection",
            "create",
            "sticker_demo",
            "--source",
            "sticker",
            "--image",
            "photo",
            "--model",
            "demo",
        ),
        *("--root", str(photos), "--dsn", module_database),
    )
    assert made.returncode == 0, made.stderr
    return module_database, photos


def state(dsn: str) -> list[object]:
    """Return what a command that cannot do its work must leave as it is."""
    with connect(dsn) as connection:
        jobs = connection.execute(
            "SELECT id, keys, attempts, lease_until FROM imgvec.job ORDER BY id"
        ).fetchall()
        return [count(connection, "imgvec.collection"), count(connection, "imgvec.failure"), jobs]


@pytest.mark.parametrize(
    "arguments",
    [
        ["backfill", "sticker_demo"],
        ["backfill", "sticker_demo", "--workers", "2"],
        ["backfill", "--collections", "sticker_demo"],
        ["worker", "sticker_demo"],
        ["worker", "--collections", "sticker_demo"],
        ["verify", "sticker_demo", "--sample", "1"],
        ["search", "a heart"],
        ["classify", "--labels", "heart,star"],
        [
            "collection",
            "create",
            "other",
            "--source",
            "sticker",
            "--image",
            "photo",
            "--model",
            "ViT-B-16/other",
        ],
    ],
    ids=" ".join,
)
def test_a_command_that_embeds_names_the_extra_and_changes_nothing(
    arguments: list[str], shop: tuple[str, Path]
) -> None:
    dsn, _ = shop
    before = state(dsn)
    done = imgvec(*arguments, "--dsn", dsn)
    refused(done, "'ViT-B-16/other' is not" if "create" in arguments else "loading the model demo")
    assert state(dsn) == before


def test_a_switch_to_a_model_that_cannot_be_loaded_names_the_extra_and_makes_nothing(
    shop: tuple[str, Path],
) -> None:
    dsn, _ = shop
    before = state(dsn)
    assert imgvec("collection", "alias", "sticker", "sticker_demo", "--dsn", dsn).returncode == 0
    done = imgvec(
        *("collection", "switch", "sticker", "--to", "ViT-B-32/laion2b_s34b_b79k", "--yes", "--dsn", dsn)
    )
    refused(done, "loading the model ViT-B-32/laion2b_s34b_b79k")
    assert state(dsn) == before
    assert imgvec("collection", "unalias", "sticker", "--dsn", dsn).returncode == 0


def test_a_running_worker_embeds_words_and_pictures_for_the_command(
    shop: tuple[str, Path], tmp_path: Path
) -> None:
    dsn, photos = shop
    encoded = io.BytesIO()
    name = read_manifest()[3].file
    Image.open(photos / name).convert("RGB").resize((200, 200)).save(encoded, "PNG")
    (tmp_path / "like.png").write_bytes(encoded.getvalue())
    with connect(dsn) as connection, running(dsn, dict(os.environ), tmp_path, "worker", "sticker_demo"):
        connection.execute("ALTER DATABASE " + connection.info.dbname + " SET imgvec.text_timeout = '30 s'")
        wait_until(lambda: count(connection, "imgvec.sticker_demo_embedding") == 20, "the pictures")
        words = imgvec("search", read_manifest()[0].name, "-k", "3", "--dsn", dsn)
        assert words.returncode == 0, words.stderr
        assert read_manifest()[0].name[:20] in words.stdout
        like = imgvec("search", "--image", str(tmp_path / "like.png"), "-k", "1", "--json", "--dsn", dsn)
        assert like.returncode == 0, like.stderr
        assert '"id": 4' in like.stdout
        labels = imgvec("classify", "--labels", "heart,star", "--dsn", dsn)
        assert labels.returncode == 0, labels.stderr


def test_a_team_s_own_embedder_needs_no_extra(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch, plugin_environment: dict[str, str]
) -> None:
    make_shop(connection)
    new = "INSERT INTO shop.product (id, name, picture) VALUES (9, 'new', %s)"
    connection.execute(new, [picture("red", (20, 20))])
    monkeypatch.setenv("PYTHONPATH", plugin_environment["PYTHONPATH"])
    done = imgvec("backfill", "product_color", "--no-index", "--dsn", database)
    assert done.returncode == 0, done.stderr
    assert "1 image" in done.stdout + done.stderr
    found = imgvec("search", "red", "-k", "2", "--dsn", database)
    assert found.returncode == 0 and "red <shoe>" in found.stdout and "new" in found.stdout, found.stderr
