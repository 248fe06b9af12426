"""Each thing that can be wrong is made wrong, and found."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from colorshop import make_shop, request
from psycopg import sql
from psycopg.conninfo import make_conninfo

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.doctor.index_and_queue_checks import check_buffers
from imgvec_pg.doctor.run import diagnose
from imgvec_pg.doctor.server_checks import ServerFacts, check_pgvector, check_server
from imgvec_pg.doctor.source_checks import read_collection_facts
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection, drop_collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.integrity.reconcile import list_source, reconcile

NAME = "product_color"


@pytest.fixture
def shop(connection: Connection) -> Collection:
    collection = make_shop(connection)
    list_source(connection, collection)
    return collection


def found(connection: Connection, word: str) -> Finding:
    """Return the worst finding that says `word`."""
    matching = [finding for finding in diagnose(connection) if word in finding.met]
    assert matching, [finding.met for finding in diagnose(connection)]
    return min(matching, key=lambda finding: ["error", "warning", "info", "ok"].index(finding.level))


def levels(connection: Connection) -> set[str]:
    return {finding.level for finding in diagnose(connection)}


def test_a_healthy_shop_has_neither_error_nor_warning(connection: Connection, shop: Collection) -> None:
    build_index(connection, shop)
    connection.execute("SET hnsw.iterative_scan = strict_order")
    findings = diagnose(connection)
    assert [f for f in findings if f.level in ("error", "warning")] == []
    assert any("HNSW index is valid" in f.met for f in findings)


def test_an_empty_database_is_told_to_migrate(
    empty_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["doctor", "--dsn", empty_database]) == 1
    output = capsys.readouterr().out
    assert output.startswith("error    database: the extension vector (pgvector) is not installed\n")
    assert "         → imgvec migrate\n" in output
    assert "2 errors" in output.splitlines()[-1]


def test_a_migrated_database_is_told_to_make_a_collection(connection: Connection) -> None:
    finding = found(connection, "no collection yet")
    assert finding.level == "info" and str(finding.next_step).startswith("imgvec collection create")
    assert found(connection, "iterative_scan").next_step == (
        "imgvec migrate --database-defaults (search_* and imgvec search set it themselves)"
    )


@pytest.mark.parametrize(
    ("damage", "word", "level", "step"),
    [
        ("ALTER TABLE shop.product RENAME picture TO photo", '"picture"', "error", "RENAME COLUMN … TO"),
        ("ALTER TABLE shop.product RENAME id TO number", '"id"', "error", "RENAME COLUMN … TO"),
        ("DROP TABLE shop.product CASCADE", "source table was dropped", "error", f"collection drop {NAME}"),
        (f"DROP TABLE imgvec.{NAME}_embedding CASCADE", "_embedding was dropped", "error", "collection drop"),
        (f"DROP TRIGGER imgvec_{NAME}_update ON shop.product", "lacks trigger", "error", "reconcile"),
        ("ALTER TABLE shop.product DISABLE TRIGGER USER", "disabled", "error", "ENABLE TRIGGER"),
        ("ALTER TABLE shop.product ENABLE ROW LEVEL SECURITY", "row-level security", "error", "reconcile"),
        (
            f"ALTER TABLE imgvec.{NAME}_embedding DROP CONSTRAINT {NAME}_embedding_source_fkey",
            "foreign key",
            "error",
            "reconcile",
        ),
        ("ALTER TABLE shop.product ALTER id TYPE bigint", "is bigint", "warning", "alter-key"),
        ("UPDATE imgvec.collection SET listed_at = NULL", "have been enqueued", "warning", "imgvec backfill"),
        (
            "UPDATE shop.product SET picture = 'x' WHERE id = 1",
            "1 row waits and no worker runs now",
            "warning",
            "imgvec worker",
        ),
        (
            "INSERT INTO imgvec.job (collection_id, version, keys, token, lease_until)"
            " SELECT id, 1, '[{\"id\": 1}]', gen_random_uuid(), now() - interval '1 hour' FROM imgvec.collection",
            "died or hang",
            "warning",
            "imgvec backfill",
        ),
        (
            "INSERT INTO imgvec.failure SELECT id, '{\"id\": 1}', 1, 'empty', 'x', 1 FROM imgvec.collection",
            "could not be embedded",
            "warning",
            "imgvec failures",
        ),
        ("UPDATE imgvec.alembic_version SET version_num = '9999'", "does not know", "error", "pip install"),
        ("DELETE FROM imgvec.alembic_version", "revision None", "error", "imgvec migrate"),
        (
            "UPDATE pg_extension SET extversion = '0.8.1' WHERE extname = 'vector'",
            "too old",
            "error",
            "UPDATE",
        ),
        (
            "UPDATE pg_extension SET extversion = '0.8.3' WHERE extname = 'vector'",
            "VACUUM",
            "warning",
            "REINDEX",
        ),
        ("REVOKE INSERT ON imgvec.job FROM imgvec_worker", "lacks its rights", "warning", "imgvec migrate"),
        ("SET session_replication_role = replica", "no trigger fires", "error", "RESET"),
    ],
)
def test_doctor_finds(
    connection: Connection, shop: Collection, damage: str, word: str, level: str, step: str
) -> None:
    connection.execute(sql.SQL(damage))
    finding = found(connection, word)
    assert finding.level == level
    assert step in str(finding.next_step)
    assert "\n" not in finding.met + str(finding.next_step)


@pytest.mark.parametrize(
    "damage",
    [
        f"DROP TRIGGER imgvec_{NAME}_update ON shop.product",
        f"DROP TRIGGER imgvec_{NAME}_insert ON shop.product",
        "ALTER TABLE shop.product ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE imgvec.{NAME}_embedding DROP CONSTRAINT {NAME}_embedding_source_fkey",
    ],
)
def test_reconcile_mends_what_doctor_found(connection: Connection, shop: Collection, damage: str) -> None:
    connection.execute(damage)
    assert "error" in levels(connection)
    reconcile(connection, shop)
    assert "error" not in levels(connection)


def test_a_collection_without_its_insert_trigger_can_still_be_dropped(
    connection: Connection, shop: Collection
) -> None:
    connection.execute(f"DROP TRIGGER imgvec_{NAME}_insert ON shop.product")
    drop_collection(connection, shop)
    connection.execute("UPDATE shop.product SET picture = 'y'")


def test_an_invalid_index_is_an_error(connection: Connection, shop: Collection) -> None:
    build_index(connection, shop)
    connection.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass",
        [f"imgvec.{shop.embedding_table}_hnsw"],
    )
    finding = found(connection, "INVALID")
    assert (finding.level, finding.next_step) == ("error", f"imgvec backfill {NAME}")


def test_an_attached_partition_without_triggers_is_a_warning(connection: Connection) -> None:
    connection.execute("CREATE TABLE part (id int PRIMARY KEY, picture bytea) PARTITION BY RANGE (id)")
    connection.execute("CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10)")
    collection = create_collection(connection, request("parts", "part"))
    connection.execute("CREATE TABLE part_2 (LIKE part INCLUDING ALL)")
    connection.execute("ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM (10) TO (20)")
    assert found(connection, "part_2").level == "warning"
    reconcile(connection, collection)
    assert found(connection, "all triggers").met == "all triggers are in place on 3 tables"


def test_a_view_is_a_blind_spot(connection: Connection, shop: Collection) -> None:
    connection.execute("CREATE VIEW shop.shown AS SELECT * FROM shop.product")
    create_collection(connection, request("shown", "shop.shown", key=["id"], foreign_key=False))
    assert "reconcile shown" in str(found(connection, "tells nobody").next_step)


def test_what_is_estimated_is_not_said_to_be_counted(connection: Connection, shop: Collection) -> None:
    connection.execute("ANALYZE")
    assert "(about 8 embeddings)" in found(connection, "no index yet").met


def test_a_subscription_is_a_blind_spot(connection: Connection, shop: Collection) -> None:
    connection.execute(
        "CREATE SUBSCRIPTION imgvec_test_feed CONNECTION 'dbname=none' PUBLICATION feed"
        " WITH (connect = false, slot_name = NONE)"
    )
    connection.execute(
        "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)"
        " SELECT oid, 'shop.product'::regclass, 'r' FROM pg_subscription WHERE subname = 'imgvec_test_feed'"
    )
    finding = found(connection, "imgvec_test_feed")
    assert (finding.level, finding.next_step) == ("warning", f"schedule: imgvec collection reconcile {NAME}")
    connection.execute("DROP SUBSCRIPTION imgvec_test_feed")


def test_rows_of_a_partitioned_embedding_table_are_counted(connection: Connection, shop: Collection) -> None:
    collection = create_collection(connection, request("halves", partitions=2))
    connection.execute(f"INSERT INTO imgvec.halves_embedding SELECT * FROM imgvec.{NAME}_embedding; ANALYZE")
    assert read_collection_facts(connection, collection).estimated_rows == 8


@pytest.fixture
def member(connection: Connection, database: str) -> Iterator[str]:
    """Give the connection string of a role that may work, and nothing else."""
    name = f"imgvec_test_member_{connection.info.backend_pid}"
    role = sql.Identifier(name)
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x' IN ROLE imgvec_worker").format(role))
    yield make_conninfo(database, user=name, password="x")
    connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
    connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_rights_that_a_worker_lacks_are_named(connection: Connection, shop: Collection, member: str) -> None:
    connection.execute("ALTER TABLE shop.product ENABLE ROW LEVEL SECURITY")
    reconcile(connection, shop)
    finding = found(connection, "cannot run a worker")
    assert finding.level == "warning"
    for step in str(finding.next_step).split("; "):
        connection.execute(step)
    assert not [f for f in diagnose(connection) if "cannot run a worker" in f.met]


def test_a_role_without_rights_gets_an_answer(
    connection: Connection, shop: Collection, member: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        connect(member).close()
    except Exception:
        pytest.skip("the server asks this role for another login")
    connection.execute("REVOKE SELECT ON imgvec.failure FROM imgvec_worker")
    assert run(cli, ["doctor", "--dsn", member, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert any("not all was looked at" in finding["met"] for finding in answer["findings"])


def test_doctor_changes_nothing(connection: Connection, shop: Collection) -> None:
    with connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        diagnose(connection)


def facts(**changes: object) -> ServerFacts:
    values: dict[str, object] = {
        "server_version": "16.4",
        "server_version_num": 160004,
        "database_name": "shop",
        "role_name": "ann",
        "pgvector": "0.8.6",
        "pgvector_offered": "0.8.6",
        "iterative_scan": "strict_order",
        "cursor_tuple_fraction": 1.0,
        "replication_role": "origin",
        "is_standby": False,
        "is_read_only": False,
        "shared_buffers": 128 << 20,
        "maintenance_work_mem": 64 << 20,
        "has_schema": True,
        "may_use_schema": True,
        **changes,
    }
    return ServerFacts(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "level"),
    [(150000, "warning"), (160004, "ok"), (170001, "info"), (180006, "ok"), (190000, "info")],
)
def test_server_versions(version: int, level: str) -> None:
    assert [f.level for f in check_server(facts(server_version_num=version))] == [level]


def test_a_pgvector_that_can_be_updated_says_how() -> None:
    first = next(check_pgvector(facts(pgvector="0.8.2", pgvector_offered="0.8.6")))
    assert (first.level, str(first.next_step).split(";")[0]) == ("warning", "ALTER EXTENSION vector UPDATE")
    first = next(check_pgvector(facts(pgvector="0.8.0", pgvector_offered="0.8.0")))
    assert (first.level, str(first.next_step).split(",")[0]) == (
        "error",
        "install pgvector 0.8.4 or newer on the server",
    )


def test_indexes_larger_than_shared_buffers_are_a_warning() -> None:
    assert not list(check_buffers(facts(), 100 << 20))
    assert [f.level for f in check_buffers(facts(), 200 << 20)] == ["warning"]


def test_sql_errors_other_than_rights_are_not_hidden(connection: Connection) -> None:
    connection.execute("DROP TABLE imgvec.job CASCADE")
    with pytest.raises(psycopg.errors.UndefinedTable):
        diagnose(connection)
