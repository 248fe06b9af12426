"""Limits of one image: bytes, pixels and sides, which a user may raise, and what its decoding may take."""

from imgvec_pg.settings import whole_number

MAX_IMAGE_BYTES = 64 * 1024 * 1024
"""Encoded; unless IMGVEC_MAX_BYTES says otherwise."""
MAX_PIXELS = 64_000_000
"""Unless IMGVEC_MAX_PIXELS says otherwise: a full-frame camera's 61 megapixels are within."""
MAX_ASPECT = 20
"""One side in terms of the other, unless IMGVEC_MAX_ASPECT says otherwise."""
DECODE_MEMORY_BYTES = 2 * 1024**3
"""Address space beyond an idle child's, at these limits: 64 million pixels take 256 MB in one copy, and at most six are held."""
DECODE_CPU_SECONDS = 20
"""64 million pixels take about three on a slow core."""
FETCH_SECONDS = 20.0
"""From the first look for a host's address to the last byte, redirects and all."""
CONNECT_SECONDS = 5.0
DECODE_SECONDS = 60.0
"""By the clock, for a child that does not compute; on a machine so busy that this is short, the picture is tried again."""
COPIES_OF_BYTES = 3
"""Of an encoded picture that a child holds at once."""
MOST_PIXELS, MOST_BYTES, MOST_ASPECT = 1_000_000_000, 1024**3, 100_000
"""What settings may say: an answer of so many pixels still fits a message of the children's protocol."""


def max_pixels() -> int:
    """Return how many pixels an image may have.

    Raises:
        UsageError: IMGVEC_MAX_PIXELS is no such number; likewise for the others here.
    """
    return whole_number("IMGVEC_MAX_PIXELS", MAX_PIXELS, MOST_PIXELS)


def max_aspect() -> int:
    """Return how many times the other one side may be."""
    return whole_number("IMGVEC_MAX_ASPECT", MAX_ASPECT, MOST_ASPECT)


def max_image_bytes() -> int:
    """Return how many bytes an encoded image may have."""
    return whole_number("IMGVEC_MAX_BYTES", MAX_IMAGE_BYTES, MOST_BYTES)


def decode_memory_bytes() -> int:
    """Return a child's address space, in proportion to the pixels and bytes that are allowed."""
    more_bytes = max(max_image_bytes() - MAX_IMAGE_BYTES, 0)
    return int(DECODE_MEMORY_BYTES * _share()) + COPIES_OF_BYTES * more_bytes


def decode_cpu_seconds() -> int:
    """Return how long a child may compute over one image."""
    return int(DECODE_CPU_SECONDS * _share())


def decode_seconds() -> float:
    """Return how long a child may take over one image by the clock."""
    return DECODE_SECONDS * _share()


def _share() -> float:
    return max(max_pixels() / MAX_PIXELS, 1.0)
