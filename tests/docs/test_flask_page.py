"""docs/howto/flask.md as its reader follows it, with rows in the table from the start."""

import os
from pathlib import Path

import pytest
from colorshop import COLORS, picture
from forked_python import run_forked
from pageblocks import DOCS, Block, example, read_blocks, shell_commands
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

from imgvec_pg.database.connect import connect

PAGE = DOCS / "howto" / "flask.md"
PLUGINS = ', autogenerate_plugins=["alembic.autogenerate.*", "imgvec_pg"]'
MODEL, STAND_IN = "ViT-B-32/laion2b_s34b_b79k", "color-grid"


class Application:
    """The page's application in a folder of its own."""

    def __init__(self, folder: Path, dsn: str, environment: dict[str, str]) -> None:
        self.folder, self.dsn = folder, dsn
        self.environment = {**environment, "FLASK_APP": "app.py", "IMGVEC_EMBED": "process"}
        self.environment.pop("IMGVEC_DSN", None)
        parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
        query = {"host": parts["host"], "port": parts.get("port", "5432")}
        url = URL.create(
            "postgresql+psycopg", parts["user"], parts.get("password"), database=parts["dbname"], query=query
        )
        self.url = url.render_as_string(hide_password=False)
        blocks = read_blocks(PAGE)
        python = {block.text.splitlines()[0]: block.text for block in blocks if block.language == "python"}
        self.photos = folder / "photos"
        replaced = {
            "postgresql+psycopg:///photos": self.url,
            "/srv/photos": str(self.photos),
            MODEL: STAND_IN,
        }
        self.app = python["# app.py"]
        for shown, used in replaced.items():
            assert shown in self.app
            self.app = self.app.replace(shown, used)
        self.views = python["# views.py"]
        self.commands: Block = next(block for block in blocks if block.language == "")
        self.views_block: Block = next(block for block in blocks if block.text.startswith("# views.py"))

    def without(self) -> str:
        """Return the application before image search."""
        kept, _ = self.app.split("class PhotoClip")
        before = "\n".join(line for line in kept.splitlines() if "# +" not in line)
        return before.replace(PLUGINS + ")  # its argument", ")")

    def flask(self, *arguments: str, code: int = 0) -> str:
        # Flask-Migrate's own env.py calls what Flask-SQLAlchemy deprecates.
        found = run_forked(
            ["-m", "flask", *arguments],
            folder=self.folder,
            environment=self.environment,
            warnings_are_errors=False,
        )
        assert found.returncode == code, found.stdout + found.stderr
        return found.stdout + found.stderr

    def python(self, text: str) -> str:
        done = run_forked(["-c", text], folder=self.folder, environment=self.environment)
        done.check_returncode()
        return done.stdout


@pytest.fixture(scope="module")
def application(empty_module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Application:
    plugins = str(Path(__file__).parents[1] / "plugins")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([plugins, os.environ.get("PYTHONPATH", "")])}
    made = Application(tmp_path_factory.mktemp("flask"), empty_module_database, environment)
    (made.folder / "app.py").write_text(made.without())
    made.flask("db", "init")
    made.flask("db", "migrate")
    made.flask("db", "upgrade")
    made.photos.mkdir()
    with connect(made.dsn) as connection:
        for stars, color in enumerate(COLORS, 1):
            (made.photos / f"{color}.png").write_bytes(picture(color))
            row = (color, f"{color}.png", stars)
            connection.execute("INSERT INTO photo (title, path, stars) VALUES (%s, %s, %s)", row)
    (made.folder / "app.py").write_text(made.app + made.views)
    return made


def test_at_most_ten_lines_are_added(application: Application) -> None:
    without = application.without().splitlines()
    assert 4 < sum(line not in without for line in application.app.splitlines()) <= 10
    assert "imgvec_pg" not in application.without()


def test_the_commands_of_the_page_make_it_searchable(application: Application) -> None:
    for command in shell_commands(application.commands):
        words = command.split()
        assert words[0] == "flask"
        with example(application.commands):
            said = application.flask(*words[1:])
    assert "8 images embedded" in said
    with example(application.views_block):
        asked = application.python(
            "from app import app; c = app.test_client(); print(c.get('/search?q=cyan').json);"
            "print(c.get('/imgvec/search?q=cyan&k=2').json['found'][0]['columns'])"
        )
    refused = application.python(
        "from app import app; c = app.test_client(); app.config['IMGVEC_EMBED'] = 'worker';"
        "print(*[(a.status_code, a.json['error']) for a in (c.get('/search?q='), c.get('/search?q=magenta+cyan'))], sep=chr(10))"
    ).splitlines()
    assert refused[0].startswith("(400, 'the words are empty")
    assert refused[1].startswith("(503, 'no worker ") and "flask imgvec worker photo_clip" in refused[1]
    # Red and yellow have fewer than three stars.
    assert asked.startswith("[['cyan', 0.0], ") and "'red'" not in asked
    assert asked.splitlines()[1] == "{'title': 'cyan'}"


def test_more_like_a_photo_and_migrations_that_make_the_collection_once(application: Application) -> None:
    found = application.python(
        "from app import app; c = app.test_client(); print(c.get('/photo/1/more').json[:3]);"
        "print(c.get('/photo/99/more').status_code)"
    ).splitlines()
    assert set(eval(found[0])) == {"yellow", "magenta", "black"}  # noqa: S307
    assert found[1] == "404"
    assert "No new upgrade operations detected" in application.flask("db", "check")
    changed = (application.app + application.views).replace(
        "    stars: Mapped[int]\n", "    stars: Mapped[int]\n    place: Mapped[str | None]\n"
    )
    (application.folder / "app.py").write_text(changed)
    assert "Detected added column 'photo.place'" in application.flask("db", "migrate", "--rev-id", "place")
    assert "imgvec" not in (application.folder / "migrations/versions/place_.py").read_text()
    application.flask("db", "upgrade")
    application.flask("db", "downgrade")
    with connect(application.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM imgvec.photo_clip_embedding").fetchone() == (8,)
        application.flask("db", "downgrade")
        assert connection.execute("SELECT to_regclass('imgvec.photo_clip_embedding')").fetchone() == (None,)
        assert connection.execute("SELECT count(*) FROM photo").fetchone() == (8,)
