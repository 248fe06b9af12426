"""A picture whose bytes a row has already is neither decoded nor embedded again, and nothing stale is written for it."""

import hashlib
import io
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pytest
from imgvec_test_embedder import ColorGrid
from photostore import as_role, new_role
from PIL import Image
from psycopg import sql
from psycopg.conninfo import make_conninfo
from webserver import web_server
from workers import NAME, check, count, make_table, picture, random_picture, wait_until

from imgvec_pg.backfill.batch import shared_decoding
from imgvec_pg.backfill.batch.shared_pictures import GroupedLookup
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect, vector_schema
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.embeddings import EmbeddingStore
from imgvec_pg.store.integrity.rendering import bring_to_newest
from imgvec_pg.store.integrity.verify import enqueue_again, enqueue_doubtful
from imgvec_pg.store.pictures.content_index_state import has_content_index
from imgvec_pg.store.pictures.known_pictures import KnownPictures
from imgvec_pg.store.queue.jobs import retry_failures
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec

RED = (255, 0, 0)
BLUE = (0, 0, 255)
WHITE = (255, 255, 255)
TWO = picture(RED, BLUE, RED, BLUE)
OTHER = picture(BLUE, BLUE, RED, WHITE)


class Counting(ColorGrid):
    """Counts the pictures that it embeds, and may wait before it does."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self.embedded = 0
        self.before = before

    def embed_prepared(self, prepared: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        if prepared:
            self.before()
        self.embedded += len(prepared)
        return super().embed_prepared(prepared)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The pictures decoded, in this process and not in a child."""
    seen: list[bytes] = []

    def decode(embedder: Any, data: bytes, rendering: int) -> Any:
        seen.append(data)
        return decode_image(data, rendering=rendering)

    monkeypatch.setattr(shared_decoding, "decode_for", decode)
    return seen


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as made:
        yield made


def work(database: str, embedder: Counting | None = None, **options: Any) -> int:
    """Empty the queue and return how many pictures were embedded, besides the golden ones at the start."""
    embedder = embedder or Counting()
    started: list[int] = []
    Worker(
        database,
        NAME,
        embedder,
        PipelineOptions(**{"batch_size": 8, **options}),
        on_ready=lambda: started.append(embedder.embedded),
    ).run()
    return embedder.embedded - started[0]


def insert(connection: Connection, rows: dict[int, bytes]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO photo (id, content) VALUES (%s, %s)", list(rows.items()))


def vectors(connection: Connection) -> dict[int, str]:
    return dict(connection.execute(f"SELECT id, embedding::text FROM imgvec.{NAME}_embedding").fetchall())


def notes(connection: Connection) -> dict[int, str]:
    return dict(
        connection.execute(
            "SELECT (key ->> 'id')::integer, message FROM imgvec.failure WHERE code = 'blank'"
        ).fetchall()
    )


def test_rows_with_the_same_bytes_are_decoded_and_embedded_once(
    connection: Connection, database: str, tmp_path: Path, decoded: list[bytes]
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, dict.fromkeys(range(1, 101), TWO) | {101: OTHER})
    # The same bytes again as a file under several names, and rows that name one file.
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(TWO)
    connection.execute("INSERT INTO photo (id, path) VALUES (201, 'a.png'), (202, 'b.png'), (203, 'a.png')")
    assert work(database) == 2
    assert len(decoded) == 2
    assert not check(connection, tmp_path).problems
    assert count(connection, f"imgvec.{NAME}_embedding") == 104


def test_what_the_collection_has_is_copied_by_a_worker_that_comes_later(
    connection: Connection, database: str, tmp_path: Path, decoded: list[bytes]
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, {1: TWO})
    assert work(database) == 1
    insert(connection, {2: TWO})  # another row
    connection.execute("UPDATE photo SET id = 7 WHERE id = 1")  # another key
    (tmp_path / "moved.png").write_bytes(TWO)
    connection.execute("UPDATE photo SET content = NULL, path = 'moved.png' WHERE id = 7")  # another place
    decoded.clear()
    assert work(database) == 0
    assert not decoded
    assert not check(connection, tmp_path).problems
    assert set(vectors(connection)) == {2, 7}


def test_urls_with_the_same_bytes_are_embedded_once(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_ALLOW_NETWORKS", "127.0.0.0/8")
    connection.execute("CREATE TABLE photo (id integer PRIMARY KEY, url text)")
    with web_server(TWO) as server:
        prefix = f"{server.url}/picture/"
        create_collection(
            connection, CollectionSpec(NAME, "photo", ["url"], "color-grid", 12, True, url_prefixes=(prefix,))
        )
        for number, path in enumerate(("x", "x?size=2", "y", "x"), 1):
            connection.execute("INSERT INTO photo VALUES (%s, %s)", [number, prefix + path])
        computed = work(database)
    assert connection.execute("SELECT code, message FROM imgvec.failure").fetchall() == []
    assert computed == 1
    assert len(vectors(connection)) == 4
    assert len(set(vectors(connection).values())) == 1


def test_a_blank_picture_is_noted_for_each_row_that_has_it(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, {1: picture(RED), 2: picture(RED), 3: TWO})
    work(database)
    insert(connection, {4: picture(RED)})
    assert work(database) == 0
    assert notes(connection).keys() == {1, 2, 4}
    assert len(set(notes(connection).values())) == 1
    # Another picture takes the note away, a copied one too.
    connection.execute("UPDATE photo SET content = %s WHERE id = 4", [TWO])
    assert work(database) == 0
    assert notes(connection).keys() == {1, 2}
    assert not check(connection, tmp_path).problems.keys() - {"failed (blank)"}


def test_what_is_noted_of_a_file_goes_with_the_copy(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    buffer = io.BytesIO()
    Image.open(io.BytesIO(TWO)).resize((64, 64)).save(buffer, "JPEG")
    without_end = buffer.getvalue().removesuffix(b"\xff\xd9")
    assert len(without_end) == len(buffer.getvalue()) - 2
    insert(connection, {1: without_end})
    work(database)
    insert(connection, {2: without_end})
    assert work(database) == 0
    noted = connection.execute("SELECT code, message FROM imgvec.failure").fetchall()
    assert len(noted) == 2
    assert noted[0] == noted[1]
    assert noted[0][0] == "noted"


def test_vectors_of_another_precision_are_not_copied(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, {1: TWO})
    work(database)
    connection.execute(f"UPDATE imgvec.{NAME}_embedding SET precision = 'bf16'")
    insert(connection, {2: TWO})
    assert work(database) == 1


def test_vectors_of_an_older_rendering_are_not_copied(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    connection.execute("UPDATE imgvec.collection SET rendering = 1")
    insert(connection, {1: TWO})
    work(database)
    collection = get_collection(connection, NAME)
    bring_to_newest(connection, collection, lambda path: (tmp_path / path).read_bytes())
    insert(connection, {2: TWO})
    assert work(database) == 1
    insert(connection, {3: TWO})
    assert work(database) == 0


def test_a_vector_that_failed_its_comparison_is_computed_anew_for_all_its_rows(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, {1: TWO, 2: TWO, 3: OTHER})
    work(database)
    # As a fault of the device would leave it.
    connection.execute(
        f"UPDATE imgvec.{NAME}_embedding SET embedding = (SELECT o.embedding FROM imgvec.{NAME}_embedding AS o WHERE o.id = 3)"
        " WHERE id IN (1, 2)"
    )
    collection = get_collection(connection, NAME)
    version = count_version(connection, 1)
    assert enqueue_doubtful(connection, collection, [({"id": 1}, version)]) == 2
    assert work(database) == 1
    assert {k: v for k, v in check(connection, tmp_path).problems.items() if k == "stale"} == {}


def count_version(connection: Connection, number: int) -> int:
    row = connection.execute(
        f"SELECT version FROM imgvec.{NAME}_embedding WHERE id = %s", [number]
    ).fetchone()
    assert row is not None
    return int(row[0])


def doubting_once(
    connection: Connection, database: str
) -> tuple[Callable[[KnownPictures, Sequence[bytes]], Any], list[bytes]]:
    """Give row 1 the vector of row 3, and a look-up after whose first finding row 1 is doubted; with what it had found."""
    connection.execute(
        f"UPDATE imgvec.{NAME}_embedding SET embedding = (SELECT o.embedding FROM imgvec.{NAME}_embedding AS o WHERE o.id = 3)"
        " WHERE id = 1"
    )
    collection = get_collection(connection, NAME)
    looked_up: list[bytes] = []
    find = KnownPictures.find

    def doubt_after(self: KnownPictures, hashes: Sequence[bytes]) -> Any:
        found = find(self, hashes)
        if found and not looked_up:
            looked_up.extend(found)
            with connect(database) as steward:
                assert enqueue_doubtful(steward, collection, [({"id": 1}, count_version(steward, 1))]) == 1
        return found

    return doubt_after, looked_up


def test_a_vector_doubted_between_lookup_and_write_is_not_written(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, {1: TWO, 3: OTHER})
    work(database)
    doubt_after, looked_up = doubting_once(connection, database)
    insert(connection, {2: TWO})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(KnownPictures, "find", doubt_after)
        work(database)
    assert looked_up
    # Row 2 waits a second for its next try.
    connection.execute("UPDATE imgvec.job SET run_after = now()")
    work(database)
    assert check(connection, tmp_path).problems.get("stale") is None
    assert count(connection, "imgvec.job") == 0
    assert set(vectors(connection)) == {1, 2, 3}


def test_a_row_that_changes_between_lookup_and_write_gets_its_newest_picture(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, {1: TWO, 5: OTHER})
    work(database)
    changed: list[int] = []
    find = KnownPictures.find

    def change_after(self: KnownPictures, hashes: Sequence[bytes]) -> Any:
        found = find(self, hashes)
        if not changed:
            changed.append(1)
            with connect(database) as application:
                application.execute("UPDATE photo SET content = %s WHERE id = 2", [OTHER])
                application.execute("UPDATE photo SET content = %s WHERE id = 1", [random_picture_of(9)])
        return found

    insert(connection, {2: TWO})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(KnownPictures, "find", change_after)
        work(database)
    connection.execute("UPDATE imgvec.job SET run_after = now()")
    work(database)
    assert not check(connection, tmp_path).problems


def random_picture_of(seed: int) -> bytes:
    return random_picture(random.Random(seed))


def test_vectors_that_an_application_wrote_are_not_copied(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, {1: TWO})
    work(database)
    connection.execute(f"UPDATE imgvec.{NAME}_embedding SET content_hash = ''")
    insert(connection, {2: TWO})
    assert work(database) == 1


def test_a_collection_without_the_index_embeds_as_before_and_reads_nothing_of_the_table(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    connection.execute(f"DROP INDEX imgvec.{NAME}_embedding_content_hash")
    collection = get_collection(connection, NAME)
    assert not has_content_index(connection, collection)
    insert(connection, {1: TWO, 2: TWO})
    assert work(database) == 1  # in one batch
    insert(connection, {3: TWO})
    assert work(database) == 1
    assert not check(connection, tmp_path).problems


def test_two_workers_embed_few_pictures_twice(connection: Connection, database: str, tmp_path: Path) -> None:
    make_table(connection, tmp_path, model="color-grid")
    pictures = [random_picture_of(seed) for seed in range(20)]
    insert(connection, {number: pictures[number % 20] for number in range(1, 401)})
    embedders = Counting(), Counting()
    threads = [threading.Thread(target=work, args=(database, each)) for each in embedders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not check(connection, tmp_path).problems
    # Each of the two at most each picture once more for its golden pictures and batches in flight: far from 400.
    assert sum(embedder.embedded for embedder in embedders) < 150


def test_composite_keys_and_partitions_of_the_embedding_table(
    connection: Connection, database: str, decoded: list[bytes]
) -> None:
    connection.execute(
        "CREATE TABLE photo (tenant date, id numeric(9, 2), content bytea, PRIMARY KEY (tenant, id))"
    )
    collection: Collection = create_collection(
        connection, CollectionSpec(NAME, "photo", ["content"], "color-grid", 12, True, partitions=3)
    )
    assert has_content_index(connection, collection)
    statement = "INSERT INTO photo SELECT date '2024-02-29' + i, i / 4.0, %s FROM generate_series(%s::int, %s::int) AS i"
    connection.execute(statement, [picture(RED), 1, 20])
    assert work(database) == 1
    connection.execute(statement, [picture(RED), 21, 40])
    assert work(database) == 0
    assert count(connection, f"imgvec.{NAME}_embedding") == 40
    assert count(connection, "imgvec.failure WHERE code = 'blank'") == 40
    assert len(decoded) == 1


def test_a_stepped_back_row_is_its_own_donor(connection: Connection, database: str, tmp_path: Path) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, {1: TWO})
    work(database)
    collection = get_collection(connection, NAME)
    assert enqueue_again(connection, collection, [({"id": 1}, count_version(connection, 1))]) == 1
    assert work(database) == 0
    assert count(connection, "imgvec.job") == 0
    assert check(connection, tmp_path).problems.keys() <= {"written again or backward"}


def test_a_lost_connection_of_the_lookup_charges_no_row(
    connection: Connection, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table(connection, tmp_path, model="color-grid")

    def gone(self: KnownPictures, hashes: Sequence[bytes]) -> Any:
        raise psycopg.OperationalError("the server closed the connection")

    monkeypatch.setattr(KnownPictures, "find", gone)
    insert(connection, {1: TWO, 2: OTHER})
    assert work(database) == 2
    assert not check(connection, tmp_path).problems


def test_lookups_of_many_threads_share_statements() -> None:
    asked: list[list[bytes]] = []
    first = threading.Event()
    go_on = threading.Event()

    class Slow:
        def find(self, hashes: Sequence[bytes]) -> dict[bytes, Any]:
            asked.append(list(hashes))
            first.set()
            go_on.wait(300)
            return {each: each for each in hashes if each != b"3"}

    lookup = GroupedLookup(Slow())  # type: ignore[arg-type]
    answers: dict[bytes, Any] = {}
    threads = [
        threading.Thread(target=lambda each=each: answers.update({each: lookup.find([each])}))  # type: ignore[misc]
        for each in (b"0", b"1", b"2", b"3", b"4")
    ]
    threads[0].start()
    assert first.wait(300)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: len(lookup._waiting) == 4, "the others")
    go_on.set()
    for thread in threads:
        thread.join()
    assert answers == {each: {each: each} if each != b"3" else {} for each in (b"0", b"1", b"2", b"3", b"4")}
    assert [len(each) for each in asked] == [1, 4]
    assert not lookup._found


def test_a_new_picture_is_looked_up_by_the_index_where_all_rows_have_one(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, {1: TWO})
    work(database)
    connection.execute(
        f"INSERT INTO photo (id) SELECT generate_series(2, 5000);"
        f"INSERT INTO imgvec.{NAME}_embedding (id, embedding, version, content_hash, precision)"
        f" SELECT p.id, e.embedding, 1, e.content_hash, e.precision FROM photo AS p, imgvec.{NAME}_embedding AS e WHERE p.id > 1;"
        f"ANALYZE imgvec.{NAME}_embedding"
    )
    known = EmbeddingStore(
        connection, get_collection(connection, NAME), vector_schema(connection)
    ).known_pictures("fp32")

    def reads() -> tuple[int, int]:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(
            "SELECT seq_scan, (SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s)"
            " FROM pg_stat_user_tables WHERE relname = %s",
            [f"{NAME}_embedding_content_hash", f"{NAME}_embedding"],
        ).fetchone()
        assert row is not None
        return row

    # Sessions that have not quite ended, as the worker's, add to the counts as they do.
    others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    wait_until(lambda: count(connection, f"{others} AND backend_type = 'client backend'") == 0, "them to end")
    before = reads()
    assert known.find([b"unknown"]) == {}
    found = known.find([hashlib.sha256(TWO).digest()])
    assert list(found) == [hashlib.sha256(TWO).digest()]
    after = reads()
    assert (after[0] - before[0], after[1] - before[1]) == (0, 2)


def test_copies_across_partitions_of_the_source(connection: Connection, database: str) -> None:
    connection.execute(
        "CREATE TABLE photo (id integer PRIMARY KEY, content bytea) PARTITION BY RANGE (id);"
        "CREATE TABLE photo_low PARTITION OF photo FOR VALUES FROM (0) TO (100);"
        "CREATE TABLE photo_high PARTITION OF photo FOR VALUES FROM (100) TO (200)"
    )
    create_collection(connection, CollectionSpec(NAME, "photo", ["content"], "color-grid", 12, True))
    insert(connection, {1: TWO, 2: OTHER})
    assert work(database) == 2
    insert(connection, {101: TWO, 102: TWO})
    connection.execute("DELETE FROM photo WHERE id = 1")
    assert work(database) <= 1
    insert(connection, {103: TWO, 3: TWO})
    connection.execute("UPDATE photo SET id = 150 WHERE id = 2")
    assert work(database) <= 1
    assert set(vectors(connection)) == {3, 101, 102, 103, 150}
    assert len(set(vectors(connection).values())) == 2


def test_a_worker_of_no_more_than_its_role_copies_too(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, {1: TWO})
    work(database)
    with new_role(connection, "imgvec_worker", "SELECT ON photo", "INSERT ON written, enqueued") as role:
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(role)))
        connection.execute(
            sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(sql.Identifier(role))
        )
        insert(connection, {2: TWO})
        assert work(make_conninfo(database, user=role)) == 0
    assert not check(connection, tmp_path).problems


def make_sibling(
    connection: Connection, name: str = "other", model: str = "color-grid", **changes: Any
) -> Collection:
    """A second table of pictures, by the same model."""
    connection.execute(
        sql.SQL("CREATE TABLE {} (code text PRIMARY KEY, content bytea)").format(sql.Identifier(name))
    )
    return create_collection(connection, CollectionSpec(name, name, ["content"], model, 12, True, **changes))


def work_on(database: str, name: str) -> int:
    embedder, started = Counting(), []
    Worker(
        database,
        name,
        embedder,
        PipelineOptions(batch_size=8),
        on_ready=lambda: started.append(embedder.embedded),
    ).run()
    return embedder.embedded - started[0]


def test_a_picture_that_another_collection_of_the_model_has_is_not_computed_again(
    connection: Connection, database: str, tmp_path: Path, decoded: list[bytes]
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    make_sibling(connection)
    insert(connection, {1: TWO, 2: picture(RED)})
    assert work(database) == 2
    connection.execute("INSERT INTO other VALUES ('a', %s), ('b', %s), ('c', %s)", [TWO, picture(RED), OTHER])
    decoded.clear()
    assert work_on(database, "other") == 1
    assert decoded == [OTHER]
    same = f"""
        SELECT count(*) FROM imgvec.other_embedding AS o JOIN imgvec.{NAME}_embedding AS e USING (content_hash)
        WHERE o.embedding = e.embedding
    """
    assert connection.execute(same).fetchone() == (2,)
    noted = connection.execute("SELECT key FROM imgvec.failure WHERE code = 'blank' ORDER BY key").fetchall()
    assert noted == [({"code": "b"},), ({"id": 2},)]


@pytest.mark.parametrize(
    "hindrance", ["another model", "another rendering", "other bands", "no right", "another precision"]
)
def test_what_a_collection_may_not_share_is_computed(
    connection: Connection, database: str, tmp_path: Path, hindrance: str
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    make_sibling(connection, model="color-grid" if hindrance != "another model" else "lines")
    insert(connection, {1: TWO})
    work(database)
    with new_role(connection, "imgvec_worker", "USAGE ON SCHEMA public", "SELECT ON other") as role:
        if hindrance == "other bands":
            connection.execute("UPDATE imgvec.collection SET bands = '{4,3,2}' WHERE name = 'other'")
        if hindrance == "another rendering":
            connection.execute("UPDATE imgvec.collection SET rendering = 1 WHERE name = 'other'")
        elif hindrance == "another precision":
            connection.execute(f"UPDATE imgvec.{NAME}_embedding SET precision = 'bf16'")
        elif hindrance == "no right":
            connection.execute(f"REVOKE SELECT ON imgvec.{NAME}_embedding FROM imgvec_worker")
        collection = get_collection(connection, "other")
        with connect(make_conninfo(database, options=f"-c role={role}")) as reading:
            known = EmbeddingStore(reading, collection, vector_schema(reading)).known_pictures("fp32")
            assert known.find([hashlib.sha256(TWO).digest()]) == {}


def test_a_sibling_is_found_by_a_worker_of_few_rights_and_may_go_meanwhile(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    other = make_sibling(connection)
    insert(connection, {1: TWO})
    work(database)
    wanted = hashlib.sha256(TWO).digest()
    with (
        new_role(connection, "imgvec_worker", "USAGE ON SCHEMA public", "SELECT ON other") as role,
        connect(make_conninfo(database, options=f"-c role={role}")) as reading,
    ):
        known = EmbeddingStore(reading, other, vector_schema(reading)).known_pictures("fp32")
        found = known.find([wanted])[wanted]
        assert (found.donor.key, found.donor.sibling is None) == ({"id": 1}, False)
        connection.execute(f"DROP TABLE imgvec.{NAME}_embedding CASCADE")
        assert known.find([wanted]) == {}


def test_a_sibling_that_is_doubted_or_goes_between_lookup_and_write_gives_nothing(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    make_sibling(connection)
    insert(connection, {1: TWO, 3: OTHER})
    work(database)
    doubt_after, looked_up = doubting_once(connection, database)
    connection.execute("INSERT INTO other VALUES ('a', %s)", [TWO])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(KnownPictures, "find", doubt_after)
        computed = work_on(database, "other")
    assert looked_up
    # Where the machine is slow it was tried again at once.
    connection.execute("UPDATE imgvec.job SET run_after = now()")
    assert computed + work_on(database, "other") == 1
    assert work(database) == 0  # It has it from the other one now.
    assert check(connection, tmp_path).problems.get("stale") is None


def test_what_was_copied_into_another_collection_is_doubted_too(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    make_sibling(connection)
    insert(connection, {1: TWO, 3: OTHER})
    work(database)
    connection.execute(
        f"UPDATE imgvec.{NAME}_embedding SET embedding = (SELECT o.embedding FROM imgvec.{NAME}_embedding AS o WHERE o.id = 3)"
        " WHERE id = 1"
    )
    connection.execute("INSERT INTO other VALUES ('a', %s)", [TWO])
    assert work_on(database, "other") == 0
    collection = get_collection(connection, NAME)
    assert enqueue_doubtful(connection, collection, [({"id": 1}, count_version(connection, 1))]) == 2
    assert work(database) + work_on(database, "other") == 1
    copied = "SELECT embedding::text FROM imgvec.other_embedding"
    assert connection.execute(copied).fetchone() == (vectors(connection)[1],)
    assert check(connection, tmp_path).problems.get("stale") is None


def test_what_is_retried_or_imported_again_beside_its_copies_is_not_computed(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, {1: TWO, 2: TWO, 3: OTHER})
    connection.execute("INSERT INTO photo (id, path) VALUES (4, 'late.png')")
    assert work(database) == 2
    assert connection.execute("SELECT key FROM imgvec.failure").fetchall() == [({"id": 4},)]
    (tmp_path / "late.png").write_bytes(TWO)
    assert retry_failures(connection, get_collection(connection, NAME).id) == 1
    assert work(database) == 0
    # Deleted and inserted again, by another key too, while a row has the picture.
    connection.execute("DELETE FROM photo WHERE id IN (1, 2)")
    insert(connection, {1: TWO, 20: TWO})
    assert work(database) == 0
    # A reload of all takes the vectors along.
    connection.execute("TRUNCATE photo CASCADE")
    insert(connection, {1: TWO, 2: TWO, 3: OTHER})
    assert work(database) == 2
    assert not check(connection, tmp_path).problems


def test_a_worker_that_ends_between_computing_and_writing_leaves_nothing_half_known(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, dict.fromkeys(range(1, 21), TWO))

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(EmbeddingStore, "write_leased", die)
        with pytest.raises(Killed):
            work(database)
    assert vectors(connection) == {}
    # As after its last heartbeat.
    connection.execute("UPDATE imgvec.job SET lease_until = now() WHERE token IS NOT NULL")
    assert work(database) == 1
    assert not check(connection, tmp_path).problems
    assert len(vectors(connection)) == 20


def test_a_lone_row_keeps_its_vector_when_its_key_changes_or_its_file_moves(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    insert(connection, {1: TWO})
    (tmp_path / "there.png").write_bytes(OTHER)
    connection.execute("INSERT INTO photo (id, path) VALUES (2, 'there.png')")
    assert work(database) == 2
    before = vectors(connection)
    connection.execute("UPDATE photo SET id = id + 100")
    (tmp_path / "there.png").rename(tmp_path / "here.png")
    connection.execute("UPDATE photo SET path = 'here.png' WHERE path = 'there.png'")
    assert work(database) == 0
    # And from a file into a column.
    connection.execute("UPDATE photo SET path = NULL, content = %s WHERE path = 'here.png'", [OTHER])
    assert work(database) == 0
    assert vectors(connection) == {key + 100: vector for key, vector in before.items()}
    assert not check(connection, tmp_path).problems


def test_a_file_that_changes_under_its_path_gives_its_vector_to_no_row_of_the_old_picture(
    connection: Connection, database: str, tmp_path: Path
) -> None:
    make_table(connection, tmp_path, model="color-grid")
    (tmp_path / "shared.png").write_bytes(TWO)
    connection.execute("INSERT INTO photo (id, path) VALUES (1, 'shared.png'), (2, 'shared.png')")
    insert(connection, {3: TWO})
    assert work(database) == 1
    old = vectors(connection)[1]
    (tmp_path / "shared.png").write_bytes(OTHER)
    # Nobody has told of it yet: a row that comes with the path gets what is there now, one with the bytes what they are.
    connection.execute("INSERT INTO photo (id, path) VALUES (4, 'shared.png')")
    insert(connection, {5: TWO})
    assert work(database) == 1
    found = vectors(connection)
    assert {key for key, vector in found.items() if vector == old} == {1, 2, 3, 5}
    # verify --contents reads the files, and enqueues what has changed.
    assert run(cli, ["verify", "--contents", "--repair", NAME, "--dsn", database]) in (0, 4)
    assert work(database) == 0
    found = vectors(connection)
    assert {key for key, vector in found.items() if vector == old} == {3, 5}
    assert found[1] == found[2] == found[4] != old


def test_no_tenant_plants_a_vector_under_the_hash_of_somebody_elses_picture(
    connection: Connection, database: str
) -> None:
    connection.execute(
        "CREATE TABLE photo (id integer PRIMARY KEY, tenant name, content bytea);"
        "ALTER TABLE photo ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON photo USING (tenant = current_user)"
    )
    create_collection(connection, CollectionSpec(NAME, "photo", ["content"], "color-grid", 12, True))
    table = f"imgvec.{NAME}_embedding"
    grants = ("imgvec_reader", "USAGE ON SCHEMA public", "SELECT, INSERT, UPDATE ON photo")
    with (
        # More than any tenant should have.
        new_role(connection, *grants, f"INSERT, UPDATE, DELETE ON {table}") as mallory,
        new_role(connection, *grants) as alice,
    ):
        put = "INSERT INTO photo VALUES (%s, %s, %s)"
        connection.execute(put, [1, mallory, TWO])
        assert work(database) == 1
        planted = ["[1,0,0,0,0,0,0,0,0,0,0,0]", hashlib.sha256(OTHER).digest()]
        with as_role(connection, mallory):
            change = f"UPDATE {table} SET embedding = %s::halfvec, content_hash = %s"
            assert connection.execute(change, planted).rowcount == 0
            connection.execute(put, [2, mallory, b"no picture"])
            write = f"INSERT INTO {table} (id, embedding, version, content_hash, precision) VALUES (2, %s, 1, %s, 'fp32')"
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                connection.execute(write, planted)
        connection.execute(put, [3, alice, OTHER])
        # Computed, as nobody has it yet; and from now on whoever has the same bytes gets the same vector.
        assert work(database) == 1
        connection.execute(put, [4, mallory, OTHER])
        assert work(database) == 0
        with as_role(connection, alice):
            counted = connection.execute(f"SELECT id, copies FROM imgvec.copies_{NAME}()").fetchall()
            assert counted == [(3, 1)]
            assert connection.execute(f"SELECT id FROM imgvec.near_{NAME}_row(3)").fetchall() == []
