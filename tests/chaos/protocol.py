"""The worker's protocol as a state machine: an application, workers that die, stall and come back, one real PostgreSQL.

After each step every committed row must be embedded from the image it has now, failed with a reason that holds, or
have a job in the queue whose result will count. A result under a lease that was lost must change nothing. The index is over the
different pictures: each embedded row must have its own among them, and in the end none may be there that no row has.

Steps run one after the other; transactions overlap. Of an application's transaction and of a worker's write each may stay
open over any number of steps, and a write may wait for another one that is open.

What a run does depends on what is drawn and never on how fast the machine is: a statement that does not wait meets locks that
nobody gives back before it has given up, one that waits does so until the machine ends its wait, no time that passes makes
a job due, and no VACUUM comes between.
"""

import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from imgvec_pg.backfill.batch.writer import write_outcomes
from imgvec_pg.database.connect import Connection, connect, vector_schema
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.embeddings import EmbeddedKey, EmbeddingStore, FailedKey, Outcome, StoredImage, Written
from imgvec_pg.store.integrity.verify import enqueue_doubtful
from imgvec_pg.store.pictures.known_pictures import KnownPictures
from imgvec_pg.store.pictures.picture_table import PictureTidy, prepare_pictures
from imgvec_pg.store.queue.jobs import Claim, DelayedKey, Job, Key, claim_jobs, release_jobs, retry_failures
from imgvec_pg.store.spec import CollectionSpec

KEYS = (1, 2)
DIMENSIONS = 2
IMAGES = 8
BROKEN = frozenset({0})
"""Images that cannot be embedded."""
REFERENCE = bytes(32)
"""What rows say of their pictures, which no step compares; without it no row is copied (store/writing/new_rows.py)."""
NOT_WAITING_MS = 5
WAITING_MS = 100_000
"""Longer than any run: such a wait is ended by a COMMIT, or else by `Protocol.step_back`."""
LONG_SECONDS = 7200.0
"""Leases and delays: a run takes less, so that only `Protocol.let_time_pass` ends them."""

keys = st.sampled_from(KEYS)
images = st.integers(0, IMAGES - 2)
places = st.integers(0, 5)


def vector_of(image: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the vector that an image has: a direction of its own."""
    angle = 2 * np.pi * image / IMAGES
    return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


class ImpatientStore(EmbeddingStore):
    """A store that waits for locks as long as the step says."""

    wait_ms = NOT_WAITING_MS
    # Within a second another row's turn comes on a quiet machine and not on a busy one.
    unconfirmed_delay_seconds = LONG_SECONDS

    def write(self, token: uuid.UUID, outcomes: Sequence[Outcome], precision: str, *_: Any) -> Written:
        for outcome in outcomes:
            outcome.delayed = [replace(delayed, delay_seconds=LONG_SECONDS) for delayed in outcome.delayed]
        try:
            return super().write(token, outcomes, precision, self.wait_ms)
        except psycopg.errors.QueryCanceled as error:
            raise psycopg.errors.LockNotAvailable("stepped back") from error


@dataclass
class Batch:
    """Jobs that a worker has in hand, and what it saw of their rows."""

    claim: Claim
    outcomes: list[Outcome]


@dataclass
class Arena:
    """The database and its connections, made once and emptied before each run of the machine."""

    dsn: str
    collection: Collection
    schema: str
    connections: dict[str, Connection] = field(default_factory=dict)
    stores: dict[str, ImpatientStore] = field(default_factory=dict)

    @classmethod
    def make(cls, dsn: str) -> "Arena":
        """Create table and collection in a migrated database."""
        with connect(dsn) as connection:
            connection.execute(
                "CREATE TABLE photo (id integer PRIMARY KEY, content bytea, price integer NOT NULL DEFAULT 0)"
            )
            request = CollectionSpec("photo_grid", "photo", ["content"], "color-grid", DIMENSIONS, True)
            collection = create_collection(connection, request)
            prepare_pictures(connection, replace(collection, by_picture=True))
            own = ("photo_grid_embedding", "photo_grid_picture", "job", "failure")
            for table in ("photo", *(f"imgvec.{name}" for name in own)):
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
            return cls(dsn, collection, vector_schema(connection))

    def connection(self, name: str) -> Connection:
        """Return the connection of this name, outside any transaction of an earlier run."""
        if name not in self.connections:
            self.connections[name] = connect(self.dsn, application_name=name)
            # A worker's wait is at most a quarter of the second.
            self.connections[name].execute("SET lock_timeout = '10ms'; SET deadlock_timeout = '30min'")
        return self.connections[name]

    def store(self, name: str) -> "ImpatientStore":
        """Return the store over a connection."""
        if name not in self.stores:
            self.stores[name] = ImpatientStore(self.connection(name), self.collection, self.schema)
        return self.stores[name]

    def empty(self) -> None:
        """Begin anew."""
        for connection in self.connections.values():
            connection.execute("ROLLBACK")
        self.connection("observer").execute(
            "TRUNCATE photo CASCADE; DELETE FROM imgvec.photo_grid_picture; DELETE FROM imgvec.job; DELETE FROM imgvec.failure;"
            "INSERT INTO photo (id, content) VALUES (1, '\\\\x01'), (2, '\\\\x02')"
        )

    def close(self) -> None:
        """Hang up."""
        for connection in self.connections.values():
            connection.close()


STATE = """
SELECT p.id, get_byte(p.content, 0) AS image, e.embedding::text, f.code,
       EXISTS (SELECT FROM imgvec.job AS j CROSS JOIN jsonb_array_elements(j.keys) AS k
               WHERE (k ->> 'id')::integer = p.id AND j.version > coalesce(e.version, -1)
                 AND j.version >= coalesce(f.version, -1)) AS will_be_done
FROM photo AS p LEFT JOIN imgvec.photo_grid_embedding AS e USING (id)
LEFT JOIN imgvec.failure AS f ON f.key = jsonb_build_object('id', p.id)
"""
EVERYTHING = """
SELECT (SELECT jsonb_agg(j ORDER BY j.id) FROM imgvec.job AS j),
       (SELECT jsonb_agg(jsonb_build_array(e.id, e.embedding::text, e.version) ORDER BY e.id)
        FROM imgvec.photo_grid_embedding AS e),
       (SELECT jsonb_agg(f ORDER BY f.key) FROM imgvec.failure AS f)
"""


WAIT = """
SELECT waitstart FROM pg_locks
WHERE pid = %s AND NOT granted AND waitstart IS NOT NULL AND cardinality(pg_blocking_pids(pid)) > 0
"""
WITHOUT_PICTURE = """
SELECT e.id FROM imgvec.photo_grid_embedding AS e
WHERE NOT EXISTS (SELECT FROM imgvec.photo_grid_picture AS p WHERE p.content_hash = e.content_hash AND p.embedding = e.embedding)
"""
ORPHANS = """
SELECT p.content_hash FROM imgvec.photo_grid_picture AS p
WHERE NOT EXISTS (
    SELECT FROM imgvec.photo_grid_embedding AS e WHERE e.content_hash = p.content_hash AND e.embedding = p.embedding
)
"""
SPOIL = """
UPDATE imgvec.photo_grid_embedding SET embedding = '[-0.38268,-0.92388]'
WHERE id = %s AND octet_length(content_hash) = 1 RETURNING version, content_hash
"""
"""No image has this vector."""
RESTORE = "UPDATE imgvec.photo_grid_embedding SET embedding = %s WHERE id = %s AND version = %s"


STATEMENTS = {
    "image": "UPDATE photo SET content = %(content)s WHERE id = %(key)s",
    "all images": "UPDATE photo SET content = set_byte(content, 0, (get_byte(content, 0) + id) %% 8)",
    "insert": "INSERT INTO photo (id, content) VALUES (%(key)s, %(content)s)",
    "share": "UPDATE photo AS p SET content = o.content FROM photo AS o WHERE p.id = %(key)s AND o.id <> p.id",
    "price": "UPDATE photo SET price = price + 1 WHERE id = %(key)s",
    "delete": "DELETE FROM photo WHERE id = %(key)s",
    "truncate": "TRUNCATE photo CASCADE",
}
CHANGES = [
    "image",
    "image",
    "image",
    "all images",
    "share",
    "insert",
    "insert",
    "price",
    "delete",
    "truncate",
]
"""The frequent ones several times."""


class Protocol(RuleBasedStateMachine):
    """One run. `arena` is set by whoever runs it."""

    arena: Arena

    def __init__(self) -> None:
        super().__init__()
        self.arena.empty()
        self.observer = self.arena.connection("observer")
        self.open: set[str] = set()
        self.in_hand: list[Batch] = []
        self.held = False

    # The application

    def apply(self, application: str, statement: str, values: Any, commit: bool) -> None:
        """Run a statement in the application's transaction; a conflict rolls it back, as applications do."""
        connection = self.arena.connection(application)
        if application not in self.open:
            connection.execute("BEGIN")
            self.open.add(application)
        try:
            connection.execute(statement, values)
        except (
            psycopg.errors.LockNotAvailable,
            psycopg.errors.UniqueViolation,
            psycopg.errors.DeadlockDetected,
        ):
            commit = False
            self.end(application, "ROLLBACK")
        if commit:
            self.end(application, "COMMIT")

    def end(self, application: str, how: str) -> None:
        self.arena.connection(application).execute(how)
        self.open.discard(application)

    applications = st.sampled_from(["application 1", "application 2"])

    @rule(
        application=applications, what=st.sampled_from(CHANGES), key=keys, image=images, commit=st.booleans()
    )
    def change(self, application: str, what: str, key: int, image: int, commit: bool) -> None:
        # Without its COMMIT a TRUNCATE would keep everybody waiting.
        values = {"key": key, "content": bytes([image])}
        self.apply(application, STATEMENTS[what], values, commit or what == "truncate")

    @precondition(lambda self: self.open)
    @rule(data=st.data(), how=st.sampled_from(["COMMIT", "COMMIT", "ROLLBACK"]))
    def end_transaction(self, data: st.DataObject, how: str) -> None:
        self.end(data.draw(st.sampled_from(sorted(self.open))), how)

    # Workers

    @rule(most=st.integers(1, 3), delayed=st.sampled_from([False, False, False, True]), spares=st.booleans())
    def take(self, most: int, delayed: bool, spares: bool = False) -> None:
        """Claim jobs and see their rows as they are now; with `delayed`, their pictures cannot be had for the moment."""
        try:
            claim = claim_jobs(
                self.arena.connection("worker"),
                self.arena.collection.id,
                uuid.uuid4(),
                most,
                lease_seconds=LONG_SECONDS,
                skips_quarantined=spares,
            )
        except psycopg.errors.LockNotAvailable:
            return  # VACUUM had the table for a moment
        if not claim.jobs:
            return
        store = self.store("worker")
        known = store.known_pictures("fp32")
        outcomes = []
        for job in claim.jobs:
            outcome = Outcome(job.id)
            found: dict[int, StoredImage] = {image.position: image for image in store.read_images(job.keys)}
            for position, key in enumerate(job.keys):
                image = found.get(position)
                if image is None or image.content is None:
                    continue
                seen = image.content[0]
                if delayed:
                    outcome.delayed.append(DelayedKey(key, job.version, job.attempts, LONG_SECONDS))
                elif seen in BROKEN:
                    outcome.failed.append(FailedKey(key, job.version, "truncated", "cut short", job.attempts))
                else:
                    outcome.embedded.append(self.embed(known, key, job, bytes([seen])))
            outcomes.append(outcome)
        self.in_hand.append(Batch(claim, outcomes))

    def embed(self, known: KnownPictures, key: Key, job: Job, picture: bytes) -> EmbeddedKey:
        """Take the vector of a row with the same picture, where there is one, else compute it."""
        try:
            found = known.find([picture]).get(picture)
        except psycopg.errors.LockNotAvailable:
            found = None
        if found is None:
            return EmbeddedKey(key, job.version, vector_of(picture[0]), picture, REFERENCE)
        return EmbeddedKey(
            key,
            job.version,
            found.embedding,
            picture,
            REFERENCE,
            donor=found.donor,
            attempts=job.attempts - 1,
        )

    @rule(key=keys, is_found=st.booleans(), most=st.integers(1, 3))
    def doubt(self, key: int, is_found: bool, most: int) -> None:
        """A vector goes bad where it lies, and is found to be: all rows with its picture are enqueued again.

        With `is_found`, a worker finds it before, for a row that has got the same picture.
        """
        if is_found:
            self.change("application 1", "share", sum(KEYS) - key, 0, True)
        try:
            row = self.observer.execute(SPOIL, [key]).fetchone()
        except psycopg.errors.LockNotAvailable:
            return
        if row is None:
            return
        version, picture = row
        if is_found:
            self.take(most, False)
        try:
            enqueue_doubtful(self.observer, self.arena.collection, [({"id": key}, version)])
        except psycopg.errors.LockNotAvailable:  # A write that is open has it: nobody has looked yet.
            self.observer.execute(RESTORE, [str(vector_of(picture[0]).tolist()), key, version])

    @rule(key=keys, most=st.integers(1, 3), holds=st.booleans())
    def lose_last_row(self, key: int, most: int, holds: bool) -> None:
        """A row gets the picture of another one, which is deleted meanwhile: the last that had it, as far as can be seen."""
        first = len(self.in_hand)
        self.change("application 1", "share", key, 0, True)
        self.take(most, False)
        if len(self.in_hand) > first:
            self.write(first, holds)
        self.change("application 2", "delete", sum(KEYS) - key, 0, True)
        self.tidy()

    @rule()
    def tidy(self) -> None:
        """Remove the pictures that no row has any more."""
        with suppress(psycopg.errors.LockNotAvailable):
            PictureTidy(self.arena.collection, 0).look(self.arena.connection("tidy"), seconds=60)

    @rule(key=keys, image=images, most=st.integers(1, 3), holds=st.booleans(), follows=st.booleans())
    def be_overtaken(self, key: int, image: int, most: int, holds: bool, follows: bool) -> None:
        """Work is taken, the row changes again, and another worker is quicker with that: it has written, or all but.

        With `follows`, what was overtaken is written right then.
        """
        first = len(self.in_hand)
        self.change("application 1", "image", key, image, True)
        self.take(most, False)
        self.change("application 2", "image", key, image + 1, True)
        before = len(self.in_hand)
        self.take(1, False)
        if len(self.in_hand) > before:
            self.write(before, holds)
            if follows and before > first:
                self.write(first, self.held)

    @rule(most=st.integers(1, 3), follows=st.booleans())
    def be_taken_over(self, most: int, follows: bool) -> None:
        """A worker stalls until its lease is another's; with `follows` it writes then."""
        first = len(self.in_hand)
        self.take(most, False)
        self.let_time_pass(True)
        self.take(most, False)
        if follows and len(self.in_hand) > first:
            self.write(first, False)

    @precondition(lambda self: self.in_hand)
    @rule(which=places, holds=st.booleans())
    def write(self, which: int, holds: bool) -> None:
        """Write; with `holds`, leave the transaction open, as a worker does that is stopped right before its COMMIT.

        Where another one is open already, this write waits for it, and it commits meanwhile.
        """
        batch = self.in_hand.pop(which % len(self.in_hand))
        if not holds:
            self.write_now(batch, "writer 2" if self.held else "writer 1")
        elif self.held:
            self.write_while_another_commits(batch)
        else:
            self.write_and_hold(batch)

    def write_and_hold(self, batch: Batch) -> None:
        connection = self.arena.connection("writer 1")
        store = self.store("writer 1")
        connection.execute("BEGIN")
        try:
            with connection.transaction():
                store.write(batch.claim.token, batch.outcomes, "fp32")
        except psycopg.OperationalError:
            connection.execute("ROLLBACK")
        else:
            self.held = True

    def write_while_another_commits(self, batch: Batch) -> None:
        store = self.store("writer 2", WAITING_MS)
        pid = store.connection.info.backend_pid
        waiting = threading.Thread(target=self.write_or_die, args=(store, batch))
        waiting.start()
        while waiting.is_alive() and not self.is_blocked(pid):
            time.sleep(0.001)
        self.end_held("COMMIT")
        ended: set[datetime] = set()
        while waiting.is_alive():
            self.step_back(pid, ended)
            time.sleep(0.001)

    def step_back(self, pid: int, ended: set[datetime]) -> None:
        """End a wait for an application, which takes no step meanwhile; each wait once.

        A second signal for one wait might come when that is over, and end the statement after it.
        """
        for (began,) in self.observer.execute(WAIT, [pid]).fetchall():
            if began not in ended:
                ended.add(began)
                self.observer.execute("SELECT pg_cancel_backend(%s)", [pid])

    def write_or_die(self, store: ImpatientStore, batch: Batch) -> None:
        """Write; a conflict that lasts ends a worker's session, and its lease stays."""
        with suppress(psycopg.OperationalError):
            write_outcomes(store, batch.claim, batch.outcomes, "fp32")

    @precondition(lambda self: self.held)
    @rule(how=st.sampled_from(["COMMIT", "ROLLBACK"]))
    def end_held(self, how: str) -> None:
        self.arena.connection("writer 1").execute(how)
        self.held = False

    @precondition(lambda self: self.in_hand)
    @rule(which=places, releases=st.booleans())
    def give_up(self, which: int, releases: bool) -> None:
        """A worker gives its lease back, or dies and leaves it."""
        batch = self.in_hand.pop(which % len(self.in_hand))
        if releases:
            release_jobs(self.arena.connection("worker"), self.arena.collection.id, [batch.claim.token])

    @rule(leases=st.booleans())
    def let_time_pass(self, leases: bool) -> None:
        """What was delayed is due; so is, after a longer time, what workers hold."""
        self.observer.execute(
            "UPDATE imgvec.job SET run_after = now(), lease_until = CASE WHEN %s THEN now() ELSE lease_until END"
            " WHERE id IN (SELECT id FROM imgvec.job FOR UPDATE SKIP LOCKED)",
            [leases],
        )
        with suppress(psycopg.errors.LockNotAvailable):
            retry_failures(self.observer, self.arena.collection.id)

    def store(self, connection: str, wait_ms: int = NOT_WAITING_MS) -> ImpatientStore:
        store = self.arena.store(connection)
        store.wait_ms = wait_ms
        return store

    def write_now(self, batch: Batch, connection: str) -> None:
        before = self.observer.execute(EVERYTHING).fetchone()
        is_lost = not self.observer.execute(
            "SELECT FROM imgvec.job WHERE token = %s", [batch.claim.token]
        ).fetchall()
        self.write_or_die(self.store(connection), batch)
        if is_lost:
            after = self.observer.execute(EVERYTHING).fetchone()
            assert after == before, f"a result under a lost lease changed {before} into {after}"

    def is_blocked(self, pid: int) -> bool:
        row = self.observer.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid]).fetchone()
        return row == (True,)

    # What must hold

    @invariant()
    def each_row_is_accounted_for(self) -> None:
        for key, image, embedding, code, will_be_done in self.observer.execute(STATE).fetchall():
            if will_be_done:
                continue
            if code is not None and image in BROKEN and embedding is None:
                continue
            assert embedding is not None, f"row {key} is missing: no embedding, no failure that holds, no job"
            stored = np.array(embedding.strip("[]").split(","), dtype=float)
            assert np.abs(stored - vector_of(image)).max() < 1e-2, (
                f"row {key} is stale, and no job will mend it"
            )
            assert code is None, f"row {key} is embedded and failed ({code})"

    @invariant()
    def each_embedded_row_is_found_by_its_picture(self) -> None:
        for (key,) in self.observer.execute(WITHOUT_PICTURE).fetchall():
            raise AssertionError(f"row {key} is embedded, and its picture is not in the index")

    def teardown(self) -> None:
        for application in sorted(self.open):
            self.end(application, "ROLLBACK")
        if self.held:
            self.end_held("ROLLBACK")
        self.tidy()
        orphans = self.observer.execute(ORPHANS).fetchall()
        assert not orphans, f"pictures {orphans} are there, and no row has them"
