"""Verifying beside a long queue: the more is queued, the fewer pages look through all of it."""

import pytest
from photostore import make_collection, make_photos, take_enqueued

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.integrity import pages
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.integrity.verify import verify_collection


def test_pages_grow_with_the_queue_and_find_the_same(
    scratch: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "ATTEMPTS", (pages.Attempt(10), *pages.ATTEMPTS[1:]))
    collection = make_photos(scratch, 100)
    assert list_source(scratch, collection) == 100
    seen: list[int] = []
    found = verify_collection(scratch, collection, progress=seen.append)
    assert (found.source_rows, found.queued, found.differences) == (100, 100, {})
    assert seen == [20, 40, 60, 80, 100, 100]

    take_enqueued(scratch)
    seen.clear()
    found = verify_collection(scratch, collection, progress=seen.append)
    assert seen == [*range(10, 101, 10), 100]
    assert found.differences["missing"].rows == 100


def test_a_page_has_at_most_so_many_rows_whatever_is_queued() -> None:
    assert pages.page_rows_beside(0) == 0
    assert pages.page_rows_beside(1_000_000) == 200_000
    assert pages.page_rows_beside(10**9) == pages.MOST_PAGE_ROWS


@pytest.mark.parametrize("key", ["id", 'id, "n %"', '"n %", id'])
def test_pages_follow_the_order_of_a_key_whose_type_lies_off_the_search_path(
    scratch: Connection, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Compared as text, which is what PostgreSQL finds by name, B comes before a, and all behind it would be passed over."""
    monkeypatch.setattr(pages, "ATTEMPTS", (pages.Attempt(5), *pages.ATTEMPTS[1:]))
    scratch.execute(
        "CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE SCHEMA shop;"
        f' CREATE TABLE shop.photo (id ext.citext COLLATE "C", "n %" int, file text, PRIMARY KEY ({key}))'
    )
    for number in range(26):
        letter = chr((97, 65)[number % 2] + number)
        scratch.execute("INSERT INTO shop.photo VALUES (%s, %s, 'x.jpg')", [letter, number % 2])
    collection = make_collection(scratch)
    take_enqueued(scratch)
    assert verify_collection(scratch, collection).differences["missing"].rows == 26
    assert list_source(scratch, collection) == 26
