"""Rendering 2: profiles, HDR, samples of any depth, transparency and animations; docs/howto/rendering.md has the rules."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from imgvec_pg.images.rendering import cicp, hdr
from imgvec_pg.images.rendering.alpha import flatten, is_blank, shows_something
from imgvec_pg.images.rendering.animation import first_frame, later_frames
from imgvec_pg.images.rendering.colour import to_srgb
from imgvec_pg.images.rendering.iso_media import read_nclx
from imgvec_pg.images.rendering.layers import Layers, split, split_png
from imgvec_pg.images.rendering.notes import BLANK, LATER_FRAME
from imgvec_pg.images.rendering.png_chunks import PngChunks, read_chunks
from imgvec_pg.images.rendering.tiff import split_tiff

Notes = tuple[str, ...]
ReadDeep = Callable[[str, bytes, tuple[int, int]], npt.NDArray[np.uint16] | None]
"""All bits of a picture's colours, of a format's name, encoded bytes and size: shape (height, width, 3), spread over 16 bits."""
ANIMATIONS = ("GIF", "WEBP", "PNG", "AVIF")


@dataclass(frozen=True)
class Space:
    """Colour space that a file states; the first of the three that is there counts.

    Attributes:
        numbers: Primaries and transfer characteristics of ITU-T H.273.
        profile: ICC.
        png: gAMA and cHRM of a PNG.
    """

    numbers: tuple[int, int] | None = None
    profile: bytes | None = None
    png: PngChunks | None = None

    @property
    def is_hdr(self) -> bool:
        """Whether it is PQ or HLG."""
        return self.numbers is not None and self.numbers[1] in (cicp.PQ, cicp.HLG)

    @property
    def stretches(self) -> bool:
        """Whether dark levels are spread so far that 8 bits are few."""
        if self.numbers is not None:
            return self.is_hdr or self.numbers[1] in cicp.GAMMAS
        return self.png is not None and cicp.decoding_exponent(self.png.gamma) is not None


def render(
    image: ImageFile.ImageFile, name: str, data: bytes, read_deep: ReadDeep | None = None
) -> tuple[Image.Image, Notes]:
    """Turn a loaded image into sRGB.

    Args:
        image: As opened by the reader of its format, and loaded.
        name: Of the format.
        data: Its encoded bytes.
        read_deep: For HDR of which `image` has 8 bits; None, or what it returns, to do with these.

    Returns:
        An image of mode RGB, not turned upright, and codes of `rendering.notes`.

    Raises:
        ImageError: `truncated`: no sample is a finite number.
    """
    if name == "JPEG" and image.mode == "RGB" and not image.info.get("icc_profile"):
        # Most photographs, to which no rule applies: asking them all counts beside the decoding of a small one.
        plain = image._new(image.im)
        return plain, (BLANK,) if is_blank(plain) else ()
    chunks = read_chunks(data) if name == "PNG" else None
    space = _space_of(image, name, data, chunks)
    first = first_frame(image, data, chunks)
    layers = _take_apart(first, image, data, chunks, space)
    if first is image and layers.deep is None and space.stretches and read_deep is not None:
        layers = replace(layers, deep=read_deep(name, data, image.size))
    rendered, notes = _finish(layers, space)
    if name in ANIMATIONS and not shows_something(rendered):
        rendered = rendered.copy()  # a reader may decode the next frame into the same memory
        is_empty = layers.is_empty
        for frame in later_frames(image):
            later = split(frame)
            found, found_notes = _finish(later, space)
            if shows_something(found):
                return found, (*found_notes, LATER_FRAME)
            if is_empty and not later.is_empty:
                rendered, notes, is_empty = found.copy(), (*found_notes, LATER_FRAME), False
    if is_blank(rendered):
        notes = (*notes, BLANK)
    return rendered, notes


def render_layers(
    layers: Layers, profile: bytes | None = None, numbers: tuple[int, int] | None = None
) -> tuple[Image.Image, Notes]:
    """Turn what another library decoded into sRGB, by the rules for profiles, HDR and transparency.

    Args:
        numbers: Primaries and transfer characteristics of ITU-T H.273, where the file states them.

    Returns:
        As `render`.
    """
    rendered, notes = _finish(layers, Space(numbers, profile))
    return rendered, (*notes, BLANK) if is_blank(rendered) else notes


def _space_of(image: Image.Image, name: str, data: bytes, chunks: PngChunks | None) -> Space:
    if chunks is not None:
        return Space(chunks.cicp, chunks.profile, chunks)
    numbers = read_nclx(data) if name in ("AVIF", "HEIF") else None
    return Space(numbers, image.info.get("icc_profile"))


def _take_apart(
    first: Image.Image, image: ImageFile.ImageFile, data: bytes, chunks: PngChunks | None, space: Space
) -> Layers:
    if first is not image:  # composed here, 8 bits a channel
        return split(first)
    if isinstance(image, TiffImageFile):
        return split_tiff(image, data)
    if chunks is not None:
        return split_png(image, data, chunks, space.stretches)
    return split(image)


def _finish(layers: Layers, space: Space) -> tuple[Image.Image, Notes]:
    colours, profile_note = _heed(layers, space)
    rendered, alpha_note = flatten(colours, layers.alpha)
    if isinstance(rendered, ImageFile.ImageFile):
        # As Pillow's own methods make their results: converting would copy each pixel of most photographs once more.
        rendered = rendered._new(rendered.im)
    return rendered, tuple(note for note in (profile_note, alpha_note) if note is not None)


def _heed(layers: Layers, space: Space) -> tuple[Image.Image, str | None]:
    colours = layers.colours
    if space.numbers is not None and colours.mode != "CMYK":
        primaries, transfer = space.numbers
        colours = colours.convert("RGB") if colours.mode == "L" else colours
        if space.is_hdr:
            samples = np.asarray(colours) if layers.deep is None else layers.deep
            return hdr.to_sdr(samples, transfer, cicp.primaries_of(primaries)), None
        exponent = cicp.GAMMAS.get(transfer)
        return cicp.convert_space(colours, cicp.primaries_of(primaries), exponent, layers.deep), None
    if space.profile is None and space.png is not None:
        exponent, chromaticities = cicp.decoding_exponent(space.png.gamma), space.png.chromaticities
        if exponent is not None or chromaticities is not None:
            colours = colours.convert("RGB") if colours.mode == "L" else colours
            return cicp.convert_space(colours, chromaticities or cicp.SRGB, exponent, layers.deep), None
    return to_srgb(colours, space.profile)
