"""Names of key columns that the search over shards has for its own."""

from contextlib import ExitStack

import pytest
from fresh_databases import Server, fresh_database
from psycopg import sql

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import connect
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.spec import CollectionSpec


@pytest.mark.parametrize("column", ["partial", "imgvec_place", "imgvec_shard"])
def test_a_key_column_of_a_taken_name_is_refused_in_one_line(
    server: Server, template: str, capsys: pytest.CaptureFixture[str], column: str
) -> None:
    with ExitStack() as stack:
        here, there = (stack.enter_context(fresh_database(server, template)) for _ in range(2))
        with connect(there) as connection:
            connection.execute(
                sql.SQL("CREATE TABLE public.item ({} bigint PRIMARY KEY, picture bytea)").format(
                    sql.Identifier(column)
                )
            )
            create_collection(
                connection, CollectionSpec("item_test", "public.item", ["picture"], "test/48", 48, True)
            )
        assert run(cli, ["shard", "add", "one", "--at", there, "--dsn", here]) == 0
        capsys.readouterr()
        assert run(cli, ["shard", "span", "item_test", "--shards", "one", "--dsn", here]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert f'key column "{column}" of item_test has a name that the search over shards needs' in line
