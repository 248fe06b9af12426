"""Defaults of a role or database that are not PostgreSQL's own: what the library relies on, its sessions set."""

from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from colorshop import request
from every_command import walk
from fresh_databases import Server, fresh_database
from imgvec_test_embedder import ColorGrid
from odd_settings import ODD, set_odd
from psycopg import sql
from vectorstore import writer_holding

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.embedding.golden import IMAGE, compute_golden
from imgvec_pg.errors import CollectionNotFoundError, DatabaseError
from imgvec_pg.store.aliases import create_alias
from imgvec_pg.store.collection_ddl import create_collection, drop_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.index.ddl import has_valid_index
from imgvec_pg.store.model_registry import compare_golden
from imgvec_pg.store.registry import get_collection


def set_default(dsn: str, **settings: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        set_odd(connection, settings)


@pytest.fixture
def filled(connection: Connection) -> Connection:
    """Give a collection whose index takes longer to build than a short limit."""
    connection.execute("CREATE TABLE public.photo (id integer PRIMARY KEY, content bytea)")
    create_collection(connection, request("photo", "public.photo", image=["content"]))
    connection.execute("ALTER TABLE public.photo DISABLE TRIGGER USER")
    connection.execute("INSERT INTO public.photo SELECT generate_series(1, 4000)")
    connection.execute(
        "INSERT INTO imgvec.photo_embedding (id, embedding, version, content_hash, precision)"
        " SELECT i, imgvec.unit_embedding(v), 1, '\\x00', 'fp32' FROM generate_series(1, 4000) AS i CROSS JOIN LATERAL"
        " (SELECT array_agg(random() - 0.5 + 0 * i * j)::vector AS v FROM generate_series(1, 12) AS j) AS r"
    )
    return connection


def test_every_command_works_where_every_setting_is_odd(
    empty_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_default(empty_database, **ODD)
    walk(empty_database, tmp_path, capsys)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DateStyle", "German, DMY"),
        ("DateStyle", "SQL, DMY"),
        ("DateStyle", "Postgres, MDY"),
        ("IntervalStyle", "iso_8601"),
        ("quote_all_identifiers", "on"),
        ("extra_float_digits", "-15"),
        ("bytea_output", "escape"),
        ("standard_conforming_strings", "off"),
        ("array_nulls", "off"),
        ("row_security", "off"),
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_deferrable", "on"),
        ("statement_timeout", "7s"),
        ("lock_timeout", "7s"),
        ("idle_session_timeout", "7s"),
        ("idle_in_transaction_session_timeout", "7s"),
        ("transaction_timeout", "7s"),
        ("client_encoding", "LATIN1"),
    ],
)
def test_sessions_set_what_they_rely_on_and_keep_the_order_of_dates(
    database: str, name: str, value: str
) -> None:
    with connect(database) as connection:
        if connection.execute("SELECT FROM pg_settings WHERE name = %s", [name]).rowcount == 0:
            pytest.skip(f"this server knows no {name}")
        normal = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
    set_default(database, **{name: value})
    with psycopg.connect(database) as application:
        odd = application.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
    with connect(database) as connection:
        ours = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
        assert connection.execute("SELECT now() - interval '1 day', now()::date").fetchone()
    if name == "DateStyle":
        # A condition of a person's own means the dates that it means to them.
        assert ours == (f"ISO, {value[-3:]}",)
        return
    assert (name == "client_encoding" or odd != normal) and ours == normal


def connect_in_time(database: str) -> Connection:
    """Connect, again where the first statement, which lifts the limit, takes longer itself, as on a busy machine."""
    for _ in range(100):
        with suppress(psycopg.errors.QueryCanceled, psycopg.errors.TransactionTimeout):
            return connect(database)
    pytest.fail("no session began within the limit")


@pytest.mark.parametrize("limit", ["statement_timeout", "transaction_timeout", "lock_timeout"])
def test_an_index_is_built_whatever_limit_the_database_has(
    filled: Connection, database: str, limit: str
) -> None:
    set_default(database, **{limit: "20ms"})
    with connect_in_time(database) as connection:
        assert build_index(connection, get_collection(connection, "photo"))
        # Over its different pictures by now: all rows show one.
        assert has_valid_index(connection, get_collection(connection, "photo"))


def test_a_limit_given_for_a_connection_stays_and_the_message_names_it(
    filled: Connection, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    collection = get_collection(filled, "photo")
    # What the build waits for, however slow the machine is.
    with writer_holding(database, collection):
        monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=3s -c datestyle=german")
        with connect(database) as connection:
            assert connection.execute("SHOW statement_timeout").fetchone() == ("3s",)
            assert connection.execute("SHOW datestyle").fetchone() == ("ISO, DMY",)
            with pytest.raises(
                DatabaseError, match="statement_timeout is 3s by the options of this connection"
            ):
                build_index(connection, collection)


def test_migrate_creates_the_extension_where_no_schema_is_searched(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for has_public in (True, False):
        with fresh_database(server) as dsn:
            set_default(dsn, search_path="")
            if not has_public:
                with psycopg.connect(dsn) as connection:
                    connection.execute("DROP SCHEMA public")
            assert run(cli, ["migrate", "--dsn", dsn]) == (0 if has_public else 1)
            said = capsys.readouterr().err
            assert has_public or "run CREATE EXTENSION vector SCHEMA" in said, said
            assert said.count("\n") == (0 if has_public else 1)


@pytest.mark.parametrize(
    "setting",
    [
        "extra_float_digits = -15",
        "DateStyle = 'German'",
        "quote_all_identifiers = on",
        "bytea_output = escape",
    ],
)
def test_an_applications_session_is_read_whatever_its_settings_and_keeps_them(
    connection: Connection, database: str, setting: str
) -> None:
    connection.execute("CREATE TABLE public.photo (id integer PRIMARY KEY, content bytea)")
    collection = create_collection(connection, request("photo", "public.photo", image=["content"]))
    create_alias(connection, "shown", "photo")
    golden = compute_golden(ColorGrid(), (IMAGE,))
    compare_golden(connection, collection.model_id, golden, "fp32", store=True)
    with psycopg.connect(database) as application:
        application.execute(f"SET {setting}")
        before = application.execute("SELECT name, setting FROM pg_settings ORDER BY name").fetchall()
        found = compare_golden(application, collection.model_id, golden, "fp32", store=False)
        assert found.images is not None and found.images > 0.9999
        assert get_collection(application, "shown").id == collection.id
        with pytest.raises(CollectionNotFoundError, match=r"there are: photo; aliases: shown"):
            get_collection(application, "no_such")
        create_collection(application, request("again", "public.photo", image=["content"]))
        drop_collection(application, get_collection(application, "again"))
        after = application.execute("SELECT name, setting FROM pg_settings ORDER BY name").fetchall()
        # The limit on locks is the transaction's until it ends; pgvector's own come with its library.
        changed = {name for name, value in after if dict(before).get(name, value) != value}
        assert changed <= {"lock_timeout"}
