import gc

from imgvec_pg.transfer.garbage import collected_rarely


def young_collections() -> int:
    return int(gc.get_stats()[0]["collections"])


def keep_tuples(count: int) -> list[tuple[bytes, ...]]:
    return [(b"%d" % number, b"") for number in range(count)]


def test_rows_that_are_kept_are_not_searched_for_cycles() -> None:
    before = young_collections()
    kept = keep_tuples(50_000)
    assert young_collections() > before
    with collected_rarely():
        before = young_collections()
        kept = keep_tuples(50_000)
        assert young_collections() == before
    assert kept


def test_python_looks_as_before_once_it_is_over() -> None:
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    with collected_rarely():
        assert gc.get_freeze_count() > frozen
        assert gc.get_threshold() > thresholds
    assert gc.get_threshold() == thresholds
    assert gc.get_freeze_count() == 0
