"""Everything that is wrong gets one line on stderr and the right exit code, and leaves nothing half-done behind."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from colorshop import make_shop, picture
from memory_disk import make_server_directory
from psycopg import sql
from psycopg.conninfo import make_conninfo

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection
from imgvec_pg.database.local_server.server import LocalServer

# What a half-made collection would leave: relations, functions, types, triggers, rows of the registries.
CATALOGUE = """
SELECT 'relation', c.oid::regclass::text FROM pg_class AS c WHERE c.relnamespace = 'imgvec'::regnamespace
UNION ALL SELECT 'function', p.oid::regprocedure::text FROM pg_proc AS p WHERE p.pronamespace = 'imgvec'::regnamespace
UNION ALL SELECT 'type', t.oid::regtype::text FROM pg_type AS t WHERE t.typnamespace = 'imgvec'::regnamespace
UNION ALL SELECT 'trigger', t.tgname FROM pg_trigger AS t WHERE NOT t.tgisinternal
UNION ALL SELECT 'policy', p.polname FROM pg_policy AS p
UNION ALL SELECT 'collection', c.name FROM imgvec.collection AS c
UNION ALL SELECT 'model', m.name FROM imgvec.model AS m
UNION ALL SELECT 'image', i.uri FROM imgvec.image AS i
UNION ALL SELECT 'job', j.keys::text FROM imgvec.job AS j
ORDER BY 1, 2
"""

SOURCES = """
CREATE TABLE shop.keyless (id int, picture bytea);
CREATE VIEW shop.seen AS SELECT * FROM shop.product;
CREATE TABLE shop.paths (id int PRIMARY KEY, path text, price int, details json);
CREATE TABLE shop.distances (distance int PRIMARY KEY, picture bytea);
"""


@pytest.fixture
def shop(connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Give a shop with the collection product_color; the commands find its database by IMGVEC_DSN."""
    make_shop(connection)
    connection.execute(SOURCES)
    connection.execute("UPDATE imgvec.collection SET listed_at = now()")
    monkeypatch.setenv("IMGVEC_DSN", database)
    return connection


def catalogue(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(CATALOGUE).fetchall()


class Said:
    """What a command answered: its exit code and its one line."""

    def __init__(self, code: int, stderr: str, stdout: str = "") -> None:
        self.code = code
        self.stderr = stderr
        self.stdout = stdout
        assert "Traceback" not in stderr

    def complains(self, code: int, *words: str) -> None:
        """Hold it to one line that begins with imgvec: and has all these words."""
        assert self.code == code, self.stderr
        assert self.stderr.startswith("imgvec: "), self.stderr
        assert self.stderr.count("\n") == 1, self.stderr
        for word in words:
            assert word in self.stderr


@pytest.fixture
def imgvec(capsys: pytest.CaptureFixture[str]) -> "Imgvec":
    return Imgvec(capsys)


class Imgvec:
    """The command line within this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> Said:
        self.capsys.readouterr()
        code = run(cli, arguments)
        captured = self.capsys.readouterr()
        return Said(code, captured.err, captured.out)


def in_a_process(*arguments: str, stdin: str = "", **environment: str) -> Said:
    """Run the command as a user does."""
    outcome = subprocess.run(
        [sys.executable, "-m", "imgvec_pg", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return Said(outcome.returncode, outcome.stderr, outcome.stdout)


CREATE = ("collection", "create")
COLOR = ("--model", "color-grid")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("c", "--source", "shop.nope", "--image", "x", *COLOR), 1, ['"shop.nope" does not exist']),
        (("c", "--source", "a.b.c.d", "--image", "x", *COLOR), 1, ["not a table name"]),
        (("c", "--source", 'shop."x', "--image", "x", *COLOR), 1, ["expected schema.table"]),
        (("c", "--source", "shop.product", "--image", "nope", *COLOR), 1, ['no column "nope"', "picture"]),
        (("c", "--source", "shop.product", "--image", "price", *COLOR), 1, ["is numeric"]),
        (("c_row", "--source", "shop.product", "--image", "picture", *COLOR), 2, ["another ending"]),
        (("c", "--source", "shop.product", *COLOR), 2, ["--image"]),
        (("c", "--image", "picture", *COLOR), 2, ["--source"]),
        (
            ("c", "--source", "imgvec.text_embedding", "--image", "text", "--root", "/", *COLOR),
            1,
            ["imgvec.text_embedding is imgvec's own", "--library"],
        ),
        (
            (
                "c",
                "--source",
                "imgvec.product_color_embedding",
                "--image",
                "precision",
                "--root",
                "/",
                *COLOR,
            ),
            1,
            ["imgvec's own"],
        ),
        (("c", "--source", "shop.keyless", "--image", "picture", *COLOR), 1, ["no primary key"]),
        (("c", "--source", "shop.distances", "--image", "picture", *COLOR), 1, ["needs for itself"]),
        (("c", "--source", "shop.seen", "--image", "picture", *COLOR), 1, ["--no-fk"]),
        (("c", "--source", "shop.seen", "--image", "picture", "--key", "id", *COLOR), 1, ["--no-fk"]),
        (
            ("c", "--source", "shop.product", "--image", "picture", "--key", "price", *COLOR),
            1,
            ["has no primary key of price"],
        ),
        (
            (
                "c",
                "--source",
                "shop.paths",
                "--image",
                "path",
                "--root",
                "/",
                "--key",
                "details",
                "--no-fk",
                *COLOR,
            ),
            1,
            ["without ordering"],
        ),
        (("c", "--source", "shop.product", "--image", "picture", "--watch", "nope", *COLOR), 1, ['"nope"']),
        (("c", "--source", "shop.paths", "--image", "path", *COLOR), 2, ["--root DIR"]),
        (("c", "--library", "--source", "shop.product", *COLOR), 2, ["leave out --source"]),
        (("product_color", "--source", "shop.product", "--image", "picture", *COLOR), 1, ["exists already"]),
        (("Bad-Name", "--source", "shop.product", "--image", "picture", *COLOR), 2, ["1 to 40 lower-case"]),
        (("n" * 41, "--source", "shop.product", "--image", "picture", *COLOR), 2, ["1 to 40 lower-case"]),
        (("c", "--source", "shop.product", "--image", "picture", "--m", "1", *COLOR), 2, ["m is 1"]),
        (
            ("c", "--source", "shop.product", "--image", "picture", "--ef-construction", "9", *COLOR),
            2,
            ["ef_construction is 9"],
        ),
        (("c", "--source", "shop.product", "--image", "picture", "--model", "vit-b-32"), 2, ["ViT-B-32"]),
        (
            ("c", "--source", "shop.product", "--image", "picture", "--model", "ViT-L-41/openai"),
            2,
            ["ViT-L-14"],
        ),
        (
            ("c", "--source", "shop.product", "--image", "picture", "--model", "ViT-L-14/laion2b_s32b_b28k"),
            2,
            ["laion2b_s32b_b82k"],
        ),
        (("c", "--source", "shop.product", "--image", "picture"), 2, ["--model"]),
    ],
)
def test_create_refuses_and_leaves_nothing(
    shop: Connection, imgvec: Imgvec, arguments: tuple[str, ...], code: int, words: list[str]
) -> None:
    before = catalogue(shop)
    imgvec(*CREATE, *arguments).complains(code, *words)
    assert catalogue(shop) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("collection", "show", "nope"), 1, ['"nope" does not exist', "product_color"]),
        (("collection", "drop", "nope", "--yes"), 1, ['"nope" does not exist']),
        (("collection", "reconcile", "nope"), 1, ['"nope" does not exist']),
        (("status", "nope"), 1, ['"nope" does not exist']),
        (("backfill", "nope"), 1, ['"nope" does not exist']),
        (("worker", "nope"), 1, ['"nope" does not exist']),
        (("failures", "nope"), 1, ['"nope" does not exist']),
        (("retry", "nope"), 1, ['"nope" does not exist']),
        (("search", "red", "--collection", "nope"), 1, ['"nope" does not exist']),
        (("search",), 2, ["nothing to search for"]),
        (("search", ""), 2, ["words are empty"]),
        (("search", "red", "-k", "0"), 2, ["k is 0", "1 to 10000"]),
        (("search", "red", "-k", "10001"), 2, ["k is 10001"]),
        (("search", "red", "--like", "1"), 2, ["expected one of"]),
        (("search", "--like", "99"), 1, ["no row 99"]),
        (("search", "--like", "x"), 2, ["cannot be a key"]),
        (("search", "red", "--where", "nope"), 2, ['"nope" does not exist']),
        (("search", "red", "--where", "true) --"), 2, ["does not take the condition"]),
        (("search", "red", "--columns", "nope"), 2, ['no column "nope"']),
        (("search", "red", "--max-distance", "3"), 2, ["expected 0 to 2"]),
        (("backfill", "--batch-size", "0"), 2, ["--batch-size"]),
        (("backfill", "--limit", "0"), 2, ["--limit"]),
        (("backfill", "--weights", "/nonexistent"), 2, ["does not exist"]),
        (("failures", "--limit", "0"), 2, ["--limit"]),
        (("add", "/nonexistent"), 2, ["'/nonexistent' does not exist"]),
        (("add",), 2, ["PATH"]),
        (("migrate", "--sql", "--database-defaults"), 2, ["does not go with --sql"]),
    ],
)
def test_other_commands_refuse_and_change_nothing(
    shop: Connection, imgvec: Imgvec, arguments: tuple[str, ...], code: int, words: list[str]
) -> None:
    before = catalogue(shop)
    imgvec(*arguments).complains(code, *words)
    assert catalogue(shop) == before


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [("gone.png", None, "does not exist"), ("empty.png", b"", "0 bytes"), ("text.png", b"text", "no image")],
)
def test_search_by_a_file_that_is_no_image(
    shop: Connection, imgvec: Imgvec, tmp_path: Path, name: str, content: bytes | None, word: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    imgvec("search", "--image", str(tmp_path / name)).complains(2, word)


def test_rows_that_are_no_image_are_failures_and_code_4(
    shop: Connection, imgvec: Imgvec, tmp_path: Path
) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("text")
    shop.execute(
        "INSERT INTO shop.paths VALUES (1, 'empty.png'), (2, 'text.png'), (3, '../out.png'), (4, NULL)"
    )
    made = imgvec(
        *CREATE, "paths", "--source", "shop.paths", "--image", "path", "--root", str(tmp_path), *COLOR
    )
    assert made.code == 0, made.stderr
    filled = imgvec("backfill", "paths")
    assert filled.code == 4
    # After lines of progress, where the machine is busy.
    assert filled.stderr.splitlines()[-1] == "see why with: imgvec failures paths"
    listed = imgvec("failures", "paths").stdout
    assert all(code in listed for code in ("empty", "unidentified", "path_denied"))
    assert imgvec("backfill", "paths").code == 0, "nothing is tried again unasked"


def test_a_folder_that_is_not_mounted_charges_no_row(
    shop: Connection, imgvec: Imgvec, tmp_path: Path
) -> None:
    shop.execute("INSERT INTO shop.paths VALUES (1, 'a.png')")
    root = tmp_path / "mounted"
    made = imgvec(*CREATE, "paths", "--source", "shop.paths", "--image", "path", "--root", str(root), *COLOR)
    assert made.code == 0
    assert f"the folder {root} is not on this machine" in made.stderr
    before = catalogue(shop)
    for command in ("backfill", "worker"):
        imgvec(command, "paths").complains(1, f"the folder {root}", "mount it", "--root DIR")
    assert catalogue(shop) == before
    assert shop.execute("SELECT count(*) FROM imgvec.failure").fetchone() == (0,)


def test_a_relative_root_is_kept_absolute(shop: Connection, imgvec: Imgvec, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        imgvec(*CREATE, "paths", "--source", "shop.paths", "--image", "path", "--root", "photos", *COLOR)
    assert shop.execute("SELECT root FROM imgvec.collection WHERE name = 'paths'").fetchone() == (
        str(tmp_path / "photos"),
    )


@pytest.mark.parametrize("command", ["backfill", "worker", "retry", "failures", "search"])
def test_which_of_two_collections_is_asked_in_the_words_of_the_command(
    shop: Connection, imgvec: Imgvec, command: str
) -> None:
    imgvec(*CREATE, "another", "--source", "shop.product", "--image", "picture", *COLOR)
    words, way = (("red",), "--collection NAME") if command == "search" else ((), f"imgvec {command} NAME")
    imgvec(command, *words).complains(2, "2 collections (another, product_color)", f"say which: {way}")


def test_a_table_that_others_inherit_from_is_refused(shop: Connection, imgvec: Imgvec) -> None:
    shop.execute("CREATE TABLE shop.gift (ribbon text) INHERITS (shop.product)")
    before = catalogue(shop)
    arguments = (*CREATE, "c", "--source", "shop.product", "--image", "picture", *COLOR)
    for more in ((), ("--no-fk",), ("--dry-run",)):
        imgvec(*arguments, *more).complains(1, "inherit from it (shop.gift)", "FROM ONLY")
    assert catalogue(shop) == before
    shop.execute("CREATE VIEW shop.own AS SELECT * FROM ONLY shop.product")
    view = (*CREATE, "c", "--source", "shop.own", "--image", "picture", "--key", "id", "--no-fk", *COLOR)
    assert imgvec(*view).code == 0
    child = (*CREATE, "d", "--source", "shop.gift", "--image", "picture", "--key", "id", "--no-fk", *COLOR)
    assert imgvec(*child).code == 0, "a table that inherits is a source like others"


def test_names_near_63_bytes_work_from_end_to_end(shop: Connection, imgvec: Imgvec) -> None:
    table, key, column = ("é" * 30 + "abc", 'k"' + "y" * 61, "P" * 63)
    shop.execute(
        sql.SQL("CREATE TABLE shop.{} ({} uuid PRIMARY KEY, {} bytea)").format(
            sql.Identifier(table), sql.Identifier(key), sql.Identifier(column)
        )
    )
    name = "n" * 40
    source = sql.Identifier("shop", table).as_string(shop)
    made = imgvec(*CREATE, name, "--source", source, "--image", column, "--partitions", "2", *COLOR)
    assert made.code == 0, made.stderr
    shop.execute(
        sql.SQL("INSERT INTO shop.{} SELECT gen_random_uuid(), picture FROM shop.product").format(
            sql.Identifier(table)
        )
    )
    filled = imgvec("backfill", name)
    assert filled.code == 0, filled.stderr
    assert imgvec("search", "red", "--collection", name, "-k", "3").stdout.count("\n") == 4
    assert imgvec("collection", "drop", name, "--yes").code == 0
    assert not [row for row in catalogue(shop) if "nnnn" in str(row[1])]


@pytest.mark.parametrize("answer", ["n\n", "", "\n"])
def test_drop_asks_first(shop: Connection, database: str, answer: str) -> None:
    before = catalogue(shop)
    said = in_a_process("collection", "drop", "product_color", stdin=answer, IMGVEC_DSN=database)
    said.complains(1, "nothing was changed; add --yes to skip the question")
    assert "Drop collection product_color and all its embeddings of shop.product? [y/N]" in said.stdout
    assert catalogue(shop) == before


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_uninstall_asks_first(shop: Connection, database: str, answer: str) -> None:
    before = catalogue(shop)
    said = in_a_process("uninstall", stdin=answer, IMGVEC_DSN=database)
    said.complains(1, "nothing was changed; add --yes to skip the question")
    assert "the collections product_color with all their embeddings" in said.stdout
    assert catalogue(shop) == before


@pytest.mark.parametrize(
    "arguments",
    [
        (*CREATE, "c", "--source", "shop.product", "--image", "picture", *COLOR),
        ("collection", "drop", "product_color", "--yes"),
        ("uninstall", "--yes"),
    ],
)
def test_a_locked_table_is_not_waited_for(
    shop: Connection, imgvec: Imgvec, database: str, arguments: tuple[str, ...]
) -> None:
    before = catalogue(shop)
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE shop.product IN ACCESS EXCLUSIVE MODE")
        imgvec(*arguments, "--lock-timeout", "100").complains(
            1, "100 ms", "nothing was changed", "--lock-timeout"
        )
    assert catalogue(shop) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("collection", "list"),
        ("collection", "create", "c", "--library", *COLOR),
        ("backfill",),
        ("worker",),
        ("search", "red"),
        ("failures",),
        ("retry",),
        ("add", "."),
    ],
)
def test_a_missing_schema_is_told(empty_database: str, imgvec: Imgvec, arguments: tuple[str, ...]) -> None:
    imgvec(*arguments, "--dsn", empty_database).complains(1, "has no imgvec tables yet; run: imgvec migrate")


def test_old_pgvector_is_refused_by_what_needs_it(shop: Connection, imgvec: Imgvec) -> None:
    shop.execute("UPDATE pg_extension SET extversion = '0.8.1' WHERE extname = 'vector'")
    before = catalogue(shop)
    create = (*CREATE, "c", "--source", "shop.product", "--image", "picture", *COLOR)
    for arguments in (create, ("backfill",), ("search", "red")):
        imgvec(*arguments).complains(1, "pgvector is 0.8.1, 0.8.2 or newer is needed")
    assert catalogue(shop) == before
    assert imgvec("collection", "drop", "product_color", "--yes").code == 0


def test_a_role_without_rights_is_told_which(
    shop: Connection, imgvec: Imgvec, database: str, tmp_path: Path
) -> None:
    (tmp_path / "red.png").write_bytes(picture("red"))
    name = f"imgvec_test_{shop.info.backend_pid}"
    role = sql.Identifier(name)
    shop.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
    dsn = make_conninfo(database, user=name, password="x")
    try:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            pytest.skip("the server asks this role for another login")
        imgvec("status", "--dsn", dsn).complains(
            1, f"the role {name} may not use imgvec", "GRANT imgvec_reader"
        )
        shop.execute(sql.SQL("GRANT imgvec_reader TO {}").format(role))
        before = catalogue(shop)
        for arguments in (
            (*CREATE, "c", "--source", "shop.product", "--image", "picture", *COLOR),
            ("collection", "drop", "product_color", "--yes"),
            ("add", str(tmp_path)),
            ("backfill",),
            ("retry",),
            ("collection", "reconcile", "product_color"),
            ("migrate",),
            ("uninstall", "--yes"),
        ):
            said = {"add": "GRANT", "migrate": "the schema imgvec belongs to "}
            imgvec(*arguments, "--dsn", dsn).complains(1, said.get(arguments[0], "permission denied"))
        assert catalogue(shop) == before
    finally:
        shop.execute(sql.SQL("DROP OWNED BY {}").format(role))
        shop.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("host=/nonexistent", ["cannot connect", "No such file", "check --dsn"]),
        ("postgresql://u@127.0.0.1:1/x", ["cannot connect", "refused"]),
        ("gar bage", ["not valid", "expected postgresql://"]),
        ("frob=1", ["not valid", '"frob"']),
        ("http://example.com", ["not valid"]),
        ("postgresql://u@h:port/x", ["cannot connect"]),
    ],
)
@pytest.mark.parametrize("command", [("status",), ("migrate",), ("doctor",), ("uninstall",)])
def test_no_connection_is_code_3(
    imgvec: Imgvec, dsn: str, words: list[str], command: tuple[str, ...]
) -> None:
    imgvec(*command, "--dsn", dsn).complains(3, *words)


def test_no_server_is_one_line_in_a_process() -> None:
    in_a_process("status", IMGVEC_DSN="host=/nonexistent").complains(3, "cannot connect")


def test_a_database_that_does_not_exist(imgvec: Imgvec, database: str) -> None:
    imgvec("status", "--dsn", make_conninfo(database, dbname="nope")).complains(3, '"nope" does not exist')


@pytest.fixture
def password_server() -> Iterator[LocalServer]:
    """Give a server that asks for passwords on TCP."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = make_server_directory("imgvec-test-")
    try:
        with LocalServer(directory, settings={"fsync": "off"}, die_with_parent=True, port=port) as local:
            yield local
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def test_a_wrong_password_is_code_3_and_not_repeated(password_server: LocalServer, imgvec: Imgvec) -> None:
    with psycopg.connect(password_server.dsn(), autocommit=True) as owner:
        owner.execute("CREATE ROLE ann LOGIN PASSWORD 'right'")
    address = f"127.0.0.1:{password_server.port}/postgres"
    said = imgvec("status", "--dsn", f"postgresql://ann:wrong-one@{address}")
    said.complains(3, "password authentication failed", '"ann"')
    assert "wrong-one" not in said.stderr
    imgvec("status", "--dsn", f"postgresql://ann@{address}").complains(3, "no password supplied")
    imgvec("status", "--dsn", f"postgresql://ann:right@{address}").complains(1, "imgvec migrate")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ('"Shop"."Product"', '"Shop"."Product"'),
        ('"order"."user"', '"order"."user"'),
        ("plain.product", "plain.product"),
    ],
)
def test_names_are_shown_as_sql_wants_them(
    imgvec: Imgvec, connection: Connection, database: str, name: str, shown: str
) -> None:
    connection.execute(
        f"CREATE SCHEMA {name.split('.')[0]}; CREATE TABLE {name} (id int PRIMARY KEY, p bytea)"
    )
    said = imgvec(*CREATE, "c", "--source", name, "--image", "p", *COLOR, "--dsn", database)
    assert f"TRUNCATE and DROP of {shown} now need CASCADE" in said.stdout
    assert shown in imgvec("collection", "list", "--dsn", database).stdout
    assert shown in imgvec("collection", "show", "c", "--dsn", database).stdout
    assert f"{shown} has its key" in imgvec("doctor", "--dsn", database).stdout
    imgvec(*CREATE, "d", "--source", name, "--image", "q", *COLOR, "--dsn", database).complains(
        1, f'{shown} has no column "q"'
    )
    estimate = imgvec(*CREATE, "d", "--source", name, "--image", "p", "--dry-run", *COLOR, "--dsn", database)
    assert f"SHARE ROW EXCLUSIVE on {shown} " in estimate.stdout
