"""full_name() against format_type(): a key's type as people and frameworks write it becomes the catalogue's name for it."""

import pytest
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql

from imgvec_pg.alembic.offline_sql import planned_collection
from imgvec_pg.database.connect import Connection
from imgvec_pg.store.guarded_columns import BUILT_IN, full_name
from imgvec_pg.store.spec import CollectionSpec

WRITTEN = [
    *(
        "int",
        "INT8",
        "varchar(20)",
        "VARCHAR",
        "char",
        "char(3)",
        "character(3)",
        "numeric(10, 2)",
        "DECIMAL(5)",
    ),
    *(
        "float",
        "float4",
        "timestamp",
        "timestamptz(3)",
        "timestamp(3) with time zone",
        "TIME WITHOUT TIME ZONE",
    ),
    *("timetz", "bool", "varbit(5)", "bit(5)", "bit varying(7)", "uuid", "interval", "bpchar"),
]
COMPILED = [
    *(sa.String(8), sa.Integer(), sa.BigInteger(), sa.Numeric(6, 2), sa.Float(), sa.Double(), sa.DateTime()),
    *(
        sa.DateTime(timezone=True),
        sa.Uuid(),
        sa.CHAR(4),
        sa.Boolean(),
        sa.Time(),
        postgresql.INET(),
        postgresql.BIT(3),
    ),
]


@pytest.mark.parametrize(
    "name",
    [*sorted(BUILT_IN), *WRITTEN, *(kind.compile(postgresql.dialect()) for kind in COMPILED)],  # type: ignore[no-untyped-call]
)
def test_a_name_is_the_catalogues(scratch: Connection, name: str) -> None:
    scratch.execute(sql.SQL("CREATE TEMPORARY TABLE of_it (value {})").format(sql.SQL(name)))
    found = scratch.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'of_it'::regclass AND attnum = 1"
    ).fetchone()
    assert found == (full_name(name),)


@pytest.mark.parametrize("name", ["shop.code", '"Code"', "citext", "my_type(3)"])
def test_a_name_that_is_not_postgresqls_own_stays(name: str) -> None:
    assert full_name(name) == name


@pytest.mark.parametrize("written", ["varchar(20)", "int", "timestamp"])
def test_a_collection_that_is_made_by_a_script_has_the_catalogues_names(written: str) -> None:
    spec = CollectionSpec("x", "shop.photo", "file", "test/3", 3, True, root="/srv", key={"id": written})
    assert planned_collection(spec.resolve()).key_types == [full_name(written)]
