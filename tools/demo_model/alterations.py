"""Copies of a picture as they turn up elsewhere: recompressed, cropped, recoloured."""

import io

from PIL import Image, ImageEnhance


def recompress(image: Image.Image) -> Image.Image:
    """Save as JPEG of quality 60 and read again."""
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=60)
    return Image.open(stored).convert("RGB")


def crop(image: Image.Image) -> Image.Image:
    """Cut a tenth of the width and of the height away, more from the right and the bottom."""
    width, height = image.size
    return image.crop((round(width * 0.03), round(height * 0.03), round(width * 0.93), round(height * 0.93)))


def recolor(image: Image.Image) -> Image.Image:
    """Make colours a little weaker, warmer and darker."""
    weaker = ImageEnhance.Color(image).enhance(0.85)
    red, green, blue = weaker.split()
    warmer = Image.merge("RGB", (red, green.point(lambda v: v * 0.98), blue.point(lambda v: v * 0.93)))
    return ImageEnhance.Brightness(warmer).enhance(0.95)


ALTERATIONS = {"JPEG quality 60": recompress, "cropped by 10 %": crop, "recoloured": recolor}
