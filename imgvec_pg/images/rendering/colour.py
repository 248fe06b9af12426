"""Colour profiles: RGB, grey and CMYK ICC profiles to sRGB by LittleCMS, relative colorimetric with black point compensation."""

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from imgvec_pg.images.rendering.notes import PROFILE_IGNORED

MAX_PROFILE_BYTES = 8 * 1024 * 1024
"""Printers' profiles have up to three; what is larger is ignored."""
SRGB_LEVELS = 2
"""A profile that moves no colour by more levels than this is sRGB as others wrote it: pixels stay as they are, bit for bit."""

# ICC.1:2022 table 19 (data colour space) to the mode of pixels that it is a profile of.
SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# Table 18: scanner, monitor, printer, colour space; no links between devices and no named colours.
CLASSES = ("scnr", "mntr", "prtr", "spac")


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """Convert pixels to sRGB by their profile.

    Grey pixels may have an RGB profile, as browsers allow. A profile that is broken, of another space, a device link, or beyond
    `MAX_PROFILE_BYTES` is left out of account.

    Args:
        image: Of mode RGB, L or CMYK, 8 bits, without transparency.
        profile: Bytes of an ICC profile; None or empty for none.

    Returns:
        An image of mode RGB, whose pixels are the given ones where these are sRGB, and a note where the profile was ignored.
    """
    if not profile:
        return _plain(image), None
    transform = None if len(profile) > MAX_PROFILE_BYTES else _transform(profile, image.mode)
    if isinstance(transform, str) or transform is None:
        return _plain(image), None if transform == _IS_SRGB else PROFILE_IGNORED
    if transform.input_mode == "L":
        return _by_levels(transform, image), None
    pixels = image if image.mode == transform.input_mode else image.convert(transform.input_mode)
    converted = Image.new("RGB", image.size)
    transform.transform.apply(pixels.getim(), converted.getim())
    return converted, None


_IS_SRGB, _IS_BROKEN = "sRGB", "broken"


def _by_levels(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    """Convert grey pixels by what becomes of the 256 levels."""
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None, :])
    levels = Image.new("RGB", ramp.size)
    transform.transform.apply(ramp.getim(), levels.getim())
    return Image.merge("RGB", [image.point(list(band.tobytes())) for band in levels.split()])


def _plain(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=4)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | str:
    """Return a transform to sRGB, or a word: what it would come to, or that there is none."""
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = SPACES.get(opened.profile.xcolor_space)
        if space is None or opened.profile.device_class.strip() not in CLASSES:
            return _IS_BROKEN
        if space != mode and (mode, space) != ("L", "RGB"):
            return _IS_BROKEN
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        if space == "L":
            # LittleCMS would put a coarse table in place of the curve: dark greys of a linear profile lose half their level.
            flags |= ImageCms.Flags.NOOPTIMIZE
        transform = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            space,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=flags,
        )
        return _IS_SRGB if space != "CMYK" and _is_identity(transform, space) else transform
    except MemoryError:
        raise
    except Exception:  # whatever LittleCMS and its wrapper have to say of such bytes
        return _IS_BROKEN


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform moves none of 17 x 17 x 17 colours (or 256 greys) by more than `SRGB_LEVELS`."""
    if mode == "L":
        probe = np.arange(256, dtype=np.uint8)[None, :]
        expected = np.repeat(probe[:, :, None], 3, axis=2)
    else:
        steps = np.linspace(0, 255, 17).round().astype(np.uint8)
        expected = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(1, -1, 3)
        probe = expected
    found = Image.new("RGB", (probe.shape[1], 1))
    transform.transform.apply(Image.fromarray(probe).getim(), found.getim())
    difference = np.abs(np.asarray(found).astype(int) - expected.astype(int))
    return bool(difference.max() <= SRGB_LEVELS)
