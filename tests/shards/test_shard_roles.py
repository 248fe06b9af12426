"""Who asks a shard: roles that are no superusers, with a password and a user mapping, under the shard's row-level security."""

import shutil
import socket
from collections.abc import Iterator

import psycopg
import pytest
from memory_disk import make_server_directory
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from vectorstore import make_items, vectors

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.migrations import upgrade

SEARCH = "SELECT id FROM imgvec.search_item_test(%s, 1000)"


@pytest.fixture(scope="module")
def databases() -> Iterator[tuple[str, str]]:
    """Give a coordinator and its shard, whose roles see their tenant's items, on a server that asks for passwords."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = make_server_directory("imgvec-shards-")
    try:
        with LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True, port=port) as server:
            with connect(server.dsn()) as connection:
                for name in ("coordinator", "shard"):
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            for name in ("coordinator", "shard"):
                with connect(server.dsn(name)) as connection:
                    upgrade(connection)
            with connect(server.dsn("shard")) as connection:
                make_items(connection, 200)
                connection.execute(
                    "ALTER TABLE shop.item ENABLE ROW LEVEL SECURITY; GRANT USAGE ON SCHEMA shop TO imgvec_reader;"
                    "GRANT SELECT ON shop.item TO imgvec_reader;"
                    "CREATE POLICY tenant ON shop.item USING (price % 3 = current_setting('app.tenant')::integer)"
                )
                for role in ("asker", "stranger", "there"):
                    connection.execute(
                        sql.SQL("CREATE ROLE {} LOGIN IN ROLE imgvec_reader PASSWORD 'it''s'").format(
                            sql.Identifier(role)
                        )
                    )
                connection.execute("ALTER ROLE asker SET DateStyle = 'German'")
            assert run(cli, ["collection", "reconcile", "item_test", "--dsn", server.dsn("shard")]) == 0
            yield server.dsn("coordinator"), make_conninfo(server.dsn("shard"), host="127.0.0.1", port=port)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def coordinator(databases: tuple[str, str]) -> Iterator[Connection]:
    here, there = databases
    login = make_conninfo(there, user="there")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMGVEC_SHARD_PASSWORD", "it's")
        assert run(cli, ["shard", "add", "one", "--at", login, "--dsn", here]) == 0
    words = ["shard", "span", "item_test", "--shards", "one", "--pass-setting", "app.tenant", "--dsn", here]
    assert run(cli, words) == 0
    with connect(here) as connection:
        yield connection


def query() -> str:
    return str(vectors(1, 3)[0].tolist())


def test_a_role_sees_there_what_its_mapping_and_setting_show(
    databases: tuple[str, str], coordinator: Connection
) -> None:
    del coordinator
    with connect(databases[0]) as admin:
        listing = admin.execute(
            "SELECT option_name FROM pg_user_mappings, pg_options_to_table(umoptions) ORDER BY 1"
        ).fetchall()
        assert listing == [("password",), ("user",)]
        with connect(make_conninfo(databases[0], user="asker", password="it's")) as asker:
            with pytest.raises(
                psycopg.errors.UndefinedObject, match='shard "one": user mapping not found'
            ) as raised:
                asker.execute(SEARCH, [query()])
            assert "CREATE USER MAPPING FOR asker SERVER imgvec_shard_one" in str(raised.value)
            admin.execute(
                "CREATE USER MAPPING FOR asker SERVER imgvec_shard_one OPTIONS (user 'asker', password 'it''s')"
            )
            for tenant in (0, 1, 2):
                asker.execute("SELECT set_config('app.tenant', %s, false)", [str(tenant)])
                found = {row[0] for row in asker.execute(SEARCH, [query()])}
                assert found == {key for key in range(1, 201) if key % 3 == tenant}
            # Not what its mapping says, nor anybody's else.
            hidden = asker.execute(
                "SELECT umoptions FROM pg_user_mappings WHERE usename <> 'asker'"
            ).fetchall()
            assert {row[0] for row in hidden} == {None}
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                asker.execute("INSERT INTO imgvec.shard (name) VALUES ('two')")


CONNECTIONS = "SELECT count(*) FROM unnest(public.dblink_get_connections()) AS c (name) WHERE starts_with(c.name, 'imgvec_')"


def test_a_kept_connection_is_not_another_role_s(databases: tuple[str, str], coordinator: Connection) -> None:
    del coordinator
    with connect(databases[0]) as session:
        session.execute("SELECT set_config('app.tenant', '1', false)")
        assert len(session.execute(SEARCH, [query()]).fetchall()) == 67
        session.execute("SET ROLE stranger")
        for statement in (SEARCH, "SELECT imgvec.embedding_of('item_test', 1), %s"):
            with pytest.raises(
                psycopg.errors.UndefinedObject, match='user mapping not found for user "stranger"'
            ):
                session.execute(statement, [query()])
        session.execute("RESET ROLE")
        assert len(session.execute(SEARCH, [query()]).fetchall()) == 67


@pytest.mark.parametrize(
    ("change", "undo", "told"),
    [
        (
            "DROP USER MAPPING FOR second SERVER imgvec_shard_one",
            "CREATE USER MAPPING FOR second SERVER imgvec_shard_one OPTIONS (user 'asker', password 'it''s')",
            'user mapping not found for user "second"',
        ),
        (
            "REVOKE USAGE ON FOREIGN SERVER imgvec_shard_one FROM second",
            "GRANT USAGE ON FOREIGN SERVER imgvec_shard_one TO second",
            "permission denied for foreign server",
        ),
        (
            "ALTER USER MAPPING FOR second SERVER imgvec_shard_one OPTIONS (SET password 'other')",
            "ALTER USER MAPPING FOR second SERVER imgvec_shard_one OPTIONS (SET password 'it''s')",
            'password authentication failed for user "asker"|could not establish connection',
        ),
    ],
)
def test_what_was_taken_from_a_role_holds_for_the_connection_that_its_session_keeps(
    databases: tuple[str, str], coordinator: Connection, change: str, undo: str, told: str
) -> None:
    coordinator.execute(
        "CREATE ROLE second LOGIN PASSWORD 'it''s'; GRANT USAGE ON SCHEMA imgvec TO second;"
        "GRANT SELECT ON ALL TABLES IN SCHEMA imgvec TO second; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA imgvec TO second;"
        "GRANT USAGE ON FOREIGN SERVER imgvec_shard_one TO second;"
        "CREATE USER MAPPING FOR second SERVER imgvec_shard_one OPTIONS (user 'asker', password 'it''s')"
    )
    try:
        with connect(make_conninfo(databases[0], user="second", password="it's")) as asking:
            asking.execute("SELECT set_config('app.tenant', '1', false)")
            assert asking.execute(SEARCH, [query()]).rowcount == 67
            coordinator.execute(change)
            with pytest.raises(psycopg.Error, match=told):
                asking.execute(SEARCH, [query()])
            coordinator.execute(undo)
            assert asking.execute(SEARCH, [query()]).rowcount == 67
            assert asking.execute(CONNECTIONS).fetchone() == (1,)
    finally:
        coordinator.execute("DROP OWNED BY second CASCADE; DROP ROLE second")


def test_a_function_of_its_owner_s_rights_leaves_its_caller_no_connection(
    databases: tuple[str, str], coordinator: Connection
) -> None:
    coordinator.execute(
        "CREATE FUNCTION public.ask(vector public.halfvec) RETURNS bigint SECURITY DEFINER LANGUAGE sql"
        " AS 'SELECT count(*) FROM imgvec.search_item_test($1, 1000, partial => true)';"
        "CREATE FUNCTION public.ask_row(key bigint) RETURNS public.halfvec SECURITY DEFINER LANGUAGE sql"
        " AS 'SELECT imgvec.embedding_of(''item_test'', $1)'"
    )
    try:
        with connect(make_conninfo(databases[0], user="stranger", password="it's")) as stranger:
            stranger.execute("SELECT set_config('app.tenant', '1', false)")
            for statement, value in (("SELECT ask(%s)", query()), ("SELECT ask_row(%s)", "1")):
                assert stranger.execute(statement, [value]).fetchone() != (None,)
                assert stranger.execute(CONNECTIONS).fetchone() == (0,)
            with pytest.raises(psycopg.errors.NoDataFound):
                stranger.execute("SELECT ask_row(2)")
            assert stranger.execute(CONNECTIONS).fetchone() == (0,)
            assert stranger.execute("SELECT ask(%s)", [query()]).fetchone() == (67,)
    finally:
        coordinator.execute("DROP FUNCTION ask(halfvec), ask_row(bigint)")


def test_the_vector_of_a_row_is_asked_with_the_setting_of_now(
    databases: tuple[str, str], coordinator: Connection
) -> None:
    del databases
    coordinator.execute("SELECT set_config('app.tenant', '1', false)")
    assert coordinator.execute(SEARCH, [query()]).rowcount == 67
    assert coordinator.execute("SELECT imgvec.embedding_of('item_test', 1)").rowcount == 1
    coordinator.execute("SELECT set_config('app.tenant', '2', false)")
    with pytest.raises(psycopg.errors.NoDataFound, match="has no embedding for key"):
        coordinator.execute("SELECT imgvec.embedding_of('item_test', 1)")
    assert coordinator.execute("SELECT imgvec.embedding_of('item_test', 2)").rowcount == 1


def test_each_refusal_says_what_a_role_lacks(
    databases: tuple[str, str], coordinator: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    del coordinator
    stranger = make_conninfo(databases[0], user="stranger", password="it's")
    for words in (("list",), ("search", "item_test", "--like", "1")):
        assert run(cli, ["shard", *words, "--dsn", stranger]) == 1
        assert "CREATE USER MAPPING FOR" in capsys.readouterr().err
    for words in (("unspan", "item_test"), ("add", "two", "--at", databases[1])):
        assert run(cli, ["shard", *words, "--dsn", stranger]) == 1
        assert "own" in capsys.readouterr().err


def test_a_password_is_not_in_the_log_of_what_was_refused(
    databases: tuple[str, str], coordinator: Connection
) -> None:
    wrong = make_conninfo(databases[1], user="there", password="hunter3", client_encoding="latin1")
    assert run(cli, ["shard", "add", "two", "--at", wrong, "--dsn", databases[0]]) == 2
    log = coordinator.execute(
        "SELECT pg_read_file(current_setting('data_directory') || '/../log/server.log')"
    ).fetchone()
    assert log is not None
    assert "invalid option" in log[0] and "hunter3" not in log[0]


def test_no_password_is_shown(
    databases: tuple[str, str], coordinator: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    del coordinator
    wrong = make_conninfo(databases[1], user="there", password="hunter2")
    assert run(cli, ["shard", "add", "two", "--at", wrong, "--dsn", databases[0]]) == 1
    told = capsys.readouterr()
    assert "password authentication failed" in told.err and "hunter2" not in told.err + told.out
    assert run(cli, ["shard", "list", "--json", "--dsn", databases[0]]) == 0
    assert "it's" not in capsys.readouterr().out
    assert conninfo_to_dict(databases[1])["host"] == "127.0.0.1"
