"""A JPEG XL's header as the standard lays it out, bit by bit: sizes, orientation, depth, opacity and colour space."""

import pytest

from imgvec_pg.images.decoding.codecs.jpeg_xl_header import Header, read_header

CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl "
# A width and a height of 13 bits: 3024 and 4032.
SIZE = [(0, 1), (1, 2), (3023, 13), (0, 3), (1, 2), (4031, 13)]


def stream(*fields: tuple[int, int]) -> bytes:
    """Return a codestream that begins with these fields: values and their bits."""
    value, at = 0, 0
    for number, bits in fields:
        value |= number << at
        at += bits
    return b"\xff\x0a" + value.to_bytes(64, "little")


def metadata(*colours: tuple[int, int], orientation: int = 1, animation: int = 0) -> list[tuple[int, int]]:
    """Return metadata of 10 bit samples with one channel of opacity."""
    extra = [(1, 1), (orientation - 1, 3), (0, 1), (0, 1), (animation, 1)]
    timing = [(0, 2), (0, 2), (0, 2), (0, 1)] if animation else []
    return [(0, 1), *extra, *timing, (0, 1), (1, 2), (1, 1), (1, 2), (1, 1), (0, 1), *colours]


def test_defaults_are_8_bits_of_srgb() -> None:
    assert read_header(stream(*SIZE, (1, 1))) == Header(4032, 3024)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ([(1, 1), (3, 5), (0, 3), (4, 5)], (40, 32)),
        ([(1, 1), (3, 5), (1, 3)], (32, 32)),
        ([(0, 1), (0, 2), (299, 9), (5, 3)], (533, 300)),
        ([(0, 1), (3, 2), (2**30 - 1, 30), (1, 3)], (2**30, 2**30)),
    ],
)
def test_sizes_are_small_or_long_or_a_ratio(fields: list[tuple[int, int]], size: tuple[int, int]) -> None:
    found = read_header(stream(*fields, (1, 1)))
    assert (found.width, found.height) == size


# Enumerations: 0 and 1 as they are, else 2 + 4 bits: P3 is 11, BT.2100 is 9; linear 8, sRGB 13, PQ 16.
SPACES = {
    "sRGB": ([(1, 1)], (1, 13)),
    "P3 of D65": ([(0, 1), (0, 1), (0, 2), (1, 2), (2, 2), (9, 4), (0, 1), (2, 2), (11, 4)], (12, 13)),
    "BT.2100 PQ": ([(0, 1), (0, 1), (0, 2), (1, 2), (2, 2), (7, 4), (0, 1), (2, 2), (14, 4)], (9, 16)),
    "grey, linear": ([(0, 1), (0, 1), (1, 2), (1, 2), (0, 1), (2, 2), (6, 4)], (1, 8)),
    "gamma 2.2": ([(0, 1), (0, 1), (0, 2), (1, 2), (1, 2), (1, 1), (4_545_455, 24)], (1, 4)),
    "an ICC profile": ([(0, 1), (1, 1), (0, 2)], None),
}


@pytest.mark.parametrize("name", SPACES)
def test_the_colour_space_is_told_by_the_numbers_of_h_273(name: str) -> None:
    fields, space = SPACES[name]
    found = read_header(stream(*SIZE, *metadata(*fields)))
    assert (found.bits, found.space, found.is_animated) == (10, space, False)


def test_orientation_turns_the_size_and_animations_are_told() -> None:
    turned = read_header(stream(*SIZE, *metadata((1, 1), orientation=6, animation=1)))
    assert turned == Header(3024, 4032, 10, True, (1, 13))


def test_the_codestream_is_found_in_a_container_whole_or_in_parts() -> None:
    code = stream(*SIZE, (1, 1))
    for box in (b"jxlc" + code, b"jxlp\0\0\0\0" + code):
        data = CONTAINER + b"\0\0\0\x09jxll\x0a" + (4 + len(box)).to_bytes(4, "big") + box
        assert read_header(data).width == 4032


@pytest.mark.parametrize("data", [b"\xff\x0a", CONTAINER, CONTAINER + b"\0\0\0\0jxlx" + bytes(9), b"\0" * 40])
def test_what_has_no_codestream_is_damaged(data: bytes) -> None:
    with pytest.raises(ValueError, match="codestream"):
        read_header(data)
