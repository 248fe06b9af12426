"""Collections divided by tenant: what is asked of one tenant reads its partition alone, and gives what comparing all gives."""

import json
import re
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from ormshop import sqlalchemy_url
from photostore import make_collection
from tenantshop import DIMENSIONS, SIZES, TABLE, exact, make_tenants, search_tenant, strategy, vector

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.sqlalchemy import search
from imgvec_pg.store.aliases import create_alias, get_alias, point_alias
from imgvec_pg.store.index.ddl import has_valid_index, index_states
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.setup.stale_functions import find_stale_functions
from imgvec_pg.tenants.split import TenantSplit
from imgvec_pg.tenants.survey import survey

LARGE = 1000


def split_large(connection: Connection, least_rows: int = LARGE) -> None:
    collection = get_collection(connection, "photo_test")
    for tenant in survey(connection, collection, least_rows=least_rows).large:
        TenantSplit(connection, collection, tenant).run()


def scanned_tables(connection: Connection, statement: str) -> set[str]:
    """Return the tables that a plan reads."""
    lines = [line for (line,) in connection.execute(f"EXPLAIN {statement}")]  # type: ignore[arg-type]
    return set(re.findall(r"\bon (photo_test_embedding(?:_\d+)?)(?:\s|$)", "\n".join(lines)))


def locked_tables(connection: Connection, statement: str, values: list[Any]) -> set[str]:
    """Return the embedding tables and partitions that a statement locks, which are those that its plans might read."""
    with connection.transaction():
        connection.execute(statement, values)  # type: ignore[arg-type]
        return {
            name
            for (name,) in connection.execute(
                "SELECT c.relname FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation"
                " WHERE l.pid = pg_backend_pid() AND c.relname ~ '^photo_test_embedding(_[0-9]+)?$'"
            )
        }


def test_a_search_of_one_tenant_finds_its_nearest_rows_and_reads_its_partition_alone(
    connection: Connection,
) -> None:
    make_tenants(connection)
    before = {tenant: search_tenant(connection, vector(7), tenant) for tenant in SIZES}
    split_large(connection)
    collection = get_collection(connection, "photo_test")
    assert [state.table_name for state in index_states(connection, collection)] == [
        "photo_test_embedding_1",
        "photo_test_embedding_2",
    ]
    for tenant, table in {1: 1, 2: 2, 3: 0, 4: 0, 5: 0}.items():
        wanted = exact(connection, vector(7), tenant, 10)
        assert before[tenant] == wanted
        found = search_tenant(connection, vector(7), tenant)
        assert strategy(connection) == ("index" if table else "exact")
        assert len(found) == 10 and len(set(found) & set(wanted)) >= 9
        assert table or found == wanted
        call = "SELECT * FROM imgvec.search_tenant_photo_test(%s::halfvec, 10, tenant => %s)"
        locked = locked_tables(connection, call, [vector(7), tenant])
        assert locked == {"photo_test_embedding", f"photo_test_embedding_{table}"}
        near = f"SELECT * FROM imgvec.near_photo_test('{vector(7)}') WHERE tenant_id = {tenant} ORDER BY distance LIMIT 10"
        assert scanned_tables(connection, near) == {f"photo_test_embedding_{table}"}
        joined = near.replace(
            " WHERE tenant_id", " JOIN shop.photo AS p USING (tenant_id, id) WHERE price < 900 AND tenant_id"
        )
        assert scanned_tables(connection, joined) == {f"photo_test_embedding_{table}"}


def test_generic_plans_are_pruned_as_they_start(connection: Connection) -> None:
    make_tenants(connection)
    split_large(connection)
    connection.execute("SET plan_cache_mode = force_generic_plan")
    connection.execute(
        "PREPARE nearest (int) AS SELECT id FROM imgvec.near_photo_test("
        f"'{vector(7)}') WHERE tenant_id = $1 ORDER BY distance LIMIT 10"  # type: ignore[arg-type]
    )
    lines = "\n".join(line for (line,) in connection.execute("EXPLAIN EXECUTE nearest (2)"))
    assert "Subplans Removed: 2" in lines and "photo_test_embedding_2_hnsw" in lines
    found = [key for (key,) in connection.execute("EXECUTE nearest (4)")]
    assert found == [key for _, key in exact(connection, vector(7), 4, 10)]


def test_a_search_over_all_tenants_reads_each_index_and_compares_the_small(connection: Connection) -> None:
    make_tenants(connection)
    split_large(connection)
    statement = "SELECT tenant_id, id FROM imgvec.search_photo_test(%s::halfvec, 20)"
    found = connection.execute(statement, [vector(7)]).fetchall()
    assert strategy(connection) == "index"
    wanted = connection.execute(
        "SELECT tenant_id, id FROM imgvec.photo_test_embedding ORDER BY (embedding <=> %s::halfvec) + 0 LIMIT 20",
        [vector(7)],
    ).fetchall()
    assert len(set(found) & set(wanted)) >= 18


def test_a_tenant_without_rows_gives_none_and_no_tenant_is_an_error(connection: Connection) -> None:
    make_tenants(connection)
    split_large(connection)
    assert search_tenant(connection, vector(7), 6) == []
    assert (
        connection.execute(
            "SELECT * FROM imgvec.near_photo_test(%s::halfvec) WHERE tenant_id = 6", [vector(7)]
        ).fetchall()
        == []
    )
    with pytest.raises(psycopg.errors.NullValueNotAllowed, match="no tenant is given") as caught:
        search_tenant(connection, vector(7), None)
    assert '"tenant" => ' in str(caught.value.diag.message_hint)


def test_among_and_different_pictures_stay_within_the_tenant(connection: Connection) -> None:
    make_tenants(connection)
    split_large(connection)
    call = (
        "SELECT tenant_id, id FROM imgvec.search_tenant_photo_test(%s::halfvec, 30, distinct_pictures => {},"
        " among => ARRAY(SELECT ROW(tenant_id, id)::imgvec.photo_test_key FROM shop.photo WHERE {}), tenant => %s)"
    )
    for tenant in (1, 3):
        few = connection.execute(call.format("false", "id <= 12"), [vector(7), tenant]).fetchall()  # type: ignore[arg-type]
        assert few == [key for key in exact(connection, vector(7), tenant, 2000) if key[1] <= 12]
        assert connection.execute(call.format("false", "false"), [vector(7), tenant]).fetchall() == []  # type: ignore[arg-type]
    connection.execute("UPDATE imgvec.photo_test_embedding SET content_hash = '\\x77' WHERE id % 2 = 0")
    distinct = connection.execute(call.format("true", "true"), [vector(7), 4]).fetchall()  # type: ignore[arg-type]
    # Of 20 rows ten have a picture of their own.
    assert len(distinct) == 11 and (4, 2) in distinct


def test_by_hash_a_search_of_one_tenant_reads_one_partition(connection: Connection, database: str) -> None:
    sizes = dict.fromkeys(range(2, 42), 40) | {1: 3000}
    collection = make_tenants(connection, sizes, partitions=3)
    assert (collection.partition_by, collection.partitions) == ("tenant_id", 3)
    assert run(cli, ["index", "create", "photo_test", "--dsn", database]) == 0
    assert len(index_states(connection, collection)) == 4 and has_valid_index(connection, collection)
    for tenant, expected in ((1, "index"), (2, "exact"), (99, "exact")):
        found, wanted = search_tenant(connection, vector(7), tenant), exact(connection, vector(7), tenant, 10)
        assert strategy(connection) == expected
        assert len(found) == len(wanted) and len(set(found) & set(wanted)) >= len(wanted) - 1
        near = f"SELECT * FROM imgvec.near_photo_test('{vector(7)}') WHERE tenant_id = {tenant} ORDER BY distance LIMIT 10"
        assert len(scanned_tables(connection, near)) == 1


def test_tenants_by_text_and_a_key_that_does_not_begin_with_them(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA shop")
    connection.execute(
        "CREATE TABLE shop.photo (id bigint, tenant text, part uuid, file text, PRIMARY KEY (id, tenant, part))"
    )
    names = ("o'hara", '50% \\ "x"', "small")
    for name, rows in zip(names, (300, 200, 5), strict=True):
        connection.execute(
            "INSERT INTO shop.photo SELECT i, %s, gen_random_uuid(), 'x' FROM generate_series(1, %s) AS i",
            [name, rows],
        )
    collection = make_collection(connection, dimensions=DIMENSIONS, partition_by="tenant")
    connection.execute(
        "INSERT INTO imgvec.photo_test_embedding (id, tenant, part, embedding, version, content_hash, precision)"
        " SELECT id, tenant, part, %s::halfvec, 1, '', 'fp32' FROM shop.photo",
        [vector(1)],
    )
    for tenant in survey(connection, collection, least_rows=100).large:
        TenantSplit(connection, collection, tenant).run()
    found = survey(connection, collection, least_rows=100)
    assert [part.tenants for part in found.partitions] == [(names[0],), (names[1],)] and found.large == []
    counts = dict(
        connection.execute(
            "SELECT tableoid::regclass::text, count(*) FROM imgvec.photo_test_embedding GROUP BY 1"
        ).fetchall()
    )
    assert counts == {
        f"imgvec.photo_test_embedding_{place}": rows for place, rows in ((1, 300), (2, 200), (0, 5))
    }
    for name in names:
        # The parameter is not called as the key's column.
        statement = (
            "SELECT DISTINCT tenant FROM imgvec.search_tenant_photo_test(%s::halfvec, 300, tenant_ => %s)"
        )
        assert connection.execute(statement, [vector(2), name]).fetchall() == [(name,)]
    connection.execute("SET enable_seqscan = off")
    plan = connection.execute(
        "EXPLAIN SELECT embedding FROM imgvec.photo_test_embedding WHERE tenant = 'small'"
    )
    assert "photo_test_embedding_0_tenant_idx" in "\n".join(line for (line,) in plan)


def test_what_cannot_be_divided_is_one_line(connection: Connection) -> None:
    connection.execute(TABLE)
    for column, expected in (
        ("nobody", 'shop.photo has no column "nobody" to partition by; its key has: tenant_id, id'),
        (
            "price",
            r'"price" is not in the key of shop\.photo \(tenant_id, id\).* make the primary key \(price, tenant_id, id\)',
        ),
    ):
        with pytest.raises(CollectionError, match=expected):
            make_collection(connection, partition_by=column)
    connection.execute("CREATE TABLE shop.single (id bigint PRIMARY KEY, file text)")
    with pytest.raises(CollectionError, match=r'no other key column than "id".*--partitions N'):
        make_collection(connection, "shop.single", partition_by="id")
    for options, expected in (
        ({"quantization": "bit"}, "--quantize none"),
        ({"index_method": "ivfflat"}, "--hash N"),
    ):
        with pytest.raises(UsageError, match=expected):
            make_collection(connection, partition_by="tenant_id", **options)
    assert connection.execute("SELECT count(*) FROM imgvec.collection").fetchone() == (0,)


def test_row_security_by_tenant_holds_in_every_partition(connection: Connection, database: str) -> None:
    connection.execute(TABLE)
    connection.execute("DROP SCHEMA shop CASCADE")
    make_tenants(connection)
    split_large(connection)
    connection.execute("ALTER TABLE shop.photo ENABLE ROW LEVEL SECURITY")
    connection.execute(
        "CREATE POLICY own ON shop.photo USING (tenant_id = current_setting('app.tenant')::int)"
    )
    connection.execute(
        "GRANT USAGE ON SCHEMA shop TO imgvec_reader; GRANT SELECT ON shop.photo TO imgvec_reader"
    )
    assert run(cli, ["collection", "reconcile", "photo_test", "--dsn", database]) == 0
    with connect(database) as reader:
        reader.execute("SET ROLE imgvec_reader; SET app.tenant = '2'")
        for statement in (
            "SELECT DISTINCT tenant_id FROM imgvec.near_photo_test(%s::halfvec)",
            "SELECT DISTINCT tenant_id FROM imgvec.search_photo_test(%s::halfvec, 100)",
            "SELECT DISTINCT tenant_id FROM imgvec.search_tenant_photo_test(%s::halfvec, 100, tenant => 2)",
        ):
            assert reader.execute(statement, [vector(7)]).fetchall() == [(2,)]  # type: ignore[arg-type]
        for tenant in (1, 3):
            assert search_tenant(reader, vector(7), tenant) == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("SELECT FROM imgvec.photo_test_embedding_1")


def test_an_alias_searches_one_tenant_of_the_collection_that_it_means(connection: Connection) -> None:
    make_tenants(connection)
    split_large(connection)
    make_collection(connection, name="plain", dimensions=DIMENSIONS)
    connection.execute(
        "INSERT INTO imgvec.plain_embedding SELECT * FROM imgvec.photo_test_embedding WHERE tenant_id < 4"
    )
    create_alias(connection, "shown", "photo_test")
    call = "SELECT tenant_id, id FROM imgvec.search_tenant_shown(%s::halfvec, 3, tenant => 4)"
    assert connection.execute(call, [vector(7)]).fetchall() == exact(connection, vector(7), 4, 3)
    connection.execute("CREATE VIEW shop.nearest AS " + call.replace("%s", "NULL"))  # type: ignore[operator]
    plain, split = get_collection(connection, "plain"), get_collection(connection, "photo_test")
    with pytest.raises(CollectionError, match="needs the search of one tenant"), connection.transaction():
        point_alias(connection, get_alias(connection, "shown"), plain)
    connection.execute("DROP VIEW shop.nearest")
    for target, expected in ((plain, False), (split, True)):
        with connection.transaction():
            point_alias(connection, get_alias(connection, "shown"), target)
        there = "SELECT EXISTS (SELECT FROM pg_proc WHERE proname = 'search_tenant_shown')"
        assert connection.execute(there).fetchone() == (expected,)
    assert connection.execute(call, [vector(7)]).fetchall() == exact(connection, vector(7), 4, 3)
    # Each collection has what its kind has, and no release misses any.
    assert find_stale_functions(connection).names == ()


def test_search_from_python_reads_the_index_of_a_large_tenant_and_compares_a_small_one(
    connection: Connection, database: str
) -> None:
    make_tenants(connection)
    split_large(connection)
    photo = sa.table(
        "photo", sa.column("tenant_id", sa.Integer), sa.column("id", sa.BigInteger), schema="shop"
    )
    query = json.loads(vector(7))
    engine = sa.create_engine(sqlalchemy_url(database), poolclass=sa.NullPool)
    with engine.connect() as session:
        for tenant, expected in ((1, "index"), (3, "exact"), (6, "exact")):
            statement = sa.select(photo.c.tenant_id, photo.c.id).where(photo.c.tenant_id == tenant)
            found = search(
                session, statement, query, 10, by="photo_test", key=[photo.c.tenant_id, photo.c.id]
            )
            rows = {(row[0], row[1]) for row in found.rows}
            wanted = exact(connection, vector(7), tenant, 10)
            assert len(rows) == len(wanted) and len(rows & set(wanted)) >= len(wanted) - 1
            assert found.strategy == expected
        everything = search(
            session,
            sa.select(photo.c.tenant_id, photo.c.id),
            query,
            10,
            by="photo_test",
            key=[photo.c.tenant_id, photo.c.id],
        )
        assert len(everything.rows) == 10
