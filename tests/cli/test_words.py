"""Setting words up: by a superuser, with a password, on a standby; what doctor says; and that nobody gains rights by it."""

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import psycopg
import pytest
from asking import PATIENT, answering, embed_text, logged_in_reader
from colorshop import embedding, make_shop, picture
from imgvec_test_embedder import ColorGrid
from memory_disk import make_server_directory
from psycopg import sql
from psycopg.conninfo import make_conninfo
from standby import await_replay, connect_soon, run_primary_and_standby

from imgvec_pg.cli.commands.words import PASSWORD_VARIABLE
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.doctor.run import diagnose
from imgvec_pg.errors import DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.setup.grants import grant_rights
from imgvec_pg.store.setup.text_relay import PasswordLogin, install_relay, remove_relay
from imgvec_pg.store.setup.uninstall import remove_everything


@pytest.fixture
def shop(connection: Connection) -> Collection:
    return make_shop(connection)


@pytest.fixture
def reader(connection: Connection, database: str) -> Iterator[Connection]:
    with logged_in_reader(connection, database) as opened:
        yield opened


def found(connection: Connection, word: str) -> Finding:
    matching = [finding for finding in diagnose(connection) if word in finding.met]
    assert len(matching) == 1, [finding.met for finding in diagnose(connection)]
    return matching[0]


def test_the_command_sets_up_and_removes(
    connection: Connection, database: str, shop: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run(cli, ["words", "setup", "--dsn", database]) == 0
        assert "queries can ask workers for words" in capsys.readouterr().out
    connection.execute(PATIENT)
    with answering(database, shop):
        np.testing.assert_allclose(embed_text(connection, "red"), embedding("red"), atol=1e-3)
    assert run(cli, ["words", "remove", "--dsn", database]) == 0
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="has not been embedded yet"):
        embed_text(connection, "blue")


@pytest.mark.parametrize("options", [[], ["--user", "o'brien"]])
def test_the_printed_sql_does_the_same_without_connecting(
    connection: Connection, shop: Collection, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["words", "setup", "--sql", *options, "--dsn", "host=/nowhere"]) == 0
    connection.execute(capsys.readouterr().out)  # type: ignore[arg-type]
    assert connection.execute(
        "SELECT prosecdef, proconfig FROM pg_proc WHERE proname = 'relay_request'"
    ).fetchone() == (True, ["search_path=pg_catalog, pg_temp"])


def test_doctor_asks_once_and_names_the_next_step(
    connection: Connection, database: str, shop: Collection
) -> None:
    finding = found(connection, "no relay")
    assert finding.level == "info" and str(finding.next_step).startswith("imgvec words setup")
    install_relay(connection)
    assert found(connection, "relay for words").level == "ok"
    assert found(connection, "no worker of the model").next_step == "imgvec worker product_color"
    with answering(database, shop):
        assert found(connection, "a worker answers").level == "ok"
    connection.execute(
        sql.SQL("ALTER DATABASE {} SET imgvec.max_text_requests = 0").format(
            sql.Identifier(connection.info.dbname)
        )
    )
    with connect(database) as again:
        finding = found(again, "too many queries wait")
        assert finding.level == "warning" and "max_text_requests" in str(finding.next_step)
    connection.execute(
        sql.SQL("ALTER DATABASE {} RESET imgvec.max_text_requests").format(
            sql.Identifier(connection.info.dbname)
        )
    )
    connection.execute("ALTER TABLE imgvec.embedding_request RENAME id TO number")
    finding = found(connection, "relay's session")
    assert finding.level == "error" and finding.next_step == "imgvec words setup"


def test_a_reader_may_ask_and_may_not_set_up(
    connection: Connection,
    database: str,
    shop: Collection,
    reader: Connection,
) -> None:
    with pytest.raises(DatabaseError, match=r"is no superuser: .*imgvec words setup --user"):
        install_relay(reader)
    install_relay(connection)
    with pytest.raises(DatabaseError, match="may not remove this"):
        remove_relay(reader)
    reader.execute(PATIENT)
    with answering(database, shop):
        np.testing.assert_allclose(embed_text(reader, "red"), embedding("red"), atol=1e-3)
    public = connection.execute(
        "SELECT proname FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a"
        " WHERE pronamespace = 'imgvec'::regnamespace AND a.grantee = 0"
    )
    assert public.fetchall() == []


@dataclass(frozen=True)
class Owned:
    """A database whose owner is no superuser, on a server that also listens on TCP with passwords."""

    server: LocalServer
    superuser: str
    owner: str


@pytest.fixture(scope="module")
def owned() -> Iterator[Owned]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = make_server_directory("imgvec-words-")
    try:
        with LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True, port=port) as server:
            with connect(server.dsn()) as connection:
                connection.execute("CREATE ROLE owner LOGIN CREATEROLE PASSWORD 'it''s \\ secret'")
                connection.execute("CREATE DATABASE owned OWNER owner")
            with connect(server.dsn("owned")) as connection:
                connection.execute("CREATE EXTENSION vector")
            owner = make_conninfo(server.dsn("owned"), user="owner")
            with connect(owner) as connection:
                migrations.upgrade(connection)
                make_shop(connection)
            yield Owned(server, server.dsn("owned"), owner)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def collection_of(connection: Connection) -> Collection:
    from imgvec_pg.store.registry import get_collection

    return get_collection(connection)


def test_an_owner_who_is_no_superuser_logs_in_with_a_password(
    owned: Owned, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["words", "setup", "--user", "owner", "--port", str(owned.server.port), "--dsn", owned.owner]
    monkeypatch.setenv(PASSWORD_VARIABLE, "it's \\ secret")
    assert run(cli, command) == 1
    assert "CREATE EXTENSION dblink" in capsys.readouterr().err
    with connect(owned.superuser) as superuser:
        superuser.execute("CREATE EXTENSION dblink")
        assert run(cli, command) == 1
        assert "GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO" in capsys.readouterr().err
        superuser.execute("GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO owner")
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    assert run(cli, command) == 1
    assert "password authentication failed" in capsys.readouterr().err
    monkeypatch.delenv(PASSWORD_VARIABLE)
    assert run(cli, command) == 2
    assert PASSWORD_VARIABLE in capsys.readouterr().err
    monkeypatch.setenv(PASSWORD_VARIABLE, "it's \\ secret")
    assert run(cli, command) == 0
    with connect(owned.owner) as connection:
        collection = collection_of(connection)
        connection.execute(PATIENT)
        with answering(owned.owner, collection):
            np.testing.assert_allclose(embed_text(connection, "red"), embedding("red"), atol=1e-3)
            connection.execute("SELECT imgvec.embed_image('product_color', %s)", [picture("red")])
        # The look at the relay asks once more, as long as its session waits, and nobody answers now.
        connection.execute("RESET imgvec.text_timeout")
        assert found(connection, "relay for words").level == "ok"
        assert grant_rights(connection) == []
        remove_relay(connection)
        assert connection.execute("SELECT count(*) FROM pg_foreign_server").fetchone() == (0,)


def test_a_socket_that_asks_no_password_is_refused_to_an_owner(owned: Owned) -> None:
    with connect(owned.superuser) as superuser:
        superuser.execute("CREATE EXTENSION IF NOT EXISTS dblink")
        superuser.execute("GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO owner")
    login = PasswordLogin(
        str(owned.server.socket_directory), owned.server.port, "owned", "owner", "it's \\ secret"
    )
    with connect(owned.owner) as connection:
        with pytest.raises(DatabaseError, match=r"session cannot be opened: .*password"):
            install_relay(connection, login)
        assert connection.execute("SELECT count(*) FROM pg_foreign_server").fetchone() == (0,)


def test_the_second_session_has_no_more_rights_than_the_owner_of_the_schema(owned: Owned) -> None:
    with connect(owned.superuser) as superuser:
        install_relay(superuser)
    with connect(owned.owner) as connection:
        connection.execute("CREATE TABLE seen (session_role text, acting_role text, is_superuser text)")
        connection.execute(
            "CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen"
            " VALUES (session_user, current_user, current_setting('is_superuser')); RETURN NEW; END $$;"
            "CREATE TRIGGER spy BEFORE INSERT ON imgvec.embedding_request FOR EACH ROW EXECUTE FUNCTION spy()"
        )
        connection.execute(PATIENT)
        with answering(owned.owner, collection_of(connection)):
            np.testing.assert_allclose(embed_text(connection, "cyan"), embedding("cyan"), atol=1e-3)
        assert connection.execute("SELECT * FROM seen").fetchall() == [("owner", "owner", "off")]
        # A function of the owner's own in place of the library's runs in that session too, and nowhere else.
        connection.execute(
            "CREATE OR REPLACE FUNCTION imgvec.enqueue_request_of(asker text, model_id integer, words text, image bytea,"
            " timeout_ms integer) RETURNS uuid LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen"
            " VALUES (session_user, current_user, current_setting('is_superuser')); RETURN NULL; END $$"
        )
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            embed_text(connection, "magenta")
        assert connection.execute("SELECT * FROM seen").fetchall() == [("owner", "owner", "off")] * 2


def test_uninstall_takes_the_foreign_server_along(owned: Owned) -> None:
    with connect(owned.superuser) as superuser:
        superuser.execute(
            "CREATE EXTENSION IF NOT EXISTS dblink; GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO owner"
        )
        remove_relay(superuser)
    with connect(owned.owner) as connection:
        install_relay(
            connection, PasswordLogin("127.0.0.1", owned.server.port, "owned", "owner", "it's \\ secret")
        )
        remove_everything(connection, lock_timeout_ms=2000)
        assert connection.execute("SELECT count(*) FROM pg_foreign_server").fetchone() == (0,)


@pytest.fixture
def primary_and_standby() -> Iterator[tuple[LocalServer, str]]:
    with run_primary_and_standby() as both:
        yield both


def test_a_standby_answers_cached_words_and_says_why_not_others(
    primary_and_standby: tuple[LocalServer, str],
) -> None:
    primary, standby_dsn = primary_and_standby
    with connect(primary.dsn()) as connection, connect_soon(standby_dsn) as standby:
        migrations.upgrade(connection)
        shop = make_shop(connection)
        install_relay(connection)
        connection.execute(PATIENT)
        with answering(primary.dsn(), shop, ColorGrid()):
            np.testing.assert_allclose(embed_text(connection, "red"), embedding("red"), atol=1e-3)
            await_replay(connection, standby)
            assert standby.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
            rows = standby.execute(
                "SELECT id FROM imgvec.near_product_color_text('red') ORDER BY distance LIMIT 1"
            ).fetchall()
            assert rows == [(1,)]
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="is a standby") as caught:
                embed_text(standby, "blue")
            assert "on the primary" in str(caught.value.diag.message_hint)
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                standby.execute("SELECT imgvec.embed_image('product_color', %s)", [picture("red")])
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                standby.execute("CALL imgvec.prepare_text('product_color', 'blue')")
