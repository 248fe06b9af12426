"""TRUNCATE goes through whatever became of columns or our own tables, and runs nothing of an owner's as our definer."""

from collections.abc import Iterator

import pytest
from owned_source import owned_source
from photostore import X, as_role, embed, embedded, make_collection, make_photos

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.reconcile import reconcile

GONE = {
    "queue": "DROP TABLE imgvec.job CASCADE",
    "failures": "DROP TABLE imgvec.failure CASCADE",
    "registry": "DROP TABLE imgvec.collection CASCADE",
    "embeddings": "DROP TABLE imgvec.photo_test_embedding CASCADE",
    "notes": "DROP TABLE imgvec.unseen_change, imgvec.job CASCADE",
}


@pytest.mark.parametrize("with_foreign_key", [True, False], ids=["fk", "no-fk"])
@pytest.mark.parametrize("damage", GONE)
def test_a_table_is_truncated_without_our_own(
    scratch: Connection, damage: str, with_foreign_key: bool
) -> None:
    collection = make_photos(scratch, rows=3, foreign_key=with_foreign_key)
    embed(scratch, collection, {1: X, 2: X})
    scratch.execute(GONE[damage].encode())
    scratch.execute("TRUNCATE shop.photo CASCADE")


def make_albums(connection: Connection) -> Collection:
    connection.execute("CREATE SCHEMA shop")
    connection.execute(
        "CREATE TABLE shop.photo (album int, id int, file text, PRIMARY KEY (album, id)) PARTITION BY LIST (album)"
    )
    for album in (1, 2):
        connection.execute(
            f"CREATE TABLE shop.photo_{album} PARTITION OF shop.photo FOR VALUES IN ({album})".encode()
        )
        connection.execute(f"INSERT INTO shop.photo VALUES ({album}, 1, 'a.jpg')".encode())
    return make_collection(connection)


@pytest.mark.parametrize(
    ("change", "back"),
    [
        (
            "ALTER TABLE shop.photo ALTER id TYPE text",
            "ALTER TABLE shop.photo ALTER id TYPE int USING id::int",
        ),
        ("ALTER TABLE shop.photo ALTER id TYPE bit(32) USING id::bit(32)", None),
        ("ALTER TABLE shop.photo RENAME id TO number", "ALTER TABLE shop.photo RENAME number TO id"),
    ],
)
def test_a_partition_is_truncated_with_a_key_that_no_longer_compares(
    scratch: Connection, change: str, back: str | None
) -> None:
    collection = make_albums(scratch)
    embed(scratch, collection, {(1, 1): X, (2, 1): X})
    scratch.execute(change.encode())
    scratch.execute("TRUNCATE shop.photo_1")
    assert scratch.execute("SELECT count(*) FROM imgvec.unseen_change").fetchone() == (1,)
    if back is not None:
        scratch.execute(back.encode())
        reconcile(scratch, collection)
        assert embedded(scratch, collection) == [(2, 1)]


TRAPS = {
    "index": "CREATE INDEX ON {} (m.tell('x'))",
    "partial index": "CREATE INDEX ON {} (id) WHERE m.tell('x') IS NOT NULL",
    "operator": "CREATE OPERATOR m.! (RIGHTARG = text, FUNCTION = m.tell);"
    " CREATE INDEX ON {} (id) WHERE (OPERATOR(m.!) 'x'::text) IS NOT NULL",
    "statistics": "CREATE STATISTICS m.kept ON (m.tell('x')), id FROM {}",
    "check": "ALTER TABLE {} ADD CHECK (m.tell('x') IS NOT NULL)",
}


@pytest.fixture
def owned(scratch: Connection) -> Iterator[tuple[Connection, str, list[str]]]:
    """A partitioned source m.photo of a role, and what the role's function said of who ran it."""
    with owned_source(
        scratch,
        "CREATE TABLE m.photo (id int PRIMARY KEY, file text) PARTITION BY RANGE (id)",
        "CREATE TABLE m.low PARTITION OF m.photo FOR VALUES FROM (0) TO (100)",
        "CREATE TABLE m.high PARTITION OF m.photo FOR VALUES FROM (100) TO (200)",
        "INSERT INTO m.photo VALUES (1, 'a.png'), (101, 'b.png')",
    ) as (owner, said):
        yield scratch, owner, said


@pytest.mark.parametrize("relation", ["m.photo", "m.high"])
@pytest.mark.parametrize("trap", TRAPS)
def test_what_is_worked_out_in_planning_never_runs_as_the_definer(
    owned: tuple[Connection, str, list[str]], trap: str, relation: str
) -> None:
    connection, owner, said = owned
    if trap == "statistics" and relation == "m.photo":
        relation = "m.low"
    collection = make_collection(connection, "m.photo")
    embed(connection, collection, {1: X, 101: X})
    with as_role(connection, owner):
        connection.execute(TRAPS[trap].format(relation).encode())
        said.clear()
        connection.execute("TRUNCATE m.low")
    assert {line for line in said if line.startswith("ran as")} <= {f"ran as {owner}"}
    assert any("calls functions" in line or "call functions" in line for line in said)
