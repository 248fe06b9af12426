"""What PostgreSQL works out as it plans a statement over a source never runs with a superuser's rights."""

from collections.abc import Iterator

import pytest
from owned_source import owned_source
from photostore import X, as_role, embed, make_collection

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.embeddings import EmbeddingStore
from imgvec_pg.store.estimate import estimate_collection
from imgvec_pg.store.integrity.reconcile import list_source, reconcile
from imgvec_pg.store.integrity.verify import verify_collection
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.spec import CollectionSpec

TRAPS = {
    "index": "CREATE INDEX ON m.photo (m.tell('x'))",
    "partial index": "CREATE INDEX ON m.photo (id) WHERE m.tell('x') IS NOT NULL",
    "within a function of SQL": "CREATE FUNCTION m.plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS"
    " $$ SELECT coalesce($1, m.tell('x')) $$; CREATE INDEX ON m.photo (m.plain(file))",
    "statistics": "CREATE STATISTICS m.kept ON (m.tell('x')), id FROM m.photo",
}


@pytest.fixture
def owned(scratch: Connection) -> Iterator[tuple[Connection, str, list[str]]]:
    """A table m.photo of a role, and what the role's function said of who ran it."""
    with owned_source(
        scratch,
        "CREATE TABLE m.photo (id int PRIMARY KEY, file text)",
        "INSERT INTO m.photo VALUES (1, 'a.png'), (2, 'b.png')",
    ) as (owner, said):
        yield scratch, owner, said


def touch_everything(connection: Connection, name: str) -> None:
    collection = get_collection(connection, name)
    list_source(connection, collection)
    verify_collection(connection, collection, contents=True)
    reconcile(connection, collection, contents=True)
    store = EmbeddingStore(connection, collection, vector_schema(connection))
    assert [row.path for row in store.read_images([{"id": 1}])] == ["a.png"]


@pytest.mark.parametrize("comes_later", [True, False])
@pytest.mark.parametrize("trap", TRAPS)
def test_a_superuser_reads_such_a_table_with_its_owners_rights(
    owned: tuple[Connection, str, list[str]], trap: str, comes_later: bool
) -> None:
    connection, owner, said = owned

    def lay() -> None:
        with as_role(connection, owner):
            connection.execute(TRAPS[trap].encode())

    if not comes_later:
        lay()
    said.clear()
    spec = CollectionSpec(
        "photo_test", "m.photo", "file", "test/3", 3, has_text=True, root="/srv", foreign_key=comes_later
    )
    estimate_collection(connection, spec)
    collection = make_collection(connection, "m.photo", foreign_key=comes_later)
    if comes_later:
        lay()
        said.clear()
    touch_everything(connection, "photo_test")
    embed(connection, collection, {1: X})
    assert {line for line in said if line.startswith("ran as")} <= {f"ran as {owner}"}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_superuser_makes_no_foreign_key_to_such_a_table(
    owned: tuple[Connection, str, list[str]], trap: str
) -> None:
    connection, owner, said = owned
    with as_role(connection, owner):
        connection.execute(TRAPS[trap].encode())
    said.clear()
    with pytest.raises(CollectionError, match="no superuser, or add --no-fk"):
        make_collection(connection, "m.photo")
    assert said == []


def test_functions_of_superusers_change_nothing(owned: tuple[Connection, str, list[str]]) -> None:
    connection, _, _ = owned
    connection.execute("CREATE INDEX ON m.photo (lower(file)) WHERE length(file) > 2")
    assert make_collection(connection, "m.photo").reads_as is None
