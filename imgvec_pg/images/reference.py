"""Image reference of a row: the bytes themselves, or the path or URL where they lie."""

import re
from dataclasses import dataclass

from imgvec_pg.errors import ImageError, UsageError

# RFC 3986 section 3.1; a scheme without // counts only where no file is ever named like that.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://|(data|file|ftp|https?|s3|gs|blob):", re.IGNORECASE)
SHOWN_CHARACTERS = 120


@dataclass(frozen=True)
class ImageReference:
    """An image by its path or URL, or by its bytes: exactly one of the two.

    Raises:
        ImageError: `empty` when the row has neither.
        UsageError: Both are given.
    """

    path: str | None = None
    content: bytes | None = None

    def __post_init__(self) -> None:
        if self.path is not None and self.content is not None:
            raise UsageError("an image is given by its path or by its content, not by both: leave one out")
        if self.path is None and self.content is None:
            raise ImageError(
                "empty",
                "the row has no image: its path or content is NULL or empty; fill it to embed the row",
            )


def url_scheme(path: str) -> str | None:
    """Return the scheme of a URL in lower case, or None for the path of a file."""
    found = _SCHEME.match(path)
    return (found[1] or found[2]).lower() if found else None


def url_authority(path: str) -> str | None:
    """Return scheme and host of a URL, which may be nonsense, or None for the path of a file."""
    if url_scheme(path) is None:
        return None
    scheme, _, rest = path.partition(":")
    return f"{scheme.lower()}://{re.split('[/?#]', rest.removeprefix('//'), maxsplit=1)[0].lower()}"


def shown(path: str | None) -> str:
    """Return a path as it may stand in a one-line message."""
    text = repr(path)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
