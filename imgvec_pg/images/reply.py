"""What a decoding child may answer: it may be in other hands, and its words get into the database."""

import re
from typing import Any

from imgvec_pg.images.decoding.header import ImageDescription
from imgvec_pg.images.limits import MAX_PIXELS

CODES = frozenset({"empty", "unidentified", "format_denied", "truncated", "too_large", "decode_limit"})
"""Reasons that a child may give; docs/inputs.md."""
_MEDIA_TYPE = re.compile(r"image/[a-z0-9.+-]{1,40}")
_MAX_SIDE = 2**31 - 1


def check_reply(request: dict[str, Any], reply: dict[str, Any], pixels: memoryview) -> None:
    """Look at each field of an answer.

    Args:
        request: What was asked: whether to `describe`.

    Raises:
        ValueError: It is no answer to that.
    """
    try:
        if "code" in reply:
            _require(isinstance(reply["code"], str) and reply["code"] in CODES, "code")
            _require(isinstance(reply["message"], str), "message")
        elif request["describe"]:
            _require(all(_is_side(reply[name]) for name in ("width", "height")), "size")
            _require(_MEDIA_TYPE.fullmatch(reply["media_type"]) is not None, "media_type")
            ImageDescription.from_fields(reply)
        else:
            width, height = reply["size"]
            _require(_is_side(width) and _is_side(height) and width * height <= MAX_PIXELS, "size")
            _require(len(pixels) == 3 * width * height, "length")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an answer without what was asked for: {error}") from error


def _require(is_met: bool, what: str) -> None:
    if not is_met:
        raise ValueError(f"an answer with a {what} that cannot be")


def _is_side(value: object) -> bool:
    return type(value) is int and 0 < value <= _MAX_SIDE
