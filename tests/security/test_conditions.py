"""A superuser who searches runs nothing that others have written, neither by a condition nor by the columns that are shown."""

from collections.abc import Callable

import numpy as np
import pytest
from photostore import X, Y, as_role, embed, make_collection
from psycopg import sql

from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.duplicates.find_duplicates import DuplicateSearch, find_duplicates
from imgvec_pg.duplicates.keeper import keep_rules
from imgvec_pg.errors import UsageError
from imgvec_pg.search.display_columns import label_rows
from imgvec_pg.search.nearest import NearestOptions, find_nearest
from imgvec_pg.search.operations.paginate import read_page
from imgvec_pg.search.recall.measure import RecallMeter
from imgvec_pg.search.recall.measurements import RecallOptions
from imgvec_pg.search.rows import is_visible, newest_rows
from imgvec_pg.store.collection import Collection

OWNER = "imgvec_test_shop_owner"
SETUP = """
    CREATE FUNCTION m.tell(what text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN RAISE NOTICE 'ran as % (%)', current_user, what; RETURN what; END $$;
    CREATE TYPE m.color AS ENUM ('red', 'blue');
    CREATE TYPE m.size AS ENUM ('small', 'big');
    CREATE FUNCTION m.to_text(m.color) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN m.tell('cast'); END $$;
    CREATE FUNCTION m.to_json(m.color) RETURNS json LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN PERFORM m.tell('json'); RETURN '1'; END $$;
    CREATE CAST (m.color AS text) WITH FUNCTION m.to_text(m.color) AS IMPLICIT;
    CREATE CAST (m.color AS json) WITH FUNCTION m.to_json(m.color) AS IMPLICIT;
    CREATE FUNCTION m.compare(m.color, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN PERFORM m.tell('operator'); RETURN true; END $$;
    CREATE OPERATOR public.~~~ (LEFTARG = m.color, RIGHTARG = text, FUNCTION = m.compare);
    CREATE FUNCTION m.less(numeric, integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN PERFORM m.tell('better match'); RETURN true; END $$;
    CREATE OPERATOR public.< (LEFTARG = numeric, RIGHTARG = integer, FUNCTION = m.less);
    CREATE DOMAIN m.small AS integer CHECK (m.tell(VALUE::text) IS NOT NULL);
    CREATE VIEW m.expensive AS SELECT 1 AS id WHERE m.tell('view') IS NOT NULL;
    CREATE TABLE m.photo (id integer PRIMARY KEY, file text, name m.color, names m.color[], price numeric, size m.size);
    INSERT INTO m.photo VALUES (1, 'a.png', 'red', '{red}', 5, 'big'), (2, 'b.png', 'blue', NULL, 7, 'small'),
        (3, 'c.png', NULL, NULL, 9, NULL)
"""
REFUSED = {
    "a function": ("m.tell(file) IS NOT NULL", "m.tell(text)"),
    "a function of a constant": ("m.tell('x') = 'x'", "m.tell(text)"),
    "an operator": ("name ~~~ 'red'::text", "~~~(m.color,text)"),
    "a cast that is not named": ("name = 'red'", "m.to_text(m.color)"),
    "a cast": ("name::json IS NOT NULL", "m.to_json(m.color)"),
    "a better match than PostgreSQL's": ("price < 6", "<(numeric,integer)"),
    "a domain's check": ("5::m.small > 1", "m.small"),
    "a view": ("id IN (SELECT e.id FROM m.expensive AS e)", "m.expensive"),
}
ALLOWED = ("price::integer < 6", "size = 'big'", "file LIKE '%a%'", "size IN ('big') AND names IS NOT NULL")


@pytest.fixture
def said(scratch: Connection) -> list[str]:
    """What the owner's code says of who runs it."""
    heard: list[str] = []
    scratch.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
    scratch.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(OWNER)))
    scratch.execute(f"CREATE SCHEMA m AUTHORIZATION {OWNER}; GRANT CREATE ON SCHEMA public TO {OWNER}")
    with as_role(scratch, OWNER):
        scratch.execute(SETUP)
    heard.clear()
    return heard


@pytest.fixture
def photos(scratch: Connection, said: list[str]) -> Collection:
    collection = make_collection(scratch, "m.photo")
    embed(scratch, collection, {1: X, 2: Y, 3: Y})
    said.clear()
    return collection


def by_others(said: list[str]) -> list[str]:
    return [line for line in said if line.startswith("ran as")]


def searches(connection: Connection, photos: Collection, where: str) -> dict[str, Callable[[], object]]:
    query = np.float32(X)
    return {
        "search": lambda: find_nearest(connection, photos, query, NearestOptions(k=2, where=where)),
        "page": lambda: read_page(connection, photos, query, NearestOptions(k=2, where=where)),
        "visible": lambda: is_visible(connection, photos, {"id": 1}, where),
        "recall": lambda: RecallMeter(connection, photos, RecallOptions(where=where)).check(),
    }


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("way", ["search", "page", "visible", "recall"])
def test_a_condition_that_calls_code_of_others_is_refused_before_it_runs(
    scratch: Connection, photos: Collection, said: list[str], kind: str, way: str
) -> None:
    where, named = REFUSED[kind]
    with pytest.raises(UsageError) as raised, scratch.transaction():
        searches(scratch, photos, where)[way]()
    assert f"calls {named} of the role {OWNER}, which would run with the rights of the superuser" in str(
        raised.value
    )
    assert by_others(said) == []


@pytest.mark.parametrize("where", ALLOWED)
def test_a_condition_of_postgresqls_own_is_answered(
    scratch: Connection, photos: Collection, said: list[str], where: str
) -> None:
    found = searches(scratch, photos, where)["search"]()
    assert [row.key for row in found.rows] == [{"id": 1}]  # type: ignore[attr-defined]
    assert by_others(said) == []


def test_two_statements_are_none(scratch: Connection, photos: Collection) -> None:
    with pytest.raises(UsageError, match="does not take the condition"), scratch.transaction():
        searches(scratch, photos, "true; DROP TABLE m.photo")["search"]()


def test_columns_are_shown_without_their_owners_casts(
    scratch: Connection, photos: Collection, said: list[str]
) -> None:
    columns = ("name", "names", "price")
    rows = newest_rows(scratch, photos, columns)
    shown = {row.key["id"]: row.columns for row in rows}
    assert shown[1] == {"name": "red", "names": "{red}", "price": 5}
    assert shown[3] == {"name": None, "names": None, "price": 9}
    assert label_rows(scratch, photos, [{"id": 1}, {"id": 3}]) == {"1": "red"}
    found = find_nearest(scratch, photos, np.float32(X), NearestOptions(columns=columns))
    assert {row.key["id"]: row.columns for row in found.rows} == shown
    assert by_others(said) == []


def test_the_owner_may_use_what_is_theirs(scratch: Connection, photos: Collection, said: list[str]) -> None:
    scratch.execute(f"GRANT imgvec_reader TO {OWNER}")
    with as_role(scratch, OWNER):
        found = searches(scratch, photos, "m.tell(file) = 'a.png'")["search"]()
    assert [row.key for row in found.rows] == [{"id": 1}]  # type: ignore[attr-defined]
    assert set(by_others(said)) == {f"ran as {OWNER} ({name}.png)" for name in "abc"}


@pytest.mark.parametrize("kind", REFUSED)
def test_near_duplicates_are_found_and_kept_by_no_code_of_others(
    scratch: Connection, photos: Collection, said: list[str], kind: str
) -> None:
    condition, named = REFUSED[kind]
    with connect(scratch.info.dsn) as guard:
        for search in (DuplicateSearch(where=condition), DuplicateSearch(keep=(f"({condition}) DESC",))):
            with pytest.raises(UsageError) as raised:
                find_duplicates(scratch, guard, photos, search)
            assert f"calls {named} of the role {OWNER}" in str(raised.value)
    assert by_others(said) == []


def test_a_rule_by_a_word_runs_no_cast_of_others(
    scratch: Connection, photos: Collection, said: list[str]
) -> None:
    scratch.execute("CREATE FUNCTION m.number(m.color) RETURNS numeric RETURN m.tell('width')::numeric")
    scratch.execute(f"ALTER FUNCTION m.number OWNER TO {OWNER}")
    scratch.execute("CREATE CAST (m.color AS numeric) WITH FUNCTION m.number(m.color)")
    scratch.execute("ALTER TABLE m.photo ADD width m.color DEFAULT 'red', ADD height integer DEFAULT 1")
    # Columns of a type of somebody else's are no numbers to a rule of ours.
    assert "pixels" not in {rule.shown for rule in keep_rules(scratch, photos, ())}
    with (
        connect(scratch.info.dsn) as guard,
        pytest.raises(UsageError, match=r"calls m\.number\(m\.color\) of the role"),
    ):
        find_duplicates(scratch, guard, photos, DuplicateSearch(keep=["width::numeric DESC"]))
    assert by_others(said) == []
