"""No name in our SQL means something that another role made: judged by pgspot, and tried by an attacker."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from photostore import X, embed, make_collection, new_role
from psycopg import sql

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database import migrations
from imgvec_pg.database.connect import Connection, connect, vector_schema
from imgvec_pg.errors import DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import creation_statements, drop_collection
from imgvec_pg.store.setup.text_relay import PasswordLogin, relay_statements
from imgvec_pg.store.source import describe_source

PINNED = "SET search_path = pg_catalog, pg_temp;\n"
# They say themselves why they have no SET clause, and qualify every name instead.
QUALIFIED = (
    "imgvec.prepare_text(collection text,words text)",
    "imgvec.label_probabilities(similarities double precision[],logit_scale double precision,logit_bias double precision)",
    # Inlined into the caller's query, as near_* is.
    "imgvec.copies_photo_test(id bigint,picture bytea,copies bigint,first_seen timestamptz)",
    "imgvec.copies_pair(tenant integer,code uuid,picture bytea,copies bigint,first_seen timestamptz)",
)


def pgspot(script: str, folder: Path) -> str:
    """Return what pgspot objects to. It does not know bodies that are bound when they are created, as under PINNED."""
    file = folder / "script.sql"
    bodies = re.compile(r"BEGIN ATOMIC\n(.*?)\nEND;", re.DOTALL)
    script = bodies.sub(r"SET search_path = pg_catalog, pg_temp AS $atomic$\n\1\n$atomic$;", script)
    # Of one expression; plpgsql's own are indented.
    script = re.sub(
        r"^RETURN (.*);$",
        r"SET search_path = pg_catalog, pg_temp AS $atomic$ SELECT \1 $atomic$;",
        script,
        flags=re.MULTILINE,
    )
    file.write_text(script, encoding="utf-8")
    allowed = [f"--proc-without-search-path={name}" for name in QUALIFIED]
    outcome = subprocess.run(
        [sys.executable, "-m", "pgspot", *allowed, str(file)], capture_output=True, text=True, check=False
    )
    assert (outcome.returncode == 0) == ("Errors: 0 Warnings: 0 Unknown: 0" in outcome.stdout), outcome
    return "" if outcome.returncode == 0 else outcome.stdout + outcome.stderr


def test_pgspot_finds_what_it_is_asked_for(tmp_path: Path) -> None:
    assert "PS016" in pgspot("SELECT format('%s', now())", tmp_path)
    definer = "CREATE FUNCTION a.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"
    assert "PS003" in pgspot(PINNED + definer, tmp_path)
    assert "PS016" in pgspot(
        "CREATE FUNCTION a.f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN now(); END $$", tmp_path
    )


def test_pgspot_has_nothing_against_the_schema(tmp_path: Path) -> None:
    assert pgspot(migrations.upgrade_sql(), tmp_path) == ""


def test_pgspot_has_nothing_against_collections_and_the_relay(scratch: Connection, tmp_path: Path) -> None:
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, content bytea)")
    scratch.execute("CREATE TABLE shop.pair (tenant int, code uuid, file text, PRIMARY KEY (tenant, code))")
    scratch.execute("ALTER TABLE shop.pair ENABLE ROW LEVEL SECURITY")
    plain = make_collection(scratch, image=["file", "content"])
    pair = make_collection(scratch, "shop.pair", "pair", foreign_key=False, quantization="bit")
    login = PasswordLogin("127.0.0.1", 5432, "shop", "ann", "secret")
    statements = [*relay_statements("public", None), *relay_statements("public", login)]
    for collection, partitions in ((plain, 0), (pair, 2)):
        source = describe_source(scratch, collection.source.as_string(scratch), collection.key_columns)
        statements += creation_statements(
            replace(collection, partitions=partitions), source, vector_schema(scratch)
        )
    script = PINNED + "".join(
        f"{statement.as_string(scratch).strip().rstrip(';')};\n" for statement in statements
    )
    # PS002: CREATE OR REPLACE could meet another's function, but not in a schema that nobody else may create in.
    objections = [line for line in pgspot(script, tmp_path).splitlines() if line.startswith("PS")]
    assert [
        line for line in objections if not line.startswith("PS002: Unsafe function creation: imgvec.")
    ] == []


# Exactly the types of calls in our SQL: where PostgreSQL's own function takes any, or would need a cast, these are nearer.
TRAPS = """
    CREATE FUNCTION {public}.trap() RETURNS text LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'trapped as %', current_user; END $$;
    CREATE FUNCTION {public}.format(text, text) RETURNS text LANGUAGE sql AS 'SELECT {public}.trap()';
    CREATE FUNCTION {public}.format(text, regprocedure) RETURNS text LANGUAGE sql AS 'SELECT {public}.trap()';
    CREATE FUNCTION {public}.format(text, regprocedure, regrole) RETURNS text LANGUAGE sql AS 'SELECT {public}.trap()';
    CREATE FUNCTION {public}.format(text, name, name) RETURNS text LANGUAGE sql AS 'SELECT {public}.trap()';
    CREATE FUNCTION {public}.jsonb_build_object(text, bigint) RETURNS jsonb LANGUAGE sql AS 'SELECT {public}.trap()::jsonb';
    CREATE FUNCTION {public}.jsonb_build_array(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT {public}.trap()::jsonb';
    CREATE FUNCTION {public}.trap(oid, regclass) RETURNS boolean LANGUAGE sql AS 'SELECT {public}.trap()::boolean';
    CREATE FUNCTION {public}.trap(oid, regnamespace) RETURNS boolean LANGUAGE sql AS 'SELECT {public}.trap()::boolean';
    CREATE FUNCTION {public}.trap(double precision[], double precision) RETURNS double precision[] LANGUAGE sql
        AS 'SELECT ARRAY[{public}.trap()::double precision]';
    CREATE FUNCTION {public}.trap(integer, double precision) RETURNS double precision LANGUAGE sql
        AS 'SELECT {public}.trap()::double precision';
    CREATE OPERATOR {public}.= (FUNCTION = {public}.trap, LEFTARG = oid, RIGHTARG = regclass);
    CREATE OPERATOR {public}.= (FUNCTION = {public}.trap, LEFTARG = oid, RIGHTARG = regnamespace);
    CREATE OPERATOR {public}.|| (FUNCTION = {public}.trap, LEFTARG = double precision[], RIGHTARG = double precision);
    CREATE OPERATOR {public}./ (FUNCTION = {public}.trap, LEFTARG = integer, RIGHTARG = double precision);
    CREATE OPERATOR {public}.+ (FUNCTION = {public}.trap, LEFTARG = integer, RIGHTARG = double precision);
"""


@pytest.fixture
def trapped(connection: Connection) -> Iterator[Connection]:
    """Give a superuser's connection to a database where a role that may create in public has laid its traps."""
    with new_role(connection, "CREATE ON SCHEMA public") as attacker:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(attacker)))
        connection.execute(sql.SQL(TRAPS).format(public=sql.Identifier("public")))
        connection.execute("RESET ROLE")
        with pytest.raises(psycopg.errors.RaiseException, match="trapped as postgres"):
            connection.execute("SELECT format('%s', 'x'::text)")
        yield connection


def test_nobody_falls_into_a_trap(
    trapped: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def imgvec(*arguments: str, expected: int = 0) -> None:
        code = run(cli, [*arguments, "--dsn", database])
        said = capsys.readouterr()
        assert code == expected and "trapped" not in said.out + said.err, (arguments, said)

    imgvec("migrate")
    trapped.execute("CREATE SCHEMA shop")
    trapped.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text)")
    trapped.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    with trapped.transaction():
        collection: Collection = make_collection(trapped, root="/")
    grants = ("USAGE ON SCHEMA shop", "SELECT, INSERT, UPDATE, DELETE ON shop.photo", "imgvec_reader")
    with new_role(trapped, *grants) as application:
        trapped.execute("CREATE POLICY all_rows ON shop.photo USING (true)")
        trapped.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(application)))
        trapped.execute("INSERT INTO shop.photo SELECT i, 'a' FROM generate_series(1, 200) AS i")
        trapped.execute("UPDATE shop.photo SET file = 'b'")
        trapped.execute("UPDATE shop.photo SET id = 1000 WHERE id = 1")
        trapped.execute("DELETE FROM shop.photo WHERE id = 2")
        trapped.execute("RESET ROLE")
        embed(trapped, collection, {3: X, 4: X})
        trapped.execute(
            "INSERT INTO imgvec.failure (collection_id, key, version, code, message, attempts)"
            " VALUES (%s, '{\"id\": 5}', 1, 'truncated', '', 1)",
            [collection.id],
        )
        trapped.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(application)))
        for statement in (
            "SELECT * FROM imgvec.near_photo_test('[1,0,0]')",
            "SELECT * FROM imgvec.near_photo_test_row(3)",
            "SELECT * FROM imgvec.search_photo_test('[1,0,0]')",
            "SELECT * FROM imgvec.page_photo_test('[1,0,0]', 2)",
            "SELECT imgvec.embedding_of('photo_test', 3)",
            "SELECT imgvec.label_probabilities(ARRAY[0.1, 0.2], 10, 1), imgvec.label_probabilities(ARRAY[0.1, 0.2], 10)",
            "SELECT * FROM imgvec.status",
            "SELECT * FROM imgvec.failures",
        ):
            assert trapped.execute(statement).rowcount >= 1  # type: ignore[arg-type]
        trapped.execute("RESET ROLE")
    for command in (
        ("retry", "photo_test"),
        ("status",),
        ("doctor",),
        ("index", "show", "photo_test"),
        ("collection", "show", "photo_test"),
        ("collection", "reconcile", "photo_test"),
        ("migrate",),
    ):
        imgvec(*command)
    imgvec("verify", "photo_test", "--repair")
    drop_collection(trapped, collection)
    trapped.execute("DROP SCHEMA shop CASCADE")
    imgvec("uninstall", "--yes")


def test_what_collections_made_is_bound_to_postgresqls_own(trapped: Connection) -> None:
    trapped.execute("CREATE SCHEMA shop; CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text)")
    with trapped.transaction():
        make_collection(trapped)
    found = trapped.execute(
        "SELECT pg_describe_object(d.classid, d.objid, 0), pg_describe_object(d.refclassid, d.refobjid, 0)"
        " FROM pg_depend AS d JOIN pg_roles AS r ON r.rolname LIKE 'imgvec\\_test\\_%'"
        " WHERE d.deptype = 'n' AND (d.refclassid, d.refobjid) IN"
        "  (SELECT 'pg_proc'::regclass::oid, p.oid FROM pg_proc AS p WHERE p.proowner = r.oid"
        "   UNION SELECT 'pg_operator'::regclass::oid, o.oid FROM pg_operator AS o WHERE o.oprowner = r.oid)"
        " AND d.classid <> 'pg_operator'::regclass::oid"
    ).fetchall()
    assert found == []


@pytest.mark.parametrize("printed", [False, True])
def test_a_schema_that_somebody_else_made_is_refused(empty_database: str, printed: bool) -> None:
    with connect(empty_database) as connection:
        connection.execute("CREATE EXTENSION vector")
        with new_role(connection) as attacker:
            role = sql.Identifier(attacker)
            connection.execute(sql.SQL("CREATE SCHEMA imgvec AUTHORIZATION {}").format(role))
            if printed:
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"belongs to {attacker}"):
                    connection.execute(migrations.upgrade_sql().encode())
                connection.execute("ROLLBACK")
            else:
                with pytest.raises(
                    DatabaseError, match=f"belongs to {attacker}, this is .*Run imgvec migrate as"
                ):
                    migrations.upgrade(connection)
            assert connection.execute("SELECT to_regclass('imgvec.job')").fetchone() == (None,)
