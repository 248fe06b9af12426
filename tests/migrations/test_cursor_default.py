"""After a plain `imgvec migrate` a cursor over near_* gives all rows, however it is opened; who has chosen otherwise keeps it."""

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa
from fresh_databases import Server, fresh_database
from ormshop import sqlalchemy_url
from psycopg import sql
from psycopg.conninfo import make_conninfo
from vectorstore import make_items

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import connect
from imgvec_pg.doctor.run import diagnose
from imgvec_pg.store.index.build import build_index

ROWS = 6000
READ_BY_REFERENCE = """
CREATE FUNCTION pg_temp.opened() RETURNS refcursor LANGUAGE plpgsql AS $$
DECLARE c refcursor;
BEGIN
    OPEN c FOR SELECT id FROM {near} ORDER BY distance;
    RETURN c;
END
$$"""
QUERIES = {
    "vector": f"imgvec.near_item_test('{[1] * 48}')",
    "row": "imgvec.near_item_test_row(7)",
    "words": "imgvec.near_item_test_text('red')",
}


@pytest.fixture(scope="module")
def migrated(server: Server) -> Iterator[str]:
    """A database after `imgvec migrate`, with an index that the planner takes by its costs alone."""
    with fresh_database(server) as dsn:
        assert run(cli, ["migrate", "--dsn", dsn]) == 0
        with connect(dsn) as connection:
            collection = make_items(connection, ROWS)
            for setting in ("enable_sort", "enable_seqscan", "enable_bitmapscan"):
                for place in (sql.SQL(""), sql.SQL("ALTER DATABASE {} ").format(_database(connection))):
                    connection.execute(sql.SQL("{}RESET {}").format(place, sql.SQL(setting)))
            build_index(connection, collection)
            connection.execute(
                "INSERT INTO imgvec.text_embedding (model_id, text, embedding)"
                " SELECT model_id, 'red', l2_normalize(array_fill(1, ARRAY[48])::vector) FROM imgvec.collection"
                " WHERE name = 'item_test'"
            )
        yield dsn


def _database(connection: psycopg.Connection) -> sql.Identifier:
    return sql.Identifier(connection.info.dbname)


def count(dsn: str, way: str, near: str) -> int:
    """Count the rows that a cursor gives."""
    if way == "yield_per":
        engine = sa.create_engine(sqlalchemy_url(dsn), poolclass=sa.NullPool)
        with engine.connect().execution_options(yield_per=500) as session:
            return sum(
                1
                for _ in session.execute(
                    sa.text(f"SELECT id FROM {near} ORDER BY distance".replace(":", r"\:"))
                )
            )
    with psycopg.connect(dsn) as connection:
        if way == "reference":
            connection.execute(READ_BY_REFERENCE.format(near=near))
            [(name,)] = connection.execute("SELECT pg_temp.opened()::text").fetchall()
            return len(
                connection.execute(sql.SQL("FETCH ALL FROM {}").format(sql.Identifier(name))).fetchall()
            )
        with connection.cursor("onwards", withhold=way == "with hold") as cursor:
            cursor.execute(f"SELECT id FROM {near} ORDER BY distance")
            if way == "with hold":
                connection.commit()
            return len(cursor.fetchall())


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("way", ["named", "with hold", "yield_per", "reference"])
def test_a_cursor_over_near_gives_all_rows(migrated: str, way: str, query: str) -> None:
    near = QUERIES[query]
    rows = ROWS - (query == "row")
    assert count(migrated, way, near) == rows
    # Without the default the same cursor ends early, so the planner would take the index here.
    assert count(make_conninfo(migrated, options="-c cursor_tuple_fraction=0.1"), way, near) < rows


def plans(dsn: str) -> str:
    with psycopg.connect(dsn) as connection:
        [(fraction,)] = connection.execute("SELECT current_setting('cursor_tuple_fraction')").fetchall()
    return str(fraction)


def test_migrate_says_so_once_and_uninstall_takes_it_back(
    empty_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["migrate", "--dsn", empty_database]) == 0
    assert "cursor_tuple_fraction is 1 in new sessions" in capsys.readouterr().out
    assert run(cli, ["migrate", "--dsn", empty_database]) == 0
    assert "cursor_tuple_fraction" not in capsys.readouterr().out
    assert plans(empty_database) == "1"
    assert run(cli, ["uninstall", "--yes", "--dsn", empty_database]) == 0
    assert plans(empty_database) == "0.1"


@pytest.mark.parametrize("chosen", ["0.1", "0.5"])
def test_a_value_that_the_database_has_stays(empty_database: str, chosen: str) -> None:
    with connect(empty_database) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET cursor_tuple_fraction = {}").format(
                _database(connection), sql.Literal(chosen)
            )
        )
    assert run(cli, ["migrate", "--dsn", empty_database]) == 0
    assert plans(empty_database) == chosen


def test_it_is_left_alone_where_that_is_asked_for_and_the_doctor_tells(empty_database: str) -> None:
    assert run(cli, ["migrate", "--no-database-defaults", "--dsn", empty_database]) == 0
    assert plans(empty_database) == "0.1"
    with connect(empty_database) as connection:
        [finding] = [found for found in diagnose(connection) if "cursor_tuple_fraction" in found.met]
    assert finding.level == "info" and str(finding.next_step).startswith("imgvec migrate")
    assert run(cli, ["migrate", "--dsn", empty_database]) == 0
    with connect(empty_database) as connection:
        assert not [found for found in diagnose(connection) if "cursor_tuple_fraction" in found.met]


def test_a_role_that_does_not_own_the_database_is_told_whom_to_ask(
    empty_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with connect(empty_database) as connection:
        connection.execute("CREATE EXTENSION vector")
        name = f"imgvec_test_pod_{connection.info.backend_pid}"
        role, database = sql.Identifier(name), _database(connection)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, role))
        try:
            dsn = make_conninfo(empty_database, user=name, password="x")
            assert run(cli, ["migrate", "--dsn", dsn]) == 0
            told = capsys.readouterr().err
            assert f'ALTER DATABASE "{connection.info.dbname}" SET "cursor_tuple_fraction" = \'1\'' in told
            assert plans(empty_database) == "0.1"
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))
