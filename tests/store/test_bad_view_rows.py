"""A row for which a view's expressions fail stops no other, wherever the source is read."""

import pytest
from photostore import X, Y, embed, embedded, lease_job, make_collection, take_enqueued

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.integrity import pages
from imgvec_pg.store.integrity.reconcile import list_source, reconcile
from imgvec_pg.store.integrity.verify import verify_collection

VIEWS = {
    "no base64": "SELECT id, decode(raw, 'base64') AS photo FROM shop.base",
    "no number": "SELECT id, convert_to(raw::numeric::text, 'UTF8') AS photo FROM shop.base",
    "division": "SELECT id, convert_to((1 / (length(raw) - 1))::text, 'UTF8') AS photo FROM shop.base",
    "raised": "SELECT id, shop.check_it(raw) AS photo FROM shop.base",
    "no json": "SELECT id, convert_to(raw::json ->> 'a', 'UTF8') AS photo FROM shop.base",
}
GOOD = {"no base64": "YQ==", "no number": "11", "division": "11", "raised": "11", "no json": '{"a": 1}'}
RAISES = """
    CREATE FUNCTION shop.check_it(raw text) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN IF raw = '!' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN raw::bytea; END $$"""


@pytest.mark.parametrize("has_primary_order", [True, False], ids=["index", "sorted"])
@pytest.mark.parametrize("kind", VIEWS)
def test_a_row_whose_expression_fails_fails_alone(
    scratch: Connection, kind: str, has_primary_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        pages, "ATTEMPTS", (pages.Attempt(20), pages.Attempt(7, by_keys=True), *pages.ATTEMPTS[3:])
    )
    scratch.execute("CREATE SCHEMA shop")
    scratch.execute(RAISES)
    scratch.execute("CREATE TABLE shop.base (id int, raw text)")
    if has_primary_order:
        scratch.execute("ALTER TABLE shop.base ADD PRIMARY KEY (id)")
    scratch.execute(f"CREATE VIEW shop.photo AS {VIEWS[kind]}")  # type: ignore[arg-type]
    scratch.execute("INSERT INTO shop.base SELECT i, %s FROM generate_series(1, 50) AS i", [GOOD[kind]])
    scratch.execute("UPDATE shop.base SET raw = '!' WHERE id IN (1, 23, 24, 50)")
    collection = make_collection(scratch, image=["photo"], key=["id"], foreign_key=False, root=None)
    assert list_source(scratch, collection) == 50
    assert verify_collection(scratch, collection).is_in_step
    take_enqueued(scratch)

    job = lease_job(scratch, collection, range(20, 27))
    stored = job.store.read_images([{"id": key} for key in range(20, 27)])
    assert [image.position for image in stored if image.failure] == [3, 4]
    assert [image.content for image in stored if not image.failure] != []
    assert job.write((20, X), (21, Y)).embedded == 2
    for key in (1, 23, 24, 50):
        bad = lease_job(scratch, collection, [key])
        [read] = bad.store.read_images([{"id": key}])
        assert read.failure is not None
        assert bad.write_failure(key, str(read.failure), reference_hash=read.reference_hash).failure_codes

    embed(scratch, collection, {99: X})
    done = reconcile(scratch, collection)
    assert (done.enqueued, done.orphans_deleted) == (44, 1)
    assert embedded(scratch, collection) == [20, 21]
    verified = verify_collection(scratch, collection)
    assert verified.is_in_step and verified.failed == 4
    take_enqueued(scratch)
    # Once it can be read it is tried again.
    scratch.execute("UPDATE shop.base SET raw = %s", [GOOD[kind]])
    assert reconcile(scratch, collection).changed == 4
