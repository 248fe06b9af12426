"""IMGVEC_FETCH: a function of the application's that reads pictures."""

from pathlib import Path

import pytest
from PIL import Image

from imgvec_pg.backfill.batches import prepare_image
from imgvec_pg.errors import UsageError
from imgvec_pg.images.sources import Fetch, find_fetch
from imgvec_pg.store.embeddings import StoredImage


def read_for(collection: str) -> Fetch | None:
    """Be named by IMGVEC_FETCH."""
    return (lambda path: path.encode()) if collection == "known" else None


def test_the_named_function_reads_the_collections_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_fetch("known") is None
    monkeypatch.setenv("IMGVEC_FETCH", f"{__name__}:read_for")
    assert find_fetch("other") is None
    fetch = find_fetch("known")
    assert fetch is not None and fetch("a") == b"a"


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
