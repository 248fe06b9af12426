"""Something else under the source's name is not read: a view would run with a superuser's rights, a table has other pictures."""

from collections.abc import Callable

import pytest
from photostore import X, as_role, lease_job, make_collection, new_role

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.embeddings import EmbeddingStore
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.integrity.verify import verify_collection
from imgvec_pg.store.registry import get_collection

MAKE = """
    CREATE SCHEMA m;
    CREATE FUNCTION m.tell(what text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN RAISE NOTICE 'ran as %', current_user; RETURN what; END $$;
    CREATE TABLE m.photo (id int PRIMARY KEY, file text);
    INSERT INTO m.photo VALUES (1, 'a.png')
"""
SWAPS = {
    "view": "CREATE VIEW m.photo AS SELECT id, m.tell(file) AS file FROM m.older",
    "view of a constant": "CREATE VIEW m.photo AS SELECT id, file FROM m.older WHERE m.tell('') IS NOT NULL",
    "table": "CREATE TABLE m.photo (id int PRIMARY KEY, file text); INSERT INTO m.photo VALUES (1, 'other.png')",
    "nothing": "SELECT",
}
ACTIONS: dict[str, Callable[[Connection, Collection], object]] = {
    "read": lambda c, made: EmbeddingStore(c, made, vector_schema(c)).read_images([{"id": 1}]),
    "write": lambda c, made: lease_job(c, made, [1], version=9).write((1, X)),
    "list": list_source,
    "verify": verify_collection,
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("swap", SWAPS)
def test_what_took_the_sources_name_is_not_read(connection: Connection, swap: str, action: str) -> None:
    said: list[str] = []
    with new_role(connection, "CREATE ON DATABASE " + connection.info.dbname) as owner:
        with as_role(connection, owner):
            connection.execute(MAKE.encode())
        make_collection(connection, "m.photo")
        collection = get_collection(connection, "photo_test")
        with as_role(connection, owner):
            connection.execute("ALTER TABLE m.photo RENAME TO older")
            connection.execute(SWAPS[swap].encode())
        connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
        with pytest.raises(CollectionError, match=r"no longer called m\.photo|does not exist"):
            ACTIONS[action](connection, collection)
        assert not [line for line in said if line.startswith("ran as") and line != f"ran as {owner}"]
        connection.execute("DROP SCHEMA m CASCADE")
