"""Limits of one image: bytes and pixels."""

MAX_IMAGE_BYTES = 64 * 1024 * 1024
"""Encoded."""
MAX_PIXELS = 50_000_000
MAX_ASPECT = 20
"""One side in terms of the other."""
DECODE_MEMORY_BYTES = 2 * 1024**3
"""Address space beyond an idle child's. 50 million pixels take 200 MB in one copy, and at most six of those at once."""
DECODE_CPU_SECONDS = 20
"""50 million pixels take about two on a slow core."""
FETCH_SECONDS = 20.0
"""From the first look for a host's address to the last byte, redirects and all."""
CONNECT_SECONDS = 5.0
DECODE_SECONDS = 60.0
"""By the clock, for a child that does not compute; on a machine so busy that this is short, the picture is tried again."""
