"""Words in plain SQL stay there for all, whatever one role does."""

from collections.abc import Iterator

import psycopg
import pytest
from asking import PATIENT, answering, embed_text, logged_in_reader
from colorshop import make_shop
from psycopg import sql
from psycopg.conninfo import make_conninfo
from workers import count

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.setup.text_relay import install_relay

FILE = "SELECT imgvec.enqueue_request(%s, %s, NULL, %s)"
NOBODYS_MODEL = 0


@pytest.fixture
def relay(connection: Connection) -> Collection:
    collection = make_shop(connection)
    install_relay(connection)
    return collection


@pytest.fixture
def greedy(connection: Connection, database: str) -> Iterator[Connection]:
    """Give a connection of a reader that wants it all."""
    with logged_in_reader(connection, database) as opened:
        yield opened


@pytest.fixture
def modest(connection: Connection, database: str) -> Iterator[Connection]:
    """Give a connection of another reader."""
    role = "imgvec_modest_" + connection.info.dbname[-12:]
    name = sql.Identifier(role)
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE imgvec_reader PASSWORD 'reader'").format(name))
    with connect(make_conninfo(database, user=role, password="reader")) as opened:
        opened.execute(PATIENT)
        yield opened
    connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(name))


def file_all(reader: Connection, requests: int = 80) -> int:
    """File as many requests as it gets, and return how many that were."""
    filed = 0
    for number in range(requests):
        row = reader.execute(FILE, [NOBODYS_MODEL, f"w{number}", 2_000_000_000]).fetchone()
        assert row is not None
        filed += row[0] is not None
    return filed


@pytest.mark.parametrize("means", ["plainly", "by a setting of its session", "by the way of the relay"])
def test_one_role_cannot_take_words_from_another(
    connection: Connection,
    database: str,
    relay: Collection,
    greedy: Connection,
    modest: Connection,
    means: str,
) -> None:
    if means == "by a setting of its session":
        greedy.execute("SET imgvec.max_text_requests = 1000000")
    if means == "by the way of the relay":
        for number in range(20):
            # The relay deletes what it filed once it has waited: so they are left behind by cancelling.
            with connect(greedy.info.dsn, password="reader") as asking:
                asking.execute("SET imgvec.text_timeout = '10 min'; SET statement_timeout = '150 ms'")
                with pytest.raises((psycopg.errors.QueryCanceled, psycopg.errors.ConfigurationLimitExceeded)):
                    embed_text(asking, f"red {number}")
        assert count(connection, "imgvec.embedding_request") == 16
    else:
        assert file_all(greedy) == 16
    with pytest.raises(psycopg.errors.ConfigurationLimitExceeded, match="of this role or of all"):
        embed_text(greedy, "blue")
    with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
        greedy.execute("CALL imgvec.prepare_text('product_color', 'blue')")
    with answering(database, relay):
        embed_text(modest, "yellow")
        modest.execute("CALL imgvec.prepare_text('product_color', 'cyan')")


def test_a_role_that_is_set_counts_as_the_one_that_logged_in(
    connection: Connection, relay: Collection, greedy: Connection
) -> None:
    assert file_all(greedy) == 16
    greedy.execute("SET ROLE imgvec_reader")
    assert file_all(greedy) == 0


def test_all_roles_together_have_a_limit(
    connection: Connection, relay: Collection, modest: Connection
) -> None:
    connection.execute(
        "INSERT INTO imgvec.embedding_request (asker, model_id, text, expires_at)"
        " SELECT 'role ' || g % 8, 0, 'x', now() + interval '1 min' FROM generate_series(1, 63) AS g"
    )
    assert file_all(modest) == 1


def test_the_database_sets_the_limit_and_a_session_may_ask_for_less(
    connection: Connection, relay: Collection, greedy: Connection
) -> None:
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("ALTER DATABASE {} SET imgvec.max_text_requests = 20").format(name))
    greedy.execute("SET imgvec.max_text_requests = 3")
    assert file_all(greedy) == 3
    greedy.execute("SET imgvec.max_text_requests = 21")
    assert file_all(greedy) == 17


def test_readers_write_no_requests_themselves(
    connection: Connection, relay: Collection, greedy: Connection
) -> None:
    values = "(model_id, text, expires_at) VALUES (0, 'x', now() + interval '1 day')"
    for statement in (
        f"INSERT INTO imgvec.embedding_request {values}",
        "SELECT imgvec.enqueue_request_of('another', 0, 'x', NULL, 1000)",
        "UPDATE imgvec.embedding_request SET expires_at = now()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            greedy.execute(statement)  # type: ignore[arg-type]
    for expires_at in ("now() + interval '1 day'", "now() + interval '11 min'", "'infinity'"):
        with pytest.raises(psycopg.errors.CheckViolation, match="expires_soon"):
            connection.execute(
                "INSERT INTO imgvec.embedding_request (model_id, text, expires_at)"
                f" VALUES (0, 'x', {expires_at})"
            )


@pytest.mark.parametrize(
    ("timeout_ms", "seconds"), [(2_147_483_647, 600), (600_000, 600), (5000, 5), (-5, 0)]
)
def test_a_request_is_waited_for_ten_minutes_at_most(
    connection: Connection, relay: Collection, greedy: Connection, timeout_ms: int, seconds: int
) -> None:
    greedy.execute(FILE, [NOBODYS_MODEL, "x", timeout_ms])
    row = connection.execute(
        "SELECT extract(epoch FROM expires_at - asked_at)::float8 FROM imgvec.embedding_request"
    ).fetchone()
    assert row is not None and row[0] == pytest.approx(seconds, abs=0.5)


def test_whoever_keeps_the_lock_of_the_queue_keeps_nobody_waiting(
    connection: Connection, database: str, relay: Collection, greedy: Connection, modest: Connection
) -> None:
    with greedy.transaction():
        greedy.execute("SELECT pg_advisory_xact_lock(1768777078, -1)")
        greedy.execute(FILE, [NOBODYS_MODEL, "x", 1000])
        with answering(database, relay):
            embed_text(modest, "yellow")
            modest.execute("CALL imgvec.prepare_text('product_color', 'cyan')")


def test_what_expired_is_swept_when_a_reader_asks(
    connection: Connection, relay: Collection, greedy: Connection
) -> None:
    connection.execute(
        "INSERT INTO imgvec.embedding_request (model_id, text, expires_at)"
        " SELECT 0, 'x', now() - interval '11 s' FROM generate_series(1, 100)"
    )
    assert file_all(greedy, 1) == 1
    assert count(connection, "imgvec.embedding_request") == 1
