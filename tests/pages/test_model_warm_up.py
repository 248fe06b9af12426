"""The model in the background: the first page does not wait for it, the first words need not load it, and what fails is told."""

import html
import time
from threading import Event

import pytest
from flask.testing import FlaskClient
from imgvec_test_embedder import DIMENSIONS, NAME
from photostore import make_photos

from imgvec_pg.database.connect import Connection
from imgvec_pg.embedding import load
from imgvec_pg.pages.application import pages_app
from imgvec_pg.search import query_client, query_embedding
from imgvec_pg.store.collection import Collection

TOKEN = "a-token-that-nobody-guesses"
PATIENCE_SECONDS = 60


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> tuple[Event, list[str]]:
    """Have models load once the event is set, and tell their names; this process has none yet."""
    may_load, loaded = Event(), []

    def load_embedder(name: str, **options: object) -> object:
        loaded.append(name)
        assert may_load.wait(PATIENCE_SECONDS)
        return load.load_embedder(name, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(query_embedding, "load_embedder", load_embedder)
    monkeypatch.setattr(query_client, "_models", {})
    return may_load, loaded


@pytest.fixture
def photos(connection: Connection) -> Collection:
    return make_photos(connection, model=NAME, dimensions=DIMENSIONS)


def visitor(connection: Connection) -> FlaskClient:
    client = pages_app(connection.info.dsn, TOKEN, "photo_test", warm_model=True).test_client()
    client.get(f"/?token={TOKEN}")
    return client


def wait_for(client: FlaskClient, state: str) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (told := client.get("/model").json)["state"] != state:
        assert time.monotonic() < deadline, told
        time.sleep(0.02)
    return str(told["problem"])


def test_the_page_comes_while_the_model_is_loaded_once(
    connection: Connection, photos: Collection, loads: tuple[Event, list[str]]
) -> None:
    may_load, loaded = loads
    client = visitor(connection)
    assert client.get("/model").json["state"] == "idle", "the address with the token alone loads nothing"
    for _ in range(2):
        page = client.get("/")
        assert page.status_code == 200 and 'data-state="loading"' in page.text
    may_load.set()
    assert wait_for(client, "ready") == ""
    assert "data-state" not in client.get("/").text.partition('id="results"')[0].partition("<main")[2]
    assert client.get("/?q=red").status_code == 200
    assert loaded == [NAME]


def test_a_model_that_cannot_be_loaded_is_told(
    connection: Connection, photos: Collection, loads: tuple[Event, list[str]]
) -> None:
    loads[0].set()
    connection.execute("UPDATE imgvec.model SET name = 'no-such-model/<b>'")
    client = visitor(connection)
    client.get("/")
    problem = wait_for(client, "failed")
    assert "no-such-model" in problem
    page = client.get("/")
    assert page.status_code == 200 and problem in html.unescape(page.text) and "<b>" not in page.text


def test_where_a_worker_has_the_model_this_process_loads_none(
    connection: Connection, photos: Collection, loads: tuple[Event, list[str]]
) -> None:
    connection.execute(
        "INSERT INTO imgvec.worker (id, collection_id, host, pid, device, activity)"
        " VALUES (gen_random_uuid(), %s, 'h', 1, 'cpu', 'idle')",
        [photos.id],
    )
    client = visitor(connection)
    client.get("/")
    wait_for(client, "ready")
    assert loads[1] == []


def test_pages_of_an_application_load_no_model_by_themselves(
    connection: Connection, photos: Collection, loads: tuple[Event, list[str]]
) -> None:
    client = pages_app(connection.info.dsn, TOKEN, "photo_test").test_client()
    client.get(f"/?token={TOKEN}")
    assert client.get("/").status_code == 200
    assert client.get("/model").json == {"state": "ready", "problem": ""} and loads[1] == []
