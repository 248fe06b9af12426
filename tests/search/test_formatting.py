import json
from decimal import Decimal

import numpy as np
import pytest

from imgvec_pg.cli.search.print_results import clip, clip_front, fit_lines, fit_widths
from imgvec_pg.errors import UsageError
from imgvec_pg.search.formatting import plain_value, show_safely, show_value
from imgvec_pg.search.nearest import NearestOptions
from imgvec_pg.search.query_types import show_key, vector_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "true"),
        (Decimal("49.90"), "49.90"),
        (7, "7"),
        ("é", "é"),
        ([1, Decimal("2.5"), None], "[1, 2.5, null]"),
        ({"a": "ü"}, '{"a": "ü"}'),
    ],
)
def test_values_are_shown_as_postgresql_prints_them(value: object, shown: str) -> None:
    assert show_value(value) == shown


def test_control_characters_do_not_reach_a_terminal() -> None:
    assert show_safely("a\tb\nc\x1b[31m\x9b") == r"a\tb\nc\x1b[31m\x9b"


def test_plain_values_are_json() -> None:
    value = {"price": Decimal("49.90"), "list": [Decimal(1), "x", {"deep": Decimal("0.5")}]}
    assert json.loads(json.dumps(plain_value(value))) == {"price": 49.9, "list": [1, "x", {"deep": 0.5}]}


def test_keys_are_shown_with_names_where_there_are_several() -> None:
    assert show_key({"id": 7}) == "7"
    assert show_key({"tenant": 3, "code": "a"}) == "tenant=3, code=a"


def test_vector_text_keeps_every_half_exactly() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    read = np.array(json.loads(vector_text(halves.astype(np.float32))), dtype=np.float16)
    assert np.array_equal(read, halves)


def test_widest_columns_give_way_in_a_narrow_terminal() -> None:
    lines = [["distance", "id", "name"], ["0.1", "7", "x" * 100]]
    assert fit_widths(lines, 200) == [8, 2, 100]
    assert fit_widths(lines, 40) == [8, 2, 26]
    assert fit_widths(lines, 5) == [8, 2, 8]


@pytest.mark.parametrize(
    ("cell", "clipped"), [("abcdef", "abcdef"), ("abcdefg", "abcde…"), ("日本語字", "日本…")]
)
def test_cells_are_cut_by_their_width_on_the_screen(cell: str, clipped: str) -> None:
    assert clip(cell, 6) == clipped


@pytest.mark.parametrize(
    ("cell", "clipped"), [("abcdef", "abcdef"), ("abcdefg", "…cdefg"), ("日本語字", "…語字"), ("", "")]
)
def test_cells_that_differ_at_their_end_are_cut_in_front(cell: str, clipped: str) -> None:
    assert clip_front(cell, 6) == clipped


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (["/home/ann/Pictures/a.jpg", "/home/ann/Pictures/b.jpg"], ["…s/a.jpg", "…s/b.jpg"]),
        (["https://x.example/1/a.jpg", "s3://bucket/long/b.jpg"], ["…1/a.jpg", "…g/b.jpg"]),
        (["2019/sea/a.jpg", "2020/mountains/b.jpg"], ["…a/a.jpg", "…s/b.jpg"]),
        (["/home/ann/Pictures/a.jpg", ""], ["…s/a.jpg", ""]),
        (["a long sentence and/or more", "/home/ann/b.jpg"], ["a long…", "/home/a…"]),
    ],
)
def test_a_column_of_paths_shows_their_ends(values: list[str], shown: list[str]) -> None:
    lines = [["id", "where it lies"], *(["7", value] for value in values)]
    fitted = fit_lines(lines, 12)
    assert fitted[0] == ["id", "where i…"]
    assert [line[1] for line in fitted[1:]] == shown


def test_lines_without_rows_are_only_a_header() -> None:
    assert fit_lines([["id", "a long name"]], 12) == [["id", "a long…"]]


@pytest.mark.parametrize("where", ["", " \n", "a\0b"])
def test_condition_must_say_something(where: str) -> None:
    with pytest.raises(UsageError, match="condition is empty"):
        NearestOptions(where=where)
