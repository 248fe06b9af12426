"""Image metadata from the header, without decoding: format, size, date."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from imgvec_pg.images.decoding.exif import read_exif
from imgvec_pg.images.decoding.formats import open_image
from imgvec_pg.images.decoding.trades import find_codec, size_by_codec
from imgvec_pg.images.rendering.version import NEWEST


@dataclass(frozen=True)
class ImageDescription:
    """The columns that the built-in library keeps beside an image.

    Attributes:
        media_type: Such as `image/jpeg`.
        width: In pixels, upright as `decode_image` returns it.
        height: Likewise.
        taken_at: EXIF's DateTimeOriginal; where the camera noted no offset, it is taken to be UTC.
    """

    media_type: str
    width: int
    height: int
    taken_at: datetime | None

    def as_fields(self) -> dict[str, Any]:
        """Return it as what JSON can say."""
        return {**vars(self), "taken_at": self.taken_at and self.taken_at.isoformat()}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "ImageDescription":
        """Build it from what `as_fields` returned.

        Raises:
            ValueError, TypeError, KeyError: That is something else.
        """
        taken_at = fields["taken_at"]
        return cls(
            str(fields["media_type"]),
            int(fields["width"]),
            int(fields["height"]),
            None if taken_at is None else datetime.fromisoformat(taken_at),
        )


def describe_image(data: bytes) -> ImageDescription:
    """Read media type, size and time from the header; a PNG's EXIF counts only where it precedes the pixels.

    Raises:
        ImageError: `empty`, `unidentified`, `format_denied`, `truncated` or `too_large`.
    """
    codec = find_codec(data, NEWEST)
    if codec is not None:
        width, height = size_by_codec(codec, data, any_aspect=True)
        # Formats built on TIFF are laid out as an EXIF block is; others hold a time in ways of their own.
        return ImageDescription(codec.media_type, width, height, read_exif(data).taken_at)
    name, image = open_image(data, any_aspect=True)
    exif = read_exif(image.info.get("exif"))
    width, height = image.size
    if exif.orientation >= 5:  # turned by a quarter
        width, height = height, width
    return ImageDescription(f"image/{name.lower()}", width, height, exif.taken_at)
