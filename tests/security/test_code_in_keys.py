"""A key whose values run what the source's owner has written is refused: keys are read and counted with other rights."""

import pytest
from photostore import as_role, make_collection, new_role

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import CollectionError

MAKE = """
    CREATE SCHEMA m;
    CREATE FUNCTION m.apart(float8, float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN RAISE NOTICE 'ran as %', current_user; RETURN $1 - $2; END $$;
    CREATE DOMAIN m.checked AS text CHECK (VALUE <> '');
    CREATE TYPE m.spans AS RANGE (subtype = float8, subtype_diff = m.apart);
    CREATE TYPE m.checked_spans AS RANGE (subtype = m.checked);
    CREATE DOMAIN m.spans_of_domain AS m.checked_spans;
    CREATE TYPE m.part AS (a m.checked);
    CREATE TYPE m.deep AS (a m.checked_spans)
"""
TYPES = (
    "m.spans",
    "m.spans[]",
    "m.spans_of_domain",
    "m.checked_spans",
    "m.checked_spans[]",
    "m.part[]",
    "m.deep[]",
    "MULTIRANGE",
)


@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("type_name", TYPES)
def test_a_key_that_runs_code_of_others_is_refused(
    connection: Connection, type_name: str, chosen: bool
) -> None:
    with new_role(connection, "CREATE ON DATABASE " + connection.info.dbname) as owner:
        with as_role(connection, owner):
            connection.execute(MAKE.encode())
            if type_name == "MULTIRANGE":
                found = connection.execute(
                    "SELECT rngmultitypid::regtype::text FROM pg_range WHERE rngtypid = 'm.spans'::regtype"
                ).fetchone()
                type_name = found[0] if found else ""
            connection.execute(f"CREATE TABLE m.photo (id {type_name} PRIMARY KEY, file text)".encode())
        options = {"key": ["id"], "foreign_key": False} if chosen else {}
        with pytest.raises(CollectionError, match=r"whose values run|array of a domain"):
            make_collection(connection, "m.photo", **options)
        # Nothing is left behind.
        assert connection.execute(
            "SELECT count(*) FROM imgvec.collection WHERE name <> 'image'"
        ).fetchone() == (0,)


def test_ranges_without_code_and_of_superusers_are_keys(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA m; CREATE TYPE m.times AS RANGE (subtype = time)")
    connection.execute(
        "CREATE FUNCTION m.apart(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN $1 - $2;"
        " CREATE TYPE m.spans AS RANGE (subtype = float8, subtype_diff = m.apart)"
    )
    for number, type_name in enumerate(("m.times", "m.spans", "int4range", "tstzrange[]")):
        connection.execute(f"CREATE TABLE m.photo_{number} (id {type_name} PRIMARY KEY, file text)".encode())
        make_collection(connection, f"m.photo_{number}", f"photo_{number}")


def test_a_jsonb_key_is_refused(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA m; CREATE TABLE m.photo (id jsonb PRIMARY KEY, file text)")
    with pytest.raises(CollectionError, match="is jsonb"):
        make_collection(connection, "m.photo")
