"""A superuser's condition plans nothing that runs what others have written: tables and ranges of theirs."""

from contextlib import suppress

import pytest
from photostore import as_role, make_collection, new_role
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.search.code_of_others import refuse_code_of_others
from imgvec_pg.store.registry import get_collection

MAKE = """
    CREATE SCHEMA m;
    CREATE FUNCTION m.tell(what text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN RAISE NOTICE 'ran as %', current_user; RETURN what; END $$;
    CREATE FUNCTION m.apart(float8, float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN PERFORM m.tell(''); RETURN $1 - $2; END $$;
    CREATE TYPE m.spans AS RANGE (subtype = float8, subtype_diff = m.apart);
    CREATE TABLE m.photo (id int PRIMARY KEY, file text, span m.spans);
    INSERT INTO m.photo SELECT i, i || '.png', m.spans(i, i + 4) FROM generate_series(1, 300) AS i;
    CREATE TABLE m.other (id int PRIMARY KEY);
    CREATE INDEX ON m.other (id) WHERE m.tell('') IS NOT NULL;
    CREATE VIEW m.view AS SELECT id FROM m.other;
    ANALYZE m.photo
"""
CONDITIONS = (
    "span > '[100,110)'",
    "span && '[3,4]'",
    "id IN (SELECT o.id FROM m.other AS o)",
    "EXISTS (SELECT FROM m.view AS v WHERE v.id = 3)",
)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_runs_nothing_as_the_superuser(connection: Connection, condition: str) -> None:
    said: list[str] = []
    with new_role(connection, "CREATE ON DATABASE " + connection.info.dbname) as owner:
        with as_role(connection, owner):
            connection.execute(MAKE.encode())
        make_collection(connection, "m.photo", foreign_key=False)
        collection = get_collection(connection, "photo_test")
        connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        with suppress(UsageError):
            refuse_code_of_others(connection, collection, condition)
            asked = sql.SQL("SELECT count(*) FROM {} AS s WHERE {}").format(
                collection.rows, sql.SQL(condition)
            )
            connection.execute(asked)
        assert {line for line in said if line.startswith("ran as")} <= {f"ran as {owner}"}
        connection.execute("DROP SCHEMA m CASCADE")
