"""Tables of vectors come to autovacuum by what it costs an HNSW index, and as their administrator says."""

from dataclasses import replace

import pytest
from colorshop import request
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.pictures.picture_table import prepare_pictures

SETTINGS = {
    "autovacuum_vacuum_scale_factor": "0.2",
    "autovacuum_vacuum_threshold": "50",
    "autovacuum_vacuum_insert_scale_factor": "0.2",
    "autovacuum_vacuum_insert_threshold": "1000",
}


@pytest.fixture
def tables(scratch: Connection) -> list[str]:
    """Make collections of one table, of partitions, and over pictures."""
    scratch.execute("CREATE TABLE picture (id int PRIMARY KEY, data bytea)")
    create_collection(scratch, request("cut", "picture", image=["data"], partitions=2))
    plain = create_collection(scratch, request("plain", "picture", image=["data"]))
    prepare_pictures(scratch, replace(plain, by_picture=True))
    return ["plain_embedding", "plain_picture", "cut_embedding_0", "cut_embedding_1"]


def settings(connection: Connection, table: str) -> dict[str, str]:
    """Return a table's storage parameters."""
    rows = connection.execute(
        "SELECT o.option_name, o.option_value FROM pg_class AS c, pg_options_to_table(c.reloptions) AS o"
        " WHERE c.oid = %s::regclass",
        [f"imgvec.{table}"],
    )
    return dict(rows.fetchall())


def change(connection: Connection, table: str, what: str) -> None:
    statement = sql.SQL("ALTER TABLE imgvec.{} " + what).format(sql.Identifier(table))  # type: ignore[arg-type]
    connection.execute(statement)


def test_new_tables_of_vectors_have_settings_of_their_own(scratch: Connection, tables: list[str]) -> None:
    assert [settings(scratch, table) for table in tables] == [SETTINGS] * 4
    assert settings(scratch, "cut_embedding") == {}


def test_the_revision_gives_them_to_tables_of_before_and_leaves_what_somebody_set(
    scratch: Connection, tables: list[str]
) -> None:
    for table in tables:
        change(scratch, table, f"RESET ({', '.join(SETTINGS)})")
    own = {"autovacuum_vacuum_scale_factor": "0.03", "fillfactor": "90"}
    change(scratch, "plain_embedding", "SET (autovacuum_vacuum_scale_factor = 0.03, fillfactor = 90)")
    for _ in range(2):
        scratch.execute(load_sql("tables/embedding_vacuum.sql"))
        assert settings(scratch, "plain_embedding") == {**SETTINGS, **own}
        assert [settings(scratch, table) for table in tables[1:]] == [SETTINGS] * 3
    assert settings(scratch, "cut_embedding") == {}
