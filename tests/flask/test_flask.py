"""The Flask extension, its blueprint and the pages of imgvec browse, as visitors with good and bad intentions see them."""

import io
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from colorshop import COLORS, picture, request
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from imgvec_test_embedder import ColorGrid
from ormshop import sqlalchemy_url
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import connect
from imgvec_pg.errors import CollectionNotFoundError, NoWorkerError, UsageError
from imgvec_pg.flask import ImgVec, search_blueprint
from imgvec_pg.pages.application import pages_app
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source

TOKEN = "a-token-that-nobody-guesses"
EVIL = "<script>alert(1)</script>"


class Base(DeclarativeBase):
    pass


class Picture(Base):
    __tablename__ = "picture"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    file: Mapped[str]
    is_public: Mapped[bool]


db = SQLAlchemy(model_class=Base)
imgvec = ImgVec()


@pytest.fixture(scope="module")
def shop(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("pictures")
    secret = root.parent / "secret.png"
    secret.write_bytes(picture("white"))
    with connect(module_database) as connection:
        connection.execute(
            "CREATE TABLE picture (id int PRIMARY KEY, name text, file text, is_public boolean)"
        )
        for key, color in enumerate(COLORS, 1):
            (root / f"{color}.png").write_bytes(picture(color))
            name = EVIL if color == "yellow" else color
            row = (key, name, f"{color}.png", color != "magenta")
            connection.execute("INSERT INTO picture VALUES (%s, %s, %s, %s)", row)
        asked = request("color", "picture", image=["file"], root=str(root))
        list_source(connection, create_collection(connection, asked))
        Worker(module_database, "color", ColorGrid(), PipelineOptions()).run()
        connection.execute("INSERT INTO picture SELECT 100, 'gone', 'gone.png', true")
        # What was embedded once and points elsewhere now.
        connection.execute("UPDATE picture SET file = '../secret.png' WHERE name = 'black'")
    return module_database


@pytest.fixture(scope="module")
def app(shop: str) -> Iterator[Flask]:
    parts = {name: str(value) for name, value in conninfo_to_dict(shop).items()}
    made = Flask(__name__)
    made.config["SQLALCHEMY_DATABASE_URI"] = sa.URL.create(
        "postgresql+psycopg",
        parts["user"],
        parts.get("password"),
        database=parts["dbname"],
        query={"host": parts["host"], "port": parts.get("port", "5432")},
    )
    made.config["IMGVEC_EMBED"] = "process"
    db.init_app(made)
    imgvec.init_app(made, db)
    made.register_blueprint(search_blueprint("color", columns=["name"], where="is_public"), url_prefix="/api")
    with made.app_context():
        yield made
        db.session.remove()
        db.engine.dispose()


@pytest.fixture(scope="module")
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="module")
def pages(shop: str) -> FlaskClient:
    client = pages_app(shop, TOKEN).test_client()
    assert client.get(f"/?token={TOKEN}").status_code == 303
    return client


def titles(found: Any) -> list[str]:
    return [row.Picture.name for row in found.rows]


def test_search_takes_words_pictures_and_vectors(app: Flask) -> None:
    public = sa.select(Picture).where(Picture.is_public)
    red = db.session.get_one(Picture, 1)
    assert titles(imgvec.search(public, "red", 3))[0] == "red"
    assert titles(imgvec.search(public, picture("red"), 3))[0] == "red"
    found = imgvec.search(sa.select(Picture), red, 20)
    assert len(found.rows) == 7
    assert found.rows[0].distance == pytest.approx(2 / 3, abs=1e-3)
    with pytest.raises(UsageError, match="words are empty"):
        imgvec.search(public, " ", 3)
    with pytest.raises(CollectionNotFoundError, match='"nothing" does not exist'):
        imgvec.search(public, "red", 3, by="nothing")
    with pytest.raises(UsageError, match="has no key yet"):
        imgvec.search(public, Picture(), 3)
    db.session.execute(sa.text("SET LOCAL statement_timeout = '59 s'"))
    assert imgvec.search(public, db.session.get_one(Picture, 100), 3).rows == ()
    # The transaction goes on.
    assert db.session.scalar(sa.text("SHOW statement_timeout")) == "59s"


def test_a_process_that_may_not_load_models_says_which_worker_is_missing(app: Flask) -> None:
    app.config["IMGVEC_EMBED"] = "worker"
    try:
        with pytest.raises(NoWorkerError, match=r": flask imgvec worker color$"):
            imgvec.search(sa.select(Picture), "magenta cyan", 3)
        answer = app.test_client().get("/api/search?q=magenta+cyan")
        assert answer.status_code == 503
        assert answer.get_json()["error"].endswith(": flask imgvec worker color")
    finally:
        app.config["IMGVEC_EMBED"] = "process"


def test_json_answers_with_public_rows_and_chosen_columns_only(client: FlaskClient) -> None:
    answer = client.get("/api/search?q=red&k=50").json
    assert answer["found"][0]["key"] == {"id": 1}
    assert {row["columns"]["name"] for row in answer["found"]} == {*COLORS, EVIL} - {"magenta", "yellow"}
    assert all(list(row["columns"]) == ["name"] for row in answer["found"])
    like = client.get("/api/search?like=1").json["found"]
    assert 1 not in [row["key"]["id"] for row in like]
    upload = client.post("/api/search", data={"image": (io.BytesIO(picture("red")), "x.png"), "k": "1"})
    assert upload.json["found"][0]["columns"]["name"] == "red"


def test_numbers_that_javascript_would_round_are_strings(database: str) -> None:
    big, small = 2**53 + 1, 2**53 - 1
    with connect(database) as connection:
        connection.execute("CREATE TABLE shot (id bigint PRIMARY KEY, photo bytea, views bigint, more jsonb)")
        create_collection(connection, request("shot", "shot", image=["photo"]))
        rows = [(big, big, f'{{"ids": [{big}, {small}]}}'), (small, -big, "null"), (-big, 7, "[1.5]")]
        for key, views, more in rows:
            connection.execute("INSERT INTO shot VALUES (%s, %s, %s, %s)", [key, picture("red"), views, more])
    Worker(database, "shot", ColorGrid(), PipelineOptions()).run()
    api = Flask(__name__)
    api.config["SQLALCHEMY_DATABASE_URI"] = sqlalchemy_url(database)
    with api.app_context():
        ImgVec(api, SQLAlchemy(api))
        api.register_blueprint(search_blueprint("shot", columns=["views", "more"]))
        api.config["IMGVEC_EMBED"] = "process"
        client = api.test_client()
        found = {
            str(row["key"]["id"]): row for row in client.get("/search?q=red&all_rows=1").get_json()["found"]
        }
        # All three have one picture: as a rule it comes once.
        (folded,) = client.get("/search?q=red").get_json()["found"]
        assert (folded["key"]["id"], folded["copies"]) == (str(-big), 3)
        assert {key: (row["key"]["id"], row["columns"]) for key, row in found.items()} == {
            str(big): (str(big), {"views": str(big), "more": {"ids": [str(big), small]}}),
            str(small): (small, {"views": str(-big), "more": None}),
            str(-big): (str(-big), {"views": 7, "more": [1.5]}),
        }
        # What was answered can be asked with again.
        for row in found.values():
            assert client.get(row["picture"]).mimetype == "image/jpeg"
            like = client.get(f"/search?all_rows=1&like={row['key']['id']}").get_json()["found"]
            assert len(like) == 2 and row["key"] not in [other["key"] for other in like]
        api.extensions["sqlalchemy"].engine.dispose()


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/api/search", 400),
        ("/api/search?q=red&like=1", 400),
        ("/api/search?q=%00", 400),
        ("/api/search?q=red&k=0", 400),
        ("/api/search?q=red&k=99999999999", 400),
        ("/api/search?q=red&k=0000000011999", 400),
        ("/api/search?like=x' OR true --", 400),
        ("/api/search?like=6", 404),  # magenta is not public
        ("/api/search?like=100", 404),
        ("/api/picture/1", 200),
        ("/api/picture/6", 404),
        ("/api/picture/8", 404),  # its path leads out of the folder
        ("/api/picture/100", 404),
        ("/api/picture/../../etc/passwd", 400),
        ("/api/picture/x", 400),
    ],
)
def test_the_blueprint_answers_each_request_with_its_status(
    client: FlaskClient, url: str, status: int
) -> None:
    found = client.get(url)
    assert found.status_code == status, found.text
    if status == 200:
        assert found.mimetype == "image/jpeg" and found.headers["X-Content-Type-Options"] == "nosniff"
    if status == 404:
        assert "secret" not in found.text and ".png" not in found.text


def test_uploads_are_limited_and_looked_at(client: FlaskClient) -> None:
    form = "multipart/form-data; boundary=x"
    big = client.post("/api/search", data=b"x" * (34 << 20), content_type=form)
    assert big.status_code == 413
    text = client.post("/api/search", data={"image": (io.BytesIO(b"<svg onload=alert(1)>"), "x.svg")})
    assert text.status_code == 400 and "error" in text.json


CARD = '<li class="card'


def test_pages_find_and_escape(pages: FlaskClient) -> None:
    found = pages.get("/?q=red").text
    assert found.count(CARD) == 8
    assert EVIL not in found and "&lt;script&gt;" in found
    assert "like 1" in pages.get("/?like=1").text
    assert pages.get("/").status_code == 200
    asked = pages.get(f"/?q={EVIL}")
    assert asked.status_code == 400 or EVIL not in asked.text
    assert EVIL not in asked.text
    upload = pages.post(
        "/", data={"image": (io.BytesIO(picture("blue")), EVIL + ".png")}, follow_redirects=True
    )
    assert upload.status_code == 200 and upload.text.count(CARD) == 8 and EVIL not in upload.text
    assert pages.post("/", data={"image": (io.BytesIO(b"no picture"), "x.png")}).status_code == 400


def test_pages_are_for_this_machine_and_load_nothing_from_elsewhere(pages: FlaskClient) -> None:
    assert pages.get("/", headers={"Host": "evil.example"}).status_code == 400
    policy = pages.get("/").headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert pages.get("/picture/8").status_code == 404
    assert pages.get("/picture/1?large=1").mimetype == "image/jpeg"
    assert pages.get("/static/../../../etc/passwd").status_code == 404


@pytest.mark.parametrize(
    "path", ["/", "/?q=red", "/picture/1", "/picture/1?large=1", "/nothing", "/?token=", "/?token=wrong"]
)
def test_pages_show_nothing_to_who_does_not_know_the_token(shop: str, path: str) -> None:
    stranger = pages_app(shop, TOKEN).test_client()
    for _ in range(2):
        refused = stranger.get(path)
        assert refused.status_code == 403 and refused.mimetype == "text/html"
        assert "printed when it started" in refused.text and "red" not in refused.text.replace("required", "")
        assert ("is not the one" in refused.text) == ("token=" in path)
        assert "Set-Cookie" not in refused.headers
    assert stranger.post("/", data={"image": (io.BytesIO(picture("blue")), "x.png")}).status_code == 403
    stranger.set_cookie("imgvec_browse", TOKEN, domain="localhost")
    assert stranger.get(path).status_code == 403
    with stranger.get("/static/tokens.css") as style:
        assert style.status_code == 200


def test_a_token_is_asked_for_once_and_leaves_the_address(shop: str) -> None:
    client = pages_app(shop, TOKEN).test_client()
    first = client.get(f"/?q=red&token={TOKEN}&k=3")
    assert (first.status_code, first.headers["Location"]) == (303, "/?q=red&k=3")
    cookie = first.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and TOKEN not in cookie
    assert client.get("/?q=red&k=3").text.count(CARD) == 8
    assert client.get("/picture/1").mimetype == "image/jpeg"
    # Another process, or the same one started again, has a cookie of its own.
    other = pages_app(shop, "another").test_client()
    other.set_cookie(cookie.partition("=")[0], cookie.partition("=")[2].partition(";")[0], domain="localhost")
    assert other.get("/").status_code == 403
    assert other.get("/?token=%ff").status_code == 403


def test_another_driver_is_refused(tmp_path: Path) -> None:
    other = Flask(__name__)
    other.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/x.db"
    lite = SQLAlchemy(other)
    with other.app_context():
        with pytest.raises(UsageError, match=r"sqlite\+pysqlite; expected .* postgresql\+psycopg://"):
            _ = ImgVec(other, lite).dsn
        lite.engine.dispose()


def test_browse_serves_until_it_is_stopped_and_names_a_port_in_use(shop: str) -> None:
    command = [sys.executable, "-m", "imgvec_pg", "browse", "color", "--dsn", shop, "--port"]
    serving = subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert serving.stdout is not None
        address = serving.stdout.readline().split()[0]
        plain, _, token = address.partition("?token=")
        assert len(token) >= 32
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(plain, timeout=900)  # noqa: S310 - our own
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with browser.open(address, timeout=900) as page:
            assert page.url == plain and page.read().decode().count(CARD) == 8
        with browser.open(f"{plain}picture/1", timeout=900) as page:
            assert page.headers["Content-Type"] == "image/jpeg"
        port = plain.rstrip("/").rsplit(":", 1)[1]
        refused = subprocess.run([*command, port], capture_output=True, text=True, timeout=900)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert (
            f"port {port} of 127.0.0.1 cannot be used (Address already in use); choose another with --port"
            in refused.stderr
        )
        serving.send_signal(signal.SIGINT)
        _, errors = serving.communicate(timeout=900)
        assert (serving.returncode, errors.lstrip()) == (130, "imgvec: stopped\n")
    finally:
        # Of a failed test nothing is left behind.
        serving.kill()
        serving.communicate()
