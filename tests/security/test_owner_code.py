"""Nothing that the owner of a source has written runs with other rights than theirs: types, casts, domains, views."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import psycopg
import pytest
from photostore import X, as_role, embed, make_collection
from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.errors import ImgvecError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.embeddings import EmbeddingStore
from imgvec_pg.store.estimate import estimate_collection
from imgvec_pg.store.integrity.reconcile import list_source, reconcile
from imgvec_pg.store.integrity.verify import drop_empty_jobs, verify_collection
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec

OWNER = "imgvec_test_source_owner"
TELL = """
    CREATE FUNCTION m.tell(what text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RAISE NOTICE 'ran as % (%)', current_user, what; RETURN what; END $$"""
TYPES = {
    "enum": "CREATE TYPE m.own AS ENUM ('a.png', 'b.png')",
    "composite": "CREATE TYPE m.own AS (part text)",
    "range": "CREATE TYPE m.own AS RANGE (subtype = text)",
    "domain": "CREATE DOMAIN m.own AS text CHECK (m.tell('check of ' || VALUE) IS NOT NULL)",
    "domain of int": "CREATE DOMAIN m.own AS integer CHECK (m.tell('check of ' || VALUE) IS NOT NULL)",
    "domain of bytea": "CREATE DOMAIN m.own AS bytea CHECK (m.tell('check') IS NOT NULL)",
    "composite of a domain": "CREATE DOMAIN m.inner AS text CHECK (m.tell('check') IS NOT NULL);"
    " CREATE TYPE m.own AS (part m.inner)",
}
VALUES = {
    "enum": "'{}'",
    "composite": "'(\"{}\")'",
    "range": "'[{0},{0}]'",
    "domain of int": "'7'",
    "domain of bytea": "'{}'",
    "composite of a domain": "'(\"{}\")'",
}
CASTS = {
    "text": "'x'",
    "json": "'\"x\"'",
    "jsonb": "'\"x\"'",
    "bytea": "'x'",
    "integer": "1",
    "uuid": "gen_random_uuid()",
}


@dataclass
class Shop:
    """A table of the owner's, and what their code said of who ran it."""

    connection: Connection
    said: list[str]

    def by_others(self) -> list[str]:
        return [
            line
            for line in self.said
            if line.startswith("ran as") and not line.startswith(f"ran as {OWNER} ")
        ]

    def try_(self, action: Callable[[], object]) -> bool:
        """Do it, or be refused: either is fine, as long as nothing of the owner's runs."""
        with suppress(psycopg.Error, ImgvecError), self.connection.transaction():
            action()
            return True
        return False

    def as_owner(self, statement: str) -> bool:
        with as_role(self.connection, OWNER):
            return self.try_(lambda: self.connection.execute(statement))  # type: ignore[arg-type]


@pytest.fixture
def shop(scratch: Connection) -> Iterator[Shop]:
    said: list[str] = []

    def note(message: psycopg.errors.Diagnostic) -> None:
        said.append(message.message_primary or "")

    scratch.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(OWNER)))
    scratch.execute(sql.SQL("CREATE SCHEMA m AUTHORIZATION {}").format(sql.Identifier(OWNER)))
    scratch.add_notice_handler(note)
    with as_role(scratch, OWNER):
        scratch.execute(TELL)  # type: ignore[arg-type]
    yield Shop(scratch, said)
    scratch.remove_notice_handler(note)


def make_type(shop: Shop, kind: str, context: str) -> None:
    """Make m.own with casts, those of `context`, to all that keys and pictures are made of."""
    shop.as_owner(TYPES[kind])
    for target, result in CASTS.items():
        name = target.replace(" ", "_")
        shop.as_owner(
            f"CREATE FUNCTION m.to_{name}(m.own) RETURNS {target} LANGUAGE plpgsql AS"
            f" $$ BEGIN PERFORM m.tell('cast to {target}'); RETURN {result}; END $$"
        )
        shop.as_owner(f"CREATE CAST (m.own AS {target}) WITH FUNCTION m.to_{name}(m.own) {context}")
    for name in ("=", "<>", "<"):
        shop.as_owner(
            "CREATE OR REPLACE FUNCTION m.compare(m.own, m.own) RETURNS boolean LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM m.tell('comparison'); RETURN true; END $$"
        )
        shop.as_owner(f"CREATE OPERATOR m.{name} (LEFTARG = m.own, RIGHTARG = m.own, FUNCTION = m.compare)")


def touch_everything(shop: Shop, name: str) -> None:
    """Run each function of the store that reads the source, as the superuser that this connection is."""
    connection = shop.connection

    def each(collection: Collection) -> Iterator[Callable[[], object]]:
        yield lambda: list_source(connection, collection)
        yield lambda: verify_collection(connection, collection, contents=True)
        yield lambda: reconcile(connection, collection, contents=True)
        yield lambda: drop_empty_jobs(connection, collection)
        store = EmbeddingStore(connection, collection, vector_schema(connection))
        for key in ({"id": 1}, {"id": "a.png"}, {"id": '("a.png")'}, {"id": "[a.png,a.png]"}):
            yield lambda key=key: store.read_images([key])

    with suppress(ImgvecError):
        for action in each(get_collection(connection, name)):
            shop.try_(action)


WRITES = (
    "INSERT INTO m.photo VALUES ({a_id}, {a_file}, {a_data}, {a_crop})",
    "INSERT INTO m.photo VALUES ({b_id}, {b_file}, {b_data}, {b_crop})",
    "UPDATE m.photo SET file = {b_file}, data = {b_data}, crop = {b_crop}",
    "UPDATE m.photo SET id = {c_id} WHERE ctid = (SELECT max(ctid) FROM m.photo)",
    "DELETE FROM m.photo",
)


def write(shop: Shop, column: str, kind: str) -> int:
    """Write as the owner, who may be refused, since their own code fails or the type has no such value; count what was not."""
    usual = {"id": "{0}", "file": "'{0}.png'", "data": "'{0}'", "crop": "'{0}'"}
    pattern = {**usual, column: VALUES.get(kind, "'{}'")}
    letters = {"a": "a.png", "b": "b.png", "c": "c.png"}
    values = {
        f"{letter}_{name}": form.format(letters[letter] if name == column else ord(letter))
        for letter in letters
        for name, form in pattern.items()
    }
    return sum(shop.as_owner(statement.format(**values)) for statement in WRITES)


ESCAPES = (
    "",
    "RESET ROLE;",
    "SET ROLE postgres;",
    "RESET SESSION AUTHORIZATION;",
    "SET SESSION AUTHORIZATION postgres;",
)


@pytest.mark.parametrize("escape", ESCAPES)
def test_what_a_view_calls_runs_as_its_owner_when_a_superuser_reads_it(shop: Shop, escape: str) -> None:
    with as_role(shop.connection, OWNER):
        shop.connection.execute(
            "CREATE FUNCTION m.call(what text) RETURNS text LANGUAGE plpgsql AS"  # type: ignore[arg-type]
            f" $$ BEGIN BEGIN {escape} EXCEPTION WHEN OTHERS THEN NULL; END; RETURN m.tell(what); END $$"
        )
        shop.connection.execute("CREATE TABLE m.raw (id integer PRIMARY KEY, file text)")
        shop.connection.execute("INSERT INTO m.raw VALUES (1, 'a.png'), (2, NULL)")
        shop.connection.execute(
            "CREATE VIEW m.photo AS SELECT id, m.call(file) AS file,"
            " convert_to(m.call(NULL), 'UTF8') AS data, m.call('crop') AS crop FROM m.raw WHERE m.call('row') IS NOT NULL"
        )
    wanted = {"image": ["file", "data"], "watch": ["crop"], "key": ["id"], "foreign_key": False}
    spec = CollectionSpec(
        "photo_test", "m.photo", model="test/3", dimensions=3, has_text=True, root="/srv", **wanted
    )  # type: ignore[arg-type]
    assert estimate_collection(shop.connection, spec).rows == 1
    made = make_collection(shop.connection, "m.photo", **wanted)
    assert list_source(shop.connection, made) == 1
    store = EmbeddingStore(shop.connection, made, vector_schema(shop.connection))
    [stored] = store.read_images([{"id": 1}])
    assert stored.path == "a.png"
    embed(shop.connection, made, {1: X, 3: X})
    assert verify_collection(shop.connection, made).listed()
    assert reconcile(shop.connection, made).orphans_deleted == 1
    touch_everything(shop, "photo_test")
    drop_collection(shop.connection, made)
    assert shop.by_others() == []
    assert f"ran as {OWNER} (a.png)" in shop.said


KINDS_OF_CASTS = ["AS IMPLICIT", "AS ASSIGNMENT", ""]
MEMBERS = [
    *((kind, "", context, True) for kind in ("enum", "composite") for context in KINDS_OF_CASTS),
    *((kind, "", "AS IMPLICIT", False) for kind in TYPES),
    *((kind, "[]", "AS IMPLICIT", False) for kind in ("enum", "composite", "domain")),
    ("range", "", "", True),
]


@pytest.mark.parametrize(("kind", "array", "context", "with_foreign_key"), MEMBERS)
def test_a_type_of_the_owners_never_runs_with_other_rights(
    shop: Shop, kind: str, array: str, context: str, with_foreign_key: bool
) -> None:
    make_type(shop, kind, context)
    wanted = {"image": ["file", "data"], "watch": ["crop"], "foreign_key": with_foreign_key}
    for column in ("id", "file", "data", "crop"):
        for comes_later in (False, True):
            types = {"id": "integer", "file": "text", "data": "bytea", "crop": "text"}
            if not comes_later:
                types[column] = f"m.own{array}"
            columns = ", ".join(f"{name} {type_name}" for name, type_name in types.items())
            shop.as_owner(f"CREATE TABLE m.photo ({columns}, PRIMARY KEY (id))")
            shop.try_(lambda: make_collection(shop.connection, "m.photo", **wanted))
            if comes_later:
                assert write(shop, "", kind) == len(WRITES)
                shop.as_owner(
                    f"ALTER TABLE m.photo ALTER {column} TYPE m.own{array} USING NULL::m.own{array}"
                )
            else:
                touch_everything(shop, "photo_test")
            write(shop, column, kind)
            touch_everything(shop, "photo_test")
            shop.as_owner("TRUNCATE m.photo CASCADE")
            with suppress(ImgvecError):
                drop_collection(shop.connection, get_collection(shop.connection, "photo_test"))
            shop.as_owner("DROP TABLE m.photo CASCADE")
    assert shop.by_others() == []
    # It would have told.
    shop.as_owner("SELECT m.tell('')")
    assert f"ran as {OWNER} ()" in shop.said
