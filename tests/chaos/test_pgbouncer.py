"""Every command behind pgbouncer in transaction mode, where each transaction may meet another session."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from every_command import walk
from odd_settings import ODD, set_odd
from own import MakeServer, Own
from pgbouncer import left_in_sessions, needs_pgbouncer, pooled
from photostore import X, Y, Z, embed, make_photos
from vectorstore import writer_holding

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import connect, is_pooled
from imgvec_pg.store.registry import get_collection

pytestmark = needs_pgbouncer()
SESSIONS = 3


@pytest.fixture
def own(make_server: MakeServer) -> Own:
    return make_server()


@pytest.fixture
def behind(own: Own) -> Iterator[str]:
    """Give a connection string through a pool that is small enough for commands to share sessions."""
    with pooled(own, size=SESSIONS) as dsn:
        yield dsn


def test_a_pooler_is_told_from_a_server(own: Own, behind: str) -> None:
    with connect(own.dsn) as direct, connect(behind) as through:
        assert not is_pooled(direct) and is_pooled(through)


@pytest.mark.parametrize("is_odd", [False, True])
def test_every_command_works(
    own: Own, tmp_path: Path, capsys: pytest.CaptureFixture[str], is_odd: bool
) -> None:
    assert run(cli, ["uninstall", "--yes", "--dsn", own.dsn]) == 0
    if is_odd:
        with psycopg.connect(own.dsn, autocommit=True) as connection:
            set_odd(connection, ODD)
    with pooled(own, size=SESSIONS) as behind:
        walk(behind, tmp_path, capsys, application=own.dsn)
        assert left_in_sessions(own.dsn, behind, SESSIONS) == {}


def test_settings_hold_in_each_transaction_and_for_no_other_client(own: Own, behind: str) -> None:
    with psycopg.connect(own.dsn, autocommit=True) as connection:
        set_odd(
            connection, {"DateStyle": "German", "statement_timeout": "77s", "quote_all_identifiers": "on"}
        )
        connection.execute(
            # Waited for: the pooler would hand out a session that is about to end.
            "SELECT pg_terminate_backend(pid, 600000) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    shown = "SELECT current_setting('statement_timeout'), current_setting('quote_all_identifiers'), now()"
    with connect(behind) as ours, psycopg.connect(behind, autocommit=True, prepare_threshold=None) as other:
        for _ in range(SESSIONS):
            row = ours.execute(shown).fetchone()
            assert row is not None and row[:2] == ("0", "off")
            with ours.transaction():
                row = ours.execute(shown).fetchone()
                assert row is not None and row[:2] == ("0", "off")
                # Another client meanwhile has another session.
                applications = other.execute("SELECT current_setting('statement_timeout')").fetchone()
                assert applications == ("77s",)
            assert [r[0] for r in ours.cursor().stream(shown)] == ["0"]
            ours.cursor().executemany("SELECT %s::int", [[1], [2]])
        with connect(behind, autocommit=False) as ours_too:
            row = ours_too.execute(shown).fetchone()
            assert row is not None and row[:2] == ("0", "off")
    assert left_in_sessions(own.dsn, behind, SESSIONS) == {}


def test_an_index_that_a_limit_ends_behind_a_pooler_says_where_to_build_it(
    own: Own, behind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(own.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.photo (id integer PRIMARY KEY, content bytea)")
        command = ["collection", "create", "photo", "--source", "photo", "--image", "content"]
        assert run(cli, [*command, "--model", "color-grid", "--dsn", behind]) == 0
        connection.execute("ALTER TABLE public.photo DISABLE TRIGGER USER")
        connection.execute("INSERT INTO public.photo SELECT generate_series(1, 100)")
        connection.execute(
            "INSERT INTO imgvec.photo_embedding (id, embedding, version, content_hash, precision)"
            " SELECT i, imgvec.unit_embedding(v), 1, '', 'fp32' FROM generate_series(1, 100) AS i CROSS JOIN LATERAL"
            " (SELECT array_agg(random() - 0.5 + 0 * i * j)::vector AS v FROM generate_series(1, 12) AS j) AS r"
        )
        set_odd(connection, {"statement_timeout": "3s"})
        collection = get_collection(connection, "photo")
    # What the build waits for, however slow the machine is.
    with writer_holding(own.dsn, collection), pooled(own, size=SESSIONS) as again:
        capsys.readouterr()
        assert run(cli, ["index", "create", "photo", "--memory", "1GB", "--dsn", again]) == 1
        said = capsys.readouterr().err
        assert "behind a pooler a statement_timeout of the role or database holds" in said, said
        assert "server's own maintenance_work_mem" in said
        assert left_in_sessions(own.dsn, again, SESSIONS) == {}
    assert run(cli, ["index", "create", "photo", "--dsn", own.dsn]) == 0


def test_an_export_over_several_connections_is_refused(
    own: Own, behind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with connect(own.dsn) as connection:
        collection = make_photos(connection, 3)
        embed(connection, collection, {1: X, 2: Y, 3: Z})
    arguments = ["export", "photo_test", str(tmp_path / "out"), "--dsn", behind]
    assert run(cli, [*arguments, "--jobs", "2"]) == 2
    assert "connect to PostgreSQL itself, or give --jobs 1" in capsys.readouterr().err
    assert run(cli, arguments) == 0 and "3 vectors" in capsys.readouterr().out


def test_a_transaction_may_be_of_one_snapshot(own: Own, behind: str) -> None:
    with psycopg.connect(own.dsn, autocommit=True) as connection:
        set_odd(connection, {"statement_timeout": "77s", "DateStyle": "German"})
        connection.execute(
            "SELECT pg_terminate_backend(pid, 600000) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    with connect(behind) as connection, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = connection.execute(
            "SELECT current_setting('statement_timeout'), left(current_setting('DateStyle'), 3)"
        )
        assert row.fetchone() == ("0", "ISO")
