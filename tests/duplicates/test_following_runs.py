"""Runs that compare only what changed: over random histories the relations are those of a run that compares all rows."""

import hashlib
from typing import Any, ClassVar, LiteralString

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from photostore import make_collection
from psycopg import sql

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.duplicates import find_duplicates as find_duplicates_module
from imgvec_pg.duplicates import incremental, run_state
from imgvec_pg.duplicates.find_duplicates import DuplicateSearch, FoundDuplicates, find_duplicates
from imgvec_pg.duplicates.groups import LINKAGES
from imgvec_pg.duplicates.pairs import Pairs, find_pairs
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection

DIMENSIONS = 96
"""More than the axes that a run keeps."""


def put(connection: Connection, key: int, place: int, noise: float, version: int = 1) -> None:
    """Embed a row near one of a few places: vectors of one place are near each other as their noise is small."""
    centre = np.random.default_rng(place).normal(size=DIMENSIONS)
    vector = centre + noise * np.random.default_rng([place, key, version]).normal(size=DIMENSIONS)
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
        " VALUES (%s, %s, %s, %s, 'fp32') ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding,"
        " content_hash = excluded.content_hash, version = excluded.version, embedded_at = now()",
        [
            key,
            str((vector / np.linalg.norm(vector)).tolist()),
            version,
            hashlib.sha256(f"{place} {noise}".encode()).digest(),
        ],
    )


def search(connection: Connection, collection: Collection, **options: Any) -> FoundDuplicates:
    """Run `imgvec duplicates`."""
    with connect(connection.info.dsn) as guard:
        return find_duplicates(connection, guard, collection, DuplicateSearch(**options))


def relations(connection: Connection) -> tuple[list[Any], ...]:
    """Return all that a run wrote, and what people see of it."""
    return tuple(
        connection.execute(
            sql.SQL("SELECT * FROM imgvec.{} AS r ORDER BY r.*").format(sql.Identifier(name))
        ).fetchall()
        for name in (
            "photo_test_duplicate_pair",
            "photo_test_duplicate_member",
            "duplicate_photo_test",
            "duplicate_group_photo_test",
        )
    )


def make_table(connection: Connection) -> Collection:
    connection.execute("CREATE SCHEMA shop")
    connection.execute("CREATE TABLE shop.photo (id bigint PRIMARY KEY, file text, price numeric)")
    return make_collection(connection, dimensions=DIMENSIONS)


keys, places, noises = st.integers(1, 12), st.integers(1, 3), st.sampled_from([0.0, 0.02, 0.15, 0.25])


class Histories(RuleBasedStateMachine):
    """Rows come, go, change, change their keys and prices; people decide; runs follow, at one threshold and at others."""

    dsn: ClassVar[str]
    followed: ClassVar[int] = 0
    with_pairs: ClassVar[int] = 0

    @initialize(condition=st.sampled_from([None, "price < 7"]), first=st.integers(5, 10))
    def begin(self, condition: str | None, first: int) -> None:
        self.connection = connect(self.dsn)
        self.collection = make_table(self.connection)
        self.version, self.threshold, self.condition, self.linkage = 1, 0.95, condition, "share"
        for key in range(first):
            self.embed(key, key % 3 + 1, (0.0, 0.15)[key % 2], key % 9)

    def run_statement(self, statement: str, *values: Any) -> None:
        self.connection.execute(statement, values or None)  # type: ignore[arg-type]

    @rule(key=keys, place=places, noise=noises, price=st.integers(1, 9))
    def embed(self, key: int, place: int, noise: float, price: int) -> None:
        self.version += 1
        self.run_statement("INSERT INTO shop.photo VALUES (%s, 'a', %s) ON CONFLICT DO NOTHING", key, price)
        put(self.connection, key, place, noise, self.version)

    @rule(key=keys)
    def delete(self, key: int) -> None:
        self.run_statement("DELETE FROM shop.photo WHERE id = %s", key)

    @rule(key=keys, other=keys)
    def give_another_key(self, key: int, other: int) -> None:
        self.run_statement(
            "UPDATE shop.photo SET id = %s WHERE id = %s AND NOT EXISTS (SELECT FROM shop.photo WHERE id = %s)",
            other,
            key,
            other,
        )

    @rule(key=keys, price=st.integers(1, 9))
    def change_price(self, key: int, price: int) -> None:
        self.run_statement("UPDATE shop.photo SET price = %s WHERE id = %s", price, key)

    @rule(
        place=places,
        noise=noises,
        other=noises,
        decision=st.sampled_from(["same", "not_the_same", "ignore", None]),
    )
    def decide(self, place: int, noise: float, other: float, decision: str | None) -> None:
        hashes = [hashlib.sha256(f"{place} {one}".encode()).digest() for one in (noise, other)]
        self.run_statement("SELECT imgvec.decide_duplicate_content(%s, %s, %s)", *hashes, decision)

    @rule(threshold=st.sampled_from([0.4, 0.9, 0.95, 0.95, 0.99]))
    def another_threshold(self, threshold: float) -> None:
        self.threshold = threshold

    @rule(linkage=st.sampled_from(LINKAGES))
    def another_linkage(self, linkage: str) -> None:
        self.linkage = linkage

    @rule()
    def follow(self) -> None:
        options = {
            "threshold": self.threshold,
            "where": self.condition,
            "keep": ["price ASC"],
            "linkage": self.linkage,
        }
        followed = search(self.connection, self.collection, **options)
        found = relations(self.connection)
        assert len(found[0]) == followed.written.pairs and len(found[1]) == followed.written.members
        # The same from nothing, and the state that the next run follows on from is put back.
        tables = ("duplicate_seen", "duplicate_block", "duplicate_run")
        for table in tables:
            self.run_statement(f"CREATE TEMP TABLE kept_{table} AS SELECT * FROM imgvec.photo_test_{table}")
        grouped = self.connection.execute(
            "SELECT count(*) FROM imgvec.photo_test_duplicate_member AS a JOIN imgvec.photo_test_duplicate_member AS b"
            " USING (group_id) JOIN imgvec.duplicate_decision AS d ON d.content_hash = LEAST(a.content_hash, b.content_hash)"
            " AND d.other_content_hash = GREATEST(a.content_hash, b.content_hash)"
            " WHERE a.place < b.place AND d.decision <> 'same'"
        ).fetchone()
        assert grouped == (0,)
        full = search(self.connection, self.collection, full=True, **options)
        assert full.gone is None and full.rows == followed.rows
        assert relations(self.connection) == found
        for table in tables:
            self.run_statement(f"DELETE FROM imgvec.photo_test_{table}")
            self.run_statement(f"INSERT INTO imgvec.photo_test_{table} SELECT * FROM kept_{table}")
            self.run_statement(f"DROP TABLE kept_{table}")
        Histories.followed += followed.gone is not None
        Histories.with_pairs += bool(found[0]) and followed.gone is not None

    @invariant()
    def no_decided_pair_is_a_question(self) -> None:
        if not hasattr(self, "connection"):
            return
        if self.connection.execute("SELECT to_regclass('imgvec.duplicate_photo_test')").fetchone() == (None,):
            return
        asked = self.connection.execute(
            "SELECT count(*) FROM imgvec.duplicate_photo_test AS d JOIN imgvec.photo_test_embedding AS e USING (id)"
            " JOIN imgvec.photo_test_embedding AS o ON o.id = d.other_id JOIN imgvec.duplicate_decision AS x"
            " ON x.content_hash = LEAST(e.content_hash, o.content_hash)"
            " AND x.other_content_hash = GREATEST(e.content_hash, o.content_hash) WHERE x.decision <> 'same'"
        ).fetchone()
        assert asked == (0,)

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            drop_collection(self.connection, self.collection)
            self.run_statement("DROP SCHEMA shop CASCADE; DELETE FROM imgvec.duplicate_decision")
            self.connection.close()


def test_runs_that_follow_find_what_a_full_run_finds_over_random_histories(database: str) -> None:
    Histories.dsn = database
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Histories.followed > 10 and Histories.with_pairs > 5


@pytest.fixture
def photos(connection: Connection) -> Collection:
    """Give 40 rows: five of each of eight places."""
    collection = make_table(connection)
    connection.execute("INSERT INTO shop.photo SELECT i, i || '.jpg', i FROM generate_series(1, 60) AS i")
    for key in range(1, 41):
        put(connection, key, key % 8, 0.05)
    return collection


def test_a_run_says_what_it_compared_and_only_new_rows_are(
    connection: Connection, photos: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search(connection, photos).gone is None
    put(connection, 41, 1, 0.05)
    put(connection, 2, 3, 0.05, version=2)
    connection.execute("DELETE FROM shop.photo WHERE id = 3")
    found = search(connection, photos)
    assert (found.rows, found.compared, found.gone) == (40, 2, 2)
    again = search(connection, photos, threshold=0.999)
    assert (again.compared, again.gone, again.written.pairs) == (0, 0, 0)
    # A lower threshold, another condition: pairs that the last run did not look for.
    assert search(connection, photos).gone is None
    assert search(connection, photos, where="price < 20").gone is None
    # So many changes that comparing all costs less.
    monkeypatch.setattr(run_state, "FEWEST_NEW", 2)
    search(connection, photos)
    for key in range(42, 52):
        put(connection, key, 1, 0.05)
    assert search(connection, photos).gone is None


def test_a_following_run_refuses_more_pairs_than_allowed_and_changes_nothing(
    connection: Connection, photos: Collection
) -> None:
    found = search(connection, photos)
    before = relations(connection)
    put(connection, 41, 1, 0.05)
    with pytest.raises(
        UsageError, match=rf"{found.written.pairs + 5} pairs are within the threshold 0.95 now"
    ):
        search(connection, photos, max_pairs=found.written.pairs + 4)
    assert relations(connection) == before
    assert search(connection, photos).compared == 1


def test_rows_that_change_during_a_following_run_are_seen_by_the_next(
    connection: Connection, photos: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(connection, photos)
    put(connection, 41, 1, 0.05)
    put(connection, 42, 2, 0.05)
    compare = incremental.find_pairs

    def while_an_application_writes(*arguments: Any, **options: Any) -> Any:
        put(connection, 42, 5, 0.05, version=2)
        put(connection, 9, 6, 0.05, version=2)
        connection.execute("DELETE FROM shop.photo WHERE id = 17")
        return compare(*arguments, **options)

    monkeypatch.setattr(incremental, "find_pairs", while_an_application_writes)
    assert search(connection, photos).written.changed == 1
    monkeypatch.undo()
    assert search(connection, photos).compared == 2
    followed = relations(connection)
    search(connection, photos, full=True)
    assert relations(connection) == followed


def test_a_dump_that_reads_what_a_run_noted_keeps_no_run_waiting(
    connection: Connection, photos: Collection
) -> None:
    search(connection, photos)
    with connect(connection.info.dsn) as other, other.transaction():
        other.execute(
            "LOCK TABLE imgvec.photo_test_duplicate_seen, imgvec.photo_test_duplicate_pair IN ACCESS SHARE MODE"
        )
        connection.execute("SET lock_timeout = '5s'")
        put(connection, 41, 1, 0.05)
        assert search(connection, photos).compared == 1
        assert search(connection, photos, full=True).rows == 41


def test_no_run_follows_one_that_may_have_missed_pairs(connection: Connection, photos: Collection) -> None:
    search(connection, photos)
    search(connection, photos, fast=True)
    assert search(connection, photos).gone is None
    assert search(connection, photos).compared == 0


@pytest.mark.parametrize(
    "older",
    [
        "DROP TABLE imgvec.photo_test_duplicate_block",
        "ALTER TABLE imgvec.photo_test_duplicate_run DROP linkage",
    ],
)
def test_relations_of_an_older_version_are_made_anew(
    connection: Connection, photos: Collection, older: LiteralString
) -> None:
    search(connection, photos)
    before = relations(connection)
    connection.execute(older)
    assert search(connection, photos).gone is None
    assert relations(connection) == before


def test_no_run_builds_upon_one_that_may_have_missed_pairs(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = make_table(connection)
    connection.execute("INSERT INTO shop.photo SELECT i, i || '.jpg', i FROM generate_series(1, 6) AS i")
    for key in range(1, 7):
        put(connection, key, key % 2, 0.0)
    assert search(connection, collection).written.pairs == 6

    def missing(vectors: Any, threshold: float, **options: Any) -> Pairs:
        found = find_pairs(vectors, threshold, **{**options, "fast": False})
        return Pairs(found.first[1:], found.second[1:], found.similarities[1:], 0, 5, 1.0)

    monkeypatch.setattr(find_duplicates_module, "find_pairs", missing)
    # It compares all itself, too, though nothing has changed.
    fast = search(connection, collection, fast=True)
    assert (fast.written.pairs, fast.gone, fast.checked, fast.recall) == (5, None, 5, 1.0)
    again = search(connection, collection)
    assert (again.written.pairs, again.gone) == (6, None)
    assert search(connection, collection).gone == 0
