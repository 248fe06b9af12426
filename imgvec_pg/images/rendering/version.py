"""Versions of the rules of rendering. A collection keeps the one that its rows were embedded by: docs/howto/rendering.md."""

from imgvec_pg.errors import UsageError

FIRST = 1
"""Before there were versions: profiles, PQ and HLG are left out of account, and every JPEG is decoded in full."""
NEWEST = 2
"""What new collections get."""


def require_known(rendering: int) -> int:
    """Return a version that this release has.

    Raises:
        UsageError: It is a later release's.
    """
    if not FIRST <= rendering <= NEWEST:
        raise UsageError(
            f"pictures are rendered by version {rendering} here, this imgvec-pg knows {FIRST} to {NEWEST}: "
            "install a later release"
        )
    return rendering
