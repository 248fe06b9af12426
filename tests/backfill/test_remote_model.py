"""A worker whose model a server has: rows are not charged for what the server does, and a model that changed is refused."""

import io
from collections.abc import Iterator
from typing import Any

import embedserver
import numpy as np
import pytest
from embedserver import FaultyServer, embedding_server
from kserveserver import kserve_server
from PIL import Image

from imgvec_pg.backfill import worker
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.embedding.light_embedder import LightEmbedder
from imgvec_pg.embedding.remote import client

ROWS = 40


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", "127.0.0.1")
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.01)
    with embedding_server() as started:
        yield started


def colour(key: int) -> tuple[int, int, int]:
    return key * 37 % 256, key * 91 % 256, key * 151 % 256


def image(key: int) -> Image.Image:
    made = Image.new("RGB", (24, 18), colour(key))
    made.paste((250, 250, 250), (12, 9, 24, 18))
    return made


def picture(key: int) -> bytes:
    file = io.BytesIO()
    image(key).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def shop(
    connection: Connection, database: str, serving: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> FaultyServer:
    make_shop(connection, database, serving.name, monkeypatch)
    return serving


def make_shop(connection: Connection, database: str, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_DSN", database)
    connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.product (id bigint PRIMARY KEY, photo bytea)")
    for key in range(1, ROWS + 1):
        connection.execute("INSERT INTO shop.product VALUES (%s, %s)", [key, picture(key)])
    created = ["collection", "create", "product_remote", "--source", "shop.product", "--image", "photo"]
    assert run(cli, [*created, "--model", model]) == 0


def counts(connection: Connection) -> tuple[int, int, int]:
    """Return how many rows are embedded, failed, and wait."""
    row: Any = connection.execute(
        "SELECT (SELECT count(*) FROM imgvec.product_remote_embedding), (SELECT count(*) FROM imgvec.failure),"
        " (SELECT coalesce(sum(jsonb_array_length(keys)), 0)::int FROM imgvec.job)"
    ).fetchone()
    return row


def test_a_table_is_filled_and_searched_by_words(
    connection: Connection, shop: FaultyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["backfill", "product_remote"]) == 0
    assert counts(connection) == (ROWS, 0, 0)
    row: Any = connection.execute(
        "SELECT embedding::text, precision FROM imgvec.product_remote_embedding WHERE id = 7"
    ).fetchone()
    expected = LightEmbedder().embed_images([image(7)])[0]
    assert np.allclose(np.fromstring(row[0].strip("[]"), sep=","), expected, atol=1e-3) and row[1] == "remote"
    capsys.readouterr()
    assert run(cli, ["search", "red", "--collection", "product_remote", "-k", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_a_server_of_kserve_fills_a_table_and_keeps_its_order(
    connection: Connection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", "127.0.0.1")
    with kserve_server() as server:
        server.extensions, server.takes, server.most = ["binary_tensor_data"], "raw", 9
        make_shop(connection, database, f"{server.name}#words=words", monkeypatch)
        assert run(cli, ["backfill", "product_remote"]) == 0
        assert counts(connection) == (ROWS, 0, 0)
        rows: Any = connection.execute(
            "SELECT embedding::text FROM imgvec.product_remote_embedding ORDER BY id"
        ).fetchall()
        found = np.stack([np.fromstring(text.strip("[]"), sep=",") for (text,) in rows])
        expected = LightEmbedder().embed_images([image(key) for key in range(1, ROWS + 1)])
        assert np.allclose(found, expected, atol=1e-3)
        capsys.readouterr()
        assert run(cli, ["search", "red", "--collection", "product_remote", "-k", "3"]) == 0
        assert len(capsys.readouterr().out.splitlines()) >= 3


@pytest.mark.parametrize(
    "fault",
    [embedserver.status(401), embedserver.one_too_few, embedserver.another_dimension, embedserver.no_json],
    ids=["401", "too few", "dimension", "no JSON"],
)
def test_what_the_server_does_wrong_ends_the_run_and_charges_no_row(
    connection: Connection, shop: FaultyServer, capsys: pytest.CaptureFixture[str], fault: embedserver.Fault
) -> None:
    # The model is loaded and checked first.
    asked = [0]

    def later(server: FaultyServer, answer: embedserver.Answer, inputs: list[Any]) -> Any:
        asked[0] += 1
        return fault(server, answer, inputs) if asked[0] > 12 else answer

    shop.fault = later
    assert run(cli, ["backfill", "product_remote"]) == 1
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("imgvec: ") and "127.0.0.1" in told
    embedded, failed, _ = counts(connection)
    assert failed == 0
    attempts = connection.execute("SELECT max(attempts) FROM imgvec.job").fetchone()
    assert attempts is not None and attempts[0] in (0, None)
    shop.fault = None
    assert run(cli, ["backfill", "product_remote"]) == 0
    assert counts(connection) == (ROWS, 0, 0) and embedded < ROWS


def test_a_server_that_is_away_is_waited_for(
    connection: Connection, shop: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    wait = worker.Backoff.wait
    monkeypatch.setattr(
        worker.Backoff, "wait", lambda self, error: (waited.append(str(error)), wait(self, error))[1]
    )
    asked = [0]

    def away(server: FaultyServer, answer: embedserver.Answer, inputs: list[Any]) -> Any:
        asked[0] += 1
        return (503, b"", {"Retry-After": "90"}) if 12 < asked[0] < 15 else answer

    shop.fault = away
    assert run(cli, ["backfill", "product_remote"]) == 0
    assert counts(connection) == (ROWS, 0, 0)
    assert waited and "answered 503" in waited[0]


def test_one_picture_that_the_server_refuses_is_a_failure_and_the_others_are_embedded(
    connection: Connection, shop: FaultyServer
) -> None:
    def refuse(server: FaultyServer, answer: embedserver.Answer, inputs: list[Any]) -> Any:
        urls = [url for url in inputs if url.startswith("data:")]
        is_bad = any(embedserver.picture(url).getpixel((0, 0)) == colour(5) for url in urls)
        return (400, b'{"detail": "cannot read it"}', {}) if is_bad else answer

    shop.fault = refuse
    assert run(cli, ["backfill", "product_remote"]) == 4
    assert counts(connection) == (ROWS - 1, 1, 0)
    row: Any = connection.execute("SELECT key ->> 'id', code, message FROM imgvec.failure").fetchone()
    assert row[:2] == ("5", "embed_error") and "answered 400 (cannot read it)" in row[2]


def test_a_server_with_another_model_is_refused_at_the_next_start(
    connection: Connection, shop: FaultyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["backfill", "product_remote"]) == 0
    connection.execute("INSERT INTO shop.product VALUES (99, %s)", [picture(99)])
    shop.fault = embedserver.another_model
    capsys.readouterr()
    assert run(cli, ["backfill", "product_remote"]) == 1
    told = capsys.readouterr().err
    assert "0.999" in told or "golden" in told
    assert counts(connection)[:2] == (ROWS, 0)
