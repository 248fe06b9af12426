"""A large tenant gets its own partition while workers write and searches go on; whatever stops that, the next run goes on."""

import json
import threading

import psycopg
import pytest
from photostore import embed, embedded, lease_job, make_collection
from tenantshop import SIZES, exact, make_tenants, search_tenant, vector

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.index.ddl import has_valid_index
from imgvec_pg.store.integrity.rename import rename_collection
from imgvec_pg.store.integrity.verify import verify_collection
from imgvec_pg.store.registry import get_collection
from imgvec_pg.tenants import split
from imgvec_pg.tenants.split import TenantSplit
from imgvec_pg.tenants.survey import LargeTenant, find_partitions, find_unfinished, survey

VECTORS = "SELECT tenant_id, id, version, embedding::text FROM imgvec.photo_test_embedding ORDER BY 1, 2"
WHERE = "SELECT tableoid::regclass::text, count(*) FROM imgvec.photo_test_embedding GROUP BY 1 ORDER BY 1"


def largest(connection: Connection, collection: Collection, least_rows: int = 1000) -> LargeTenant:
    return survey(connection, collection, least_rows=least_rows).large[0]


def counts(connection: Connection) -> dict[str, int]:
    found = connection.execute(WHERE).fetchall()
    return {table.removeprefix("imgvec.photo_test_embedding_"): rows for table, rows in found}


def test_moving_changes_no_vector_and_rows_go_on_following_their_source(connection: Connection) -> None:
    collection = make_tenants(connection)
    before = connection.execute(VECTORS).fetchall()
    done = TenantSplit(connection, collection, largest(connection, collection)).run()
    assert (done.tenant, done.table, done.rows) == ("1", "photo_test_embedding_1", 1500)
    assert connection.execute(VECTORS).fetchall() == before
    assert counts(connection) == {"0": sum(SIZES.values()) - 1500, "1": 1500}
    assert has_valid_index(connection, collection)
    assert find_unfinished(connection, collection) == {}
    checks = connection.execute(
        "SELECT conname, contype::text FROM pg_constraint WHERE conrelid = 'imgvec.photo_test_embedding_1'::regclass"
        " AND contype IN ('c', 'f') ORDER BY 1"
    ).fetchall()
    assert checks == [("embedding_is_unit", "c"), ("photo_test_embedding_source_fkey", "f")]
    connection.execute("DELETE FROM shop.photo WHERE tenant_id = 1 AND id <= 100")
    # A row that goes to another tenant goes to another partition, and one into a tenant that has one, into it.
    connection.execute("UPDATE shop.photo SET tenant_id = 9 WHERE tenant_id = 1 AND id = 101")
    connection.execute("UPDATE shop.photo SET tenant_id = 1, id = 5001 WHERE tenant_id = 5 AND id = 1")
    assert counts(connection) == {"0": sum(SIZES.values()) - 1500, "1": 1400}
    assert search_tenant(connection, vector(1_000_101), 9, 1) == [(9, 101)]
    assert search_tenant(connection, vector(5_000_001), 1, 1) == [(1, 5001)]
    job = lease_job(connection, collection, [(1, 200), (1, 5002), (3, 1)], 7)
    connection.execute("INSERT INTO shop.photo VALUES (1, 5002, 'x.jpg')")
    written = [float(x) for x in json.loads(vector(3))]
    job.write(*((key, written) for key in ((1, 200), (1, 5002), (3, 1))))
    assert search_tenant(connection, vector(3), 1, 2) == [(1, 200), (1, 5002)]
    assert search_tenant(connection, vector(3), 3, 1) == [(3, 1)]


def test_what_changes_while_a_tenant_is_copied_and_indexed_is_in_its_partition(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the copy and the index, and between the last comparison and the locks."""
    collection = make_tenants(connection)
    build, swap = TenantSplit._build_index, TenantSplit._swap

    def change(first: int) -> None:
        with connect(database) as other:
            other.execute("DELETE FROM shop.photo WHERE tenant_id = 1 AND id = %s", [first])
            other.execute("UPDATE shop.photo SET tenant_id = 7 WHERE tenant_id = 1 AND id = %s", [first + 1])
            other.execute("UPDATE shop.photo SET id = 9000 + id WHERE tenant_id = 1 AND id = %s", [first + 2])
            other.execute(
                "UPDATE imgvec.photo_test_embedding SET embedding = %s::halfvec, version = 2 WHERE tenant_id = 1 AND id = %s",
                [vector(first), first + 3],
            )
            other.execute("INSERT INTO shop.photo VALUES (1, %s, 'new.jpg')", [first + 8000])
            embed(other, collection, {(1, first + 8000): [float(x) for x in json.loads(vector(first + 1))]})

    def build_changed(self: TenantSplit, rows: int) -> None:
        change(10)
        build(self, rows)

    def swap_changed(self: TenantSplit, milliseconds: int, again: str) -> split.Split:
        change(20)
        return swap(self, milliseconds, again)

    monkeypatch.setattr(TenantSplit, "_build_index", build_changed)
    monkeypatch.setattr(TenantSplit, "_swap", swap_changed)
    TenantSplit(connection, collection, largest(connection, collection)).run()
    assert counts(connection)["1"] == 1500 - 2 * 2 + 2
    there = dict(
        connection.execute("SELECT id, embedding::text FROM imgvec.photo_test_embedding_1").fetchall()
    )
    assert {10, 11, 12, 20, 21, 22}.isdisjoint(there) and {9012, 9022, 8010, 8020} <= there.keys()
    for first in (10, 20):
        assert (
            there[first + 3] == connection.execute("SELECT %s::halfvec::text", [vector(first)]).fetchone()[0]
        )  # type: ignore[index]
    assert search_tenant(connection, vector(1_000_011), 7, 1) == [(7, 11)]
    connection.execute("DELETE FROM imgvec.job")
    assert verify_collection(connection, collection).is_in_step


def test_writers_and_searches_go_on_while_a_tenant_moves(connection: Connection, database: str) -> None:
    collection = make_tenants(connection)
    stop, problems, written = threading.Event(), [], []

    def write() -> None:
        with connect(database) as worker:
            version = 10
            while not stop.is_set():
                version += 1
                keys = [(1, 1 + version % 1500), (2, 1 + version % 1200), (3, 1 + version % 30)]
                try:
                    job = lease_job(worker, collection, keys, version)
                    outcome = job.write(
                        *((key, [float(x) for x in json.loads(vector(version))]) for key in keys)
                    )
                    written.extend((key, version) for key in keys[: outcome.finished])
                except psycopg.errors.LockNotAvailable:
                    continue  # A worker puts the job back, and takes it again.
                except Exception as error:
                    problems.append(error)
                    return

    def ask() -> None:
        with connect(database) as reader:
            while not stop.is_set():
                for tenant in (1, 2, 3):
                    try:
                        found = search_tenant(reader, vector(5), tenant, 10)
                    except Exception as error:
                        problems.append(error)
                        return
                    if len(found) < 10:
                        problems.append(AssertionError(f"tenant {tenant}: {len(found)} rows"))

    threads = [threading.Thread(target=target) for target in (write, ask)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            TenantSplit(connection, collection, largest(connection, collection)).run(lock_timeout_ms=20_000)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == [] and written
    assert counts(connection) == {"0": 60, "1": 1500, "2": 1200}
    newest = dict(written)
    versions = {(tenant, key): version for tenant, key, version, _ in connection.execute(VECTORS)}
    assert {key: versions[key] for key in newest} == newest


@pytest.mark.parametrize("tenant", [1, 2])
def test_a_search_that_waits_for_the_move_finds_all_afterwards(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch, tenant: int
) -> None:
    """PostgreSQL plans for the partitions that there are as it begins, and waits for a lock on them after that."""
    collection = make_tenants(connection)
    execute = TenantSplit._execute
    found: list[object] = []

    def ask() -> None:
        with connect(database) as reader:
            found.extend(search_tenant(reader, vector(5), tenant, 10))

    asking = threading.Thread(target=ask)

    def asked_meanwhile(self: TenantSplit, file: str, **values: object) -> int:
        done = execute(self, file, **values)
        if file == "attach":
            asking.start()
            with connect(database) as watcher:
                while asking.is_alive():
                    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock'"
                    if watcher.execute(waiting).fetchone() != (0,):
                        break
        return done

    monkeypatch.setattr(TenantSplit, "_execute", asked_meanwhile)
    TenantSplit(connection, collection, largest(connection, collection)).run()
    asking.join()
    assert len(found) == 10


@pytest.mark.parametrize("stage", ["_copy", "_build_index", "_swap"])
def test_a_run_that_stops_is_gone_on_from(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    collection = make_tenants(connection)
    before = connection.execute(VECTORS).fetchall()

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TenantSplit, stage, stopped)
        with pytest.raises(KeyboardInterrupt):
            TenantSplit(connection, collection, largest(connection, collection)).run()
    assert connection.execute(VECTORS).fetchall() == before
    assert find_unfinished(connection, collection) == {"1": "photo_test_embedding_1"}
    begun = survey(connection, collection, least_rows=1000).large
    assert [(tenant.table, tenant.is_begun) for tenant in begun] == [
        ("photo_test_embedding_1", True),
        ("photo_test_embedding_2", False),
    ]
    connection.execute("DELETE FROM shop.photo WHERE tenant_id = 1 AND id = 5")
    assert run(cli, ["collection", "partition", "photo_test", "--rows", "1000", "--dsn", database]) == 0
    assert [row for row in before if row[:2] != (1, 5)] == connection.execute(VECTORS).fetchall()
    assert counts(connection) == {"0": 60, "1": 1499, "2": 1200}
    assert has_valid_index(connection, collection)


def test_a_lock_that_is_not_had_leaves_the_copy_for_the_next_run(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = make_tenants(connection)
    monkeypatch.setattr(split, "SWAP_TRIES", 2)
    with connect(database) as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM imgvec.photo_test_embedding_0")
        with pytest.raises(
            DatabaseError, match=r"for longer than 50 ms; .* to go on from it: imgvec collection partition"
        ):
            TenantSplit(connection, collection, largest(connection, collection)).run(lock_timeout_ms=50)
    assert counts(connection) == {"0": sum(SIZES.values())}
    again = largest(connection, collection)
    assert again.is_begun
    TenantSplit(connection, collection, again).run()
    assert counts(connection)["1"] == 1500


def test_what_a_stopped_run_left_goes_with_a_renamed_or_dropped_collection(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = make_tenants(connection)
    with monkeypatch.context() as patch:
        patch.setattr(TenantSplit, "_copy", lambda self: 1 / 0)
        for drop in (False, True):
            with pytest.raises(ZeroDivisionError):
                TenantSplit(connection, collection, largest(connection, collection)).run()
            if drop:
                drop_collection(connection, collection)
            else:
                collection = rename_collection(connection, collection, "photo_new")
                assert find_unfinished(connection, collection) == {}
    left = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'imgvec'::regnamespace AND relname ~ '^photo_'"
    ).fetchall()
    assert left == []


def test_the_command_says_what_it_would_do_and_then_does_it(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    collection = make_tenants(connection)
    command = ["collection", "partition", "photo_test", "--dsn", database]
    assert run(cli, [*command, "--rows", "1000", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "1  1500  gets imgvec.photo_test_embedding_1" in said and said.endswith("nothing was changed\n")
    assert find_partitions(connection, collection) == []
    assert run(cli, [*command, "--rows", "1300", "--tenant", "3"]) == 0
    said = capsys.readouterr().out
    assert "1: imgvec.photo_test_embedding_1 has its 1,500 embeddings; searches and writers waited" in said
    assert "3: imgvec.photo_test_embedding_2 has its 30 embeddings" in said
    assert run(cli, command) == 0
    assert "no other tenant has 10,000 rows" in capsys.readouterr().out
    assert run(cli, [*command, "--rows", "1000", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [part["tenants"] for part in shown["partitions"]] == [["1"], ["3"]]
    assert [(moved["tenant"], moved["table"]) for moved in shown["moved"]] == [
        ("2", "photo_test_embedding_3")
    ]
    for words, expected in (
        (["--tenant", "77"], 'no row of shop.photo has tenant_id "77"'),
        (["--rows", "0"], "0 is not in the range x>=1"),
    ):
        assert run(cli, [*command, *words]) in (1, 2)
        assert expected in capsys.readouterr().err
    assert exact(connection, vector(7), 3, 10) == search_tenant(connection, vector(7), 3)


def test_collections_that_cannot_be_split_say_what_to_do(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tenants(connection, {1: 5}, partitions=2)
    assert run(cli, ["collection", "partition", "photo_test", "--dsn", database]) == 1
    assert "is divided by the hash of tenant_id into 2 partitions" in capsys.readouterr().err
    connection.execute("DROP SCHEMA shop CASCADE")
    drop_collection(connection, get_collection(connection, "photo_test"))
    make_tenants(connection, {1: 5}, partition_by=None)
    assert run(cli, ["collection", "partition", "photo_test", "--dsn", database]) == 1
    assert "is not divided by tenant" in capsys.readouterr().err


def test_without_a_foreign_key_what_goes_meanwhile_is_gone_in_the_partition_too(
    connection: Connection,
) -> None:
    collection = make_tenants(connection, foreign_key=False)
    tenant = largest(connection, collection)
    moving = TenantSplit(connection, collection, tenant)
    moving._create(2000)
    moving._copy()
    connection.execute("DELETE FROM shop.photo WHERE tenant_id = 1 AND id > 1400")
    TenantSplit(connection, collection, largest(connection, collection)).run()
    assert counts(connection)["1"] == 1400
    connection.execute("TRUNCATE shop.photo")
    assert embedded(connection, collection) == []


def test_no_lock_of_the_source_is_taken_behind_those_of_the_embeddings(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or whoever has read the source and searches then, and the move, would wait for each other."""
    collection = make_tenants(connection)
    execute, locks = TenantSplit._execute, {}

    def noting(self: TenantSplit, file: str, **values: object) -> int:
        done = execute(self, file, **values)
        held = self.connection.execute(
            "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'shop.photo'::regclass"
        )
        locks[file] = {mode for (mode,) in held}
        return done

    monkeypatch.setattr(TenantSplit, "_execute", noting)
    TenantSplit(connection, collection, largest(connection, collection)).run()
    assert "AccessExclusiveLock" in locks["attach"]
    assert "AccessExclusiveLock" in locks["lock_source"]


def test_a_tenant_written_otherwise_is_the_same_and_names_may_have_percent_signs(
    connection: Connection,
) -> None:
    connection.execute(
        'CREATE SCHEMA shop; CREATE TABLE shop.t ("t %" numeric, "id %" bigint, file text, PRIMARY KEY ("t %", "id %"));'
        "INSERT INTO shop.t SELECT CASE WHEN i % 2 = 0 THEN 1.0 ELSE 1.00 END, i, i || '.jpg' FROM generate_series(1, 40) AS i"
    )
    collection = make_collection(connection, "shop.t", partition_by="t %")
    embed(connection, collection, {(1, key): (1.0, 0.0, 0.0) for key in range(1, 41)})
    assert TenantSplit(connection, collection, largest(connection, collection, 10)).run().rows == 40
    [part] = find_partitions(connection, collection)
    connection.execute('DELETE FROM shop.t WHERE "t %%"::text = %s', [part.tenants[0]])
    assert survey(connection, collection, least_rows=10).large == []


def test_two_that_move_one_tenant_end_with_its_rows_once_and_one_line(
    connection: Connection, database: str
) -> None:
    collection = make_tenants(connection)
    tenant = largest(connection, collection)
    assert TenantSplit(connection, collection, tenant).run().rows == 1500
    with (
        connect(database) as other,
        pytest.raises(CollectionError, match="another session moves tenant_id 1") as caught,
    ):
        TenantSplit(other, collection, tenant).run()
    assert "\n" not in str(caught.value)
    assert counts(connection) == {"0": sum(SIZES.values()) - 1500, "1": 1500}


def test_a_key_of_types_from_several_schemas_is_copied_in_pages(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split, "BATCH_ROWS", 5)
    connection.execute(
        "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE SCHEMA shop;"
        'CREATE TABLE shop.t (tenant int, "id %" ext.citext, n int, file text, PRIMARY KEY (tenant, "id %", n))'
    )
    keys = [(1, chr((97, 65)[i % 2] + i), i % 3) for i in range(26)]
    for key in keys:
        connection.execute("INSERT INTO shop.t VALUES (%s, %s, %s, 'x.jpg')", key)
    collection = make_collection(connection, "shop.t", partition_by="tenant")
    embed(connection, collection, dict.fromkeys(keys, (1.0, 0.0, 0.0)))
    seen: list[int] = []
    TenantSplit(connection, collection, largest(connection, collection, 10), seen.append).run()
    assert seen[-1] == 26


def test_rows_of_a_view_without_a_tenant_are_nobody_s(
    connection: Connection, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connection.execute(
        "CREATE SCHEMA shop; CREATE TABLE shop.raw (tenant text, id bigint PRIMARY KEY, file text);"
        "CREATE VIEW shop.photo AS SELECT * FROM shop.raw;"
        "INSERT INTO shop.raw SELECT CASE WHEN i % 2 = 0 THEN 'a' END, i, 'x.jpg' FROM generate_series(1, 40) AS i"
    )
    create = "collection create photo_test --source shop.photo --image file --root /srv --model demo --partition-by tenant"
    words = [*create.split(), "--key", "tenant", "--key", "id", "--no-fk", "--dsn", database]
    assert run(cli, words) == 0
    capsys.readouterr()
    assert run(cli, ["collection", "partition", "photo_test", "--rows", "10", "--dsn", database]) == 0
    assert "a: imgvec.photo_test_embedding_1 has its 0 embeddings" in capsys.readouterr().out
    assert run(cli, ["collection", "partition", "photo_test", "--rows", "10", "--dsn", database]) == 0
    assert "no other tenant has 10 rows" in capsys.readouterr().out
