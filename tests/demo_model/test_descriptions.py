from pathlib import Path

import pytest

from imgvec_pg.demo.pictures import read_manifest
from tools.demo_model.descriptions import (
    describe_kinds,
    describe_pictures,
    read_descriptions,
    split_validation,
)


def test_every_description_belongs_to_a_picture_or_a_kind() -> None:
    pictures = read_manifest()
    known = {p.name for p in pictures} | {f"[{p.kind}]" for p in pictures}
    assert set(read_descriptions()) <= known


def test_every_kind_is_described() -> None:
    assert all(describe_kinds(read_manifest(), read_descriptions()))


def test_a_woman_farmer_is_described_as_a_farmer() -> None:
    pictures = [p for p in read_manifest() if p.name in ("farmer", "woman farmer")]
    first, second = describe_pictures(pictures, read_descriptions())
    assert first == second != []


def test_phrases_set_aside_are_in_no_description() -> None:
    kept, aside = split_validation(describe_pictures(read_manifest(), read_descriptions()))
    assert len(aside) > 30
    assert not {phrase for phrase, _ in aside} & {phrase for phrases in kept for phrase in phrases}


def test_a_line_without_phrases_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("red apple\n")
    with pytest.raises(ValueError, match="line 1"):
        read_descriptions(tmp_path / "d.txt")
