"""No trigger of ours fails a statement of the application, whatever became of columns, types or our own objects."""

import pytest
from photostore import X, embed, embedded, enqueued, make_collection, make_photos, take_enqueued

from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.collection_ddl import drop_collection
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.integrity.verify import verify_collection

DAMAGES = {
    "column renamed": "ALTER TABLE shop.photo RENAME file TO path",
    "column dropped": "ALTER TABLE shop.photo DROP file",
    "column of another type": "ALTER TABLE shop.photo ALTER file TYPE bytea USING file::bytea",
    "column of json": "ALTER TABLE shop.photo ALTER file TYPE jsonb USING to_jsonb(file)",
    "key renamed": "ALTER TABLE shop.photo RENAME id TO number",
    "key of text": "ALTER TABLE shop.photo ALTER id TYPE text",
    "key of uuid": "ALTER TABLE shop.photo ALTER id TYPE uuid USING gen_random_uuid()",
    "queue gone": "DROP TABLE imgvec.job CASCADE",
    "queue of another shape": "ALTER TABLE imgvec.job RENAME keys TO them",
    "sequence gone": "DROP SEQUENCE imgvec.version_seq",
    "embeddings gone": "DROP TABLE imgvec.photo_test_embedding CASCADE",
    "extension gone": "DROP EXTENSION vector CASCADE",
    "registry gone": "DROP TABLE imgvec.collection CASCADE",
    "notes gone": "DROP TABLE imgvec.unseen_change CASCADE; ALTER TABLE shop.photo RENAME file TO path",
}
FAILURES_GONE = {"failures gone": "DROP TABLE imgvec.failure CASCADE"}


@pytest.mark.parametrize("with_foreign_key", [True, False], ids=["fk", "no-fk"])
@pytest.mark.parametrize("damage", {**DAMAGES, **FAILURES_GONE})
def test_the_application_writes_on(scratch: Connection, damage: str, with_foreign_key: bool) -> None:
    collection = make_photos(scratch, rows=3, foreign_key=with_foreign_key)
    embed(scratch, collection, {1: X, 2: X})
    if with_foreign_key and damage in ("key of text", "key of uuid"):
        scratch.execute(
            "ALTER TABLE imgvec.photo_test_embedding DROP CONSTRAINT photo_test_embedding_source_fkey"
        )
    scratch.execute({**DAMAGES, **FAILURES_GONE}[damage])  # type: ignore[arg-type]
    names = [
        row[0]
        for row in scratch.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'shop.photo'::regclass AND attnum > 0"
        )
    ]
    key = names[0]
    new = {"key of uuid": "gen_random_uuid()", "key of text": "'9'"}.get(damage, "9")
    for statement in (
        f"INSERT INTO shop.photo ({key}, price) VALUES ({new}, 1)",
        f"INSERT INTO shop.photo ({key}, price) SELECT {new.replace('9', '10')}, price FROM shop.photo LIMIT 1",
        "UPDATE shop.photo SET price = price + 1",
        f"UPDATE shop.photo SET {key} = {new.replace('9', '11')} WHERE {key} = (SELECT {key} FROM shop.photo ORDER BY 1 LIMIT 1)",
        "DELETE FROM shop.photo",
    ):
        assert scratch.execute(statement).rowcount > 0  # type: ignore[arg-type]


def test_what_was_not_seen_is_noted_until_it_is_found(scratch: Connection) -> None:
    said: list[str] = []
    scratch.add_notice_handler(lambda notice: said.append(f"{notice.severity}: {notice.message_primary}"))
    collection = make_photos(scratch, rows=2)
    take_enqueued(scratch)
    scratch.execute("ALTER TABLE shop.photo RENAME file TO path")
    for _ in range(3):
        scratch.execute("UPDATE shop.photo SET path = path || '?'")
    scratch.execute("ALTER TABLE shop.photo RENAME path TO file")
    warnings = [
        line
        for line in said
        if line.startswith("WARNING: imgvec: collection photo_test does not see this change")
    ]
    assert len(warnings) == 3
    assert scratch.execute("SELECT count(*) FROM imgvec.unseen_change").fetchone() == (1,)
    found = verify_collection(scratch, collection).differences
    assert "file" in str(found["unseen"].examples)
    reconcile(scratch, collection)
    assert enqueued(scratch) == [1, 2]
    assert "unseen" not in verify_collection(scratch, collection).differences
    drop_collection(scratch, collection)


VIRTUAL = "text GENERATED ALWAYS AS (code || '.png') VIRTUAL"


@pytest.fixture
def virtual_server(scratch: Connection) -> Connection:
    if scratch.info.server_version < 180000:
        pytest.skip("virtual columns came with PostgreSQL 18")
    scratch.execute("CREATE SCHEMA shop")
    return scratch


@pytest.mark.parametrize(
    "changes",
    [
        {"image": ["file"]},
        {"image": ["code"], "watch": ["file"]},
        {"image": ["code"], "key": ["file"], "foreign_key": False},
    ],
)
def test_a_virtual_column_is_refused_as_picture_watched_column_and_key(
    virtual_server: Connection, changes: dict[str, object]
) -> None:
    virtual_server.execute(f"CREATE TABLE shop.photo (id int PRIMARY KEY, code text, file {VIRTUAL})")  # type: ignore[arg-type]
    with pytest.raises(CollectionError, match=r'"file" of shop.photo is GENERATED … VIRTUAL.*STORED'):
        make_collection(virtual_server, **changes)


def test_a_column_that_became_virtual_warns_and_the_writes_go_on(virtual_server: Connection) -> None:
    virtual_server.execute("CREATE TABLE shop.photo (id int PRIMARY KEY, code text, file text)")
    collection = make_collection(virtual_server)
    virtual_server.execute(f"ALTER TABLE shop.photo DROP file, ADD file {VIRTUAL}")  # type: ignore[arg-type]
    virtual_server.execute("INSERT INTO shop.photo VALUES (1, 'a')")
    virtual_server.execute("UPDATE shop.photo SET code = 'b'")
    with pytest.raises(CollectionError, match="VIRTUAL"), virtual_server.transaction():
        verify_collection(virtual_server, collection)


def test_a_delete_goes_through_with_a_key_type_that_no_longer_compares(scratch: Connection) -> None:
    collection = make_photos(scratch, rows=2, foreign_key=False)
    embed(scratch, collection, {1: X})
    scratch.execute("ALTER TABLE shop.photo ALTER id TYPE text")
    scratch.execute("DELETE FROM shop.photo")
    assert embedded(scratch, collection) == [1]
    with (
        pytest.raises(CollectionError, match=r'"id" of shop.photo is text now; expected bigint'),
        scratch.transaction(),
    ):
        verify_collection(scratch, collection)


def test_an_unlogged_source_wants_no_foreign_key(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA shop; CREATE UNLOGGED TABLE shop.photo (id int PRIMARY KEY, file text)")
    with pytest.raises(CollectionError, match=r"no foreign key can point to shop\.photo .*; add --no-fk"):
        make_collection(connection)
    collection = make_collection(connection, foreign_key=False)
    connection.execute("INSERT INTO shop.photo VALUES (1, 'a.jpg')")
    assert enqueued(connection, collection) == [1]
