"""IMGVEC_FETCH: a function of the application's that reads pictures."""

from pathlib import Path

import pytest
from PIL import Image

from imgvec_pg.backfill.batch.preparation import prepare_image
from imgvec_pg.errors import ImageError, UsageError
from imgvec_pg.images.fetching.application_fetch import Fetch, find_fetch
from imgvec_pg.images.fetching.url import AllowedUrls
from imgvec_pg.store.embeddings import StoredImage


def read_for(collection: str) -> Fetch | None:
    """Be named by IMGVEC_FETCH."""
    return read_it if collection == "known" else None


def read_it(path: str) -> bytes:
    """Read, or do what the path says."""
    if path == "gone":
        raise FileNotFoundError(path)
    if path == "broken":
        raise RuntimeError("no lease")
    if path == "theirs":
        raise ImageError("path_denied", "not yours")
    return path.encode() if path != "text" else path  # type: ignore[return-value]


def test_the_named_function_reads_the_collections_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_fetch("known") is None
    monkeypatch.setenv("IMGVEC_FETCH", f"{__name__}:read_for")
    assert find_fetch("other") is None
    fetch = find_fetch("known")
    assert fetch is not None and fetch("a") == b"a"


@pytest.mark.parametrize(
    ("path", "code", "transient", "message"),
    [
        ("gone", "not_found", True, "'gone' does not exist"),
        ("broken", "fetch_failed", True, "'broken' cannot be read: RuntimeError: no lease"),
        ("theirs", "path_denied", False, "not yours"),
        ("text", "fetch_failed", False, "gave a str for 'text', expected bytes"),
        ("", "empty", False, "has 0 bytes"),
    ],
)
def test_what_it_raises_or_gives_is_judged_as_a_file_is(
    path: str, code: str, transient: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_FETCH", f"{__name__}:read_for")
    fetch = find_fetch("known")
    assert fetch is not None
    with pytest.raises(ImageError, match=message) as caught:
        fetch(path)
    assert (caught.value.code, caught.value.transient) == (code, transient)


@pytest.mark.parametrize("named", ["nonsense", "no.such.module:f", f"{__name__}:no_such", ":f"])
def test_a_name_of_no_function_is_refused(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_FETCH", named)
    with pytest.raises(UsageError, match=r"expected package\.module:function"):
        find_fetch("known")


def test_a_worker_takes_its_bytes_instead_of_a_file(tmp_path: Path) -> None:
    from imgvec_test_embedder import ColorGrid

    file = tmp_path / "red.png"
    Image.new("RGB", (4, 4), "red").save(file)
    stored = StoredImage(position=0, path="cloud/red", content=None, reference_hash=b"")
    prepared = prepare_image(stored, None, ColorGrid(), fetch=lambda path: file.read_bytes())
    assert prepared.prepared.tolist() == [255, 0, 0] * 4


def test_urls_go_to_it_only_where_the_collection_allows_none() -> None:
    from imgvec_test_embedder import ColorGrid

    def fetch(path: str) -> bytes:
        raise ImageError("not_found", "asked the application")

    stored = StoredImage(position=0, path="https://127.0.0.1/a.png", content=None, reference_hash=b"")
    with pytest.raises(ImageError, match="asked the application"):
        prepare_image(stored, None, ColorGrid(), fetch=fetch)
    allowed = AllowedUrls.of(["https://127.0.0.1"])
    with pytest.raises(ImageError) as caught:
        prepare_image(stored, None, ColorGrid(), allowed, fetch)
    assert caught.value.code == "address_denied"
