"""A database as an early build made it, before revision 0002, brought up to date: the dump of one with five pictures."""

import gzip
from pathlib import Path

from colorshop import picture
from dumps import run_tool

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.migrations import upgrade
from imgvec_pg.store.setup.stale_functions import find_stale_functions

DUMP = Path(__file__).with_name("first_build.sql.gz")
COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relkind IN ('r', 'v') AND c.relname NOT LIKE 'photo%' AND a.attnum > 0
  AND NOT a.attisdropped
"""
# A dump brackets what it read otherwise.
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, translate(pg_get_constraintdef(oid), '()', '') FROM pg_constraint
WHERE connamespace = 'imgvec'::regnamespace AND conrelid::regclass::text NOT LIKE '%photo%'
"""
FUNCTIONS = """
SELECT oid::regprocedure::text, prosrc, provolatile FROM pg_proc
WHERE pronamespace = 'imgvec'::regnamespace AND proname NOT LIKE '%photo%'
"""
LEFT_OVER = {
    "imgvec.file_request(integer,text,bytea,integer)",
    "imgvec.text_question(text,text)",
    "imgvec.last_search_way()",
}
"""Functions that go by other names now; nothing calls them."""


def found(connection: Connection, statement: str) -> set[tuple[object, ...]]:
    return set(connection.execute(statement).fetchall())  # type: ignore[arg-type]


def test_it_becomes_what_a_new_one_is_and_goes_on(empty_database: str, another_database: str) -> None:
    with connect(another_database) as fresh:
        # Makes the roles too, which the dump names.
        upgrade(fresh)
    run_tool(
        "psql",
        empty_database,
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        stdin=gzip.decompress(DUMP.read_bytes()).decode(),
    )
    with connect(empty_database) as connection:
        connection.execute("UPDATE imgvec.image SET taken_at = NULL")
    assert run(cli, ["migrate", "--dsn", empty_database]) == 0
    with connect(empty_database) as connection, connect(another_database) as fresh:
        for statement in (COLUMNS, CONSTRAINTS):
            assert found(connection, statement) == found(fresh, statement)
        ours, theirs = found(connection, FUNCTIONS), found(fresh, FUNCTIONS)
        assert theirs <= ours
        assert {str(row[0]) for row in ours - theirs} <= LEFT_OVER
        assert find_stale_functions(connection).names == ()
        connection.execute("INSERT INTO public.photo VALUES (6, %s, 6)", [picture("blue")])
        connection.execute("UPDATE public.photo SET content = %s WHERE id = 1", [picture("green")])
        connection.execute("DELETE FROM public.photo WHERE id = 2")
    assert run(cli, ["backfill", "photo_clip", "--dsn", empty_database]) == 0
    assert run(cli, ["verify", "photo_clip", "--dsn", empty_database]) == 0
    with connect(empty_database) as connection:
        rows = connection.execute(
            "SELECT id FROM imgvec.search_photo_now(imgvec.embedding_of('photo_now', 6), 10)"
        ).fetchall()
        assert rows[0] == (6,) and {row[0] for row in rows} == {1, 3, 4, 5, 6}
