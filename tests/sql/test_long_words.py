"""Words longer than the model reads: the end of them counts for nothing, and that is said."""

import logging
from typing import Any

import psycopg
import pytest
from asking import PATIENT, answering, embed_text
from colorshop import make_shop
from imgvec_test_embedder import ColorGrid

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.embedding.embedder import TextLength
from imgvec_pg.search.operations.classify import embed_texts
from imgvec_pg.search.query_client import query_of_words, vector_of_words
from imgvec_pg.search.query_embedding import ModelOptions
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.setup.text_relay import install_relay

SAID = "the words have 4 tokens and color-grid reads 3: the end of them counts for nothing"
LONG, SHORT = "red red red blue", "red red red"


@pytest.fixture
def relay(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """Set words up, with a model that reads three words."""

    def text_length(self: ColorGrid, text: str) -> TextLength:
        return TextLength(len(text.split()), 3)

    monkeypatch.setattr(ColorGrid, "text_length", text_length, raising=False)
    collection = make_shop(connection)
    install_relay(connection)
    return collection


@pytest.fixture
def notices(connection: Connection) -> list[str]:
    heard: list[str] = []

    def hear(diagnostic: psycopg.errors.Diagnostic) -> None:
        # With client_min_messages at debug1 PostgreSQL tells what it does itself.
        if diagnostic.severity_nonlocalized != "DEBUG":
            heard.append(f"{diagnostic.severity}: {diagnostic.message_primary}")

    connection.add_notice_handler(hear)
    return heard


def test_sql_says_so_by_a_notice_from_the_worker_and_from_the_cache(
    connection: Connection, database: str, relay: Collection, notices: list[str]
) -> None:
    connection.execute(PATIENT)
    with answering(database, relay):
        embed_text(connection, SHORT)
        assert notices == []
        embed_text(connection, LONG)
        assert notices == [f"NOTICE: {SAID}"]
        notices.clear()
        connection.execute("CALL imgvec.prepare_text('product_color', 'blue blue blue red')")
        assert notices == [f"NOTICE: {SAID}"]
    notices.clear()
    embed_text(connection, LONG)
    assert notices == [f"NOTICE: {SAID}"]
    notices.clear()
    rows = connection.execute(
        "SELECT id FROM imgvec.near_product_color_text(%s) ORDER BY distance LIMIT 3", [LONG]
    ).fetchall()
    assert len(rows) == 3 and set(notices) == {f"NOTICE: {SAID}"}


@pytest.mark.parametrize("by", ["worker", "process"])
def test_python_has_a_flag_and_a_warning(
    connection: Connection, database: str, relay: Collection, by: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with answering(database, relay):
        connection.execute(
            "INSERT INTO imgvec.worker (id, collection_id, host, pid, device, activity)"
            " VALUES (gen_random_uuid(), %s, 'h', 1, 'cpu', 'idle')",
            [relay.id],
        )
        with caplog.at_level(logging.WARNING):
            assert query_of_words(connection, relay, SHORT, by).truncated is None
            assert not caplog.records
            assert query_of_words(connection, relay, LONG, by).truncated == SAID
            assert query_of_words(connection, relay, LONG, by).truncated == SAID  # from the cache
            vector_of_words(connection, relay, LONG, by)
    assert [record.getMessage() for record in caplog.records] == [SAID] * 3


def test_labels_and_parts_say_which_is_too_long(
    connection: Connection, relay: Collection, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):  # by the model, from the cache
        caplog.clear()
        embed_texts(connection, relay, [SHORT, LONG], ModelOptions())
        assert [record.getMessage() for record in caplog.records] == [f'"{LONG}": {SAID}']


def test_the_command_says_so_on_stderr(
    connection: Connection, database: str, relay: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run(cli, ["search", LONG, "--dsn", database, "-k", "1", "--columns", "name"]) == 0
        said = capsys.readouterr()
        assert said.err == f"{SAID}\n"
        assert "red <shoe>" in said.out
    assert run(cli, ["search", SHORT, "--dsn", database, "-k", "1"]) == 0
    assert capsys.readouterr().err == ""
