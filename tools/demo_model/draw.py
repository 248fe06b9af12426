"""Draw the demo's pictures from Debian's Noto Color Emoji: `python -m tools.demo_model.draw`.

Sources, used only here: the font of Debian's fonts-noto-color-emoji (SIL Open Font Licence 1.1), names from
PyPI `emoji` (BSD), keywords and groups from Debian's unicode-cldr-core (Unicode licence).
"""

import argparse
import hashlib
import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from imgvec_pg.demo.pictures import ARCHIVE_FILE, MANIFEST_FILE, DemoPicture, write_manifest
from tools.demo_model.names import CLDR_FOLDER, Wording, read_wordings

FONT_FILE = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
# The only size of the font's bitmaps (136 x 128 pixels, CBDT strike of 109 ppem).
FONT_SIZE = 109
SIZE = 128
# Dependencies that fly another country's flag: that country gives the picture its name.
BORROWED_FLAGS = frozenset({"🇧🇻", "🇨🇵", "🇩🇬", "🇪🇦", "🇭🇲", "🇲🇫", "🇸🇯", "🇺🇲", "🇨🇶"})


def draw_glyph(sequence: str, font: ImageFont.FreeTypeFont) -> Image.Image | None:
    """Draw one emoji centred on white, SIZE x SIZE; None where the font lacks it or draws it in parts."""
    left, top, right, bottom = font.getbbox(sequence)
    if bottom <= top or right - left > 140:
        return None
    glyph = Image.new("RGBA", (136, 128), (255, 255, 255, 0))
    ImageDraw.Draw(glyph).text((0, 0), sequence, font=font, embedded_color=True)
    white = Image.new("RGBA", (136, 136), (255, 255, 255, 255))
    white.alpha_composite(glyph, (0, 4))
    return white.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def draw_pictures(wordings: list[Wording], font_file: Path) -> list[tuple[DemoPicture, Image.Image]]:
    """Draw every emoji once; sequences with identical pixels become one picture with the words of all."""
    font = ImageFont.truetype(font_file, FONT_SIZE)
    drawn: dict[str, tuple[DemoPicture, Image.Image]] = {}
    names: set[str] = set()
    for wording in sorted(wordings, key=lambda wording: wording.sequence in BORROWED_FLAGS):
        image = draw_glyph(wording.sequence, font)
        if image is None:
            continue
        pixels = hashlib.sha256(image.tobytes()).hexdigest()
        if pixels in drawn:
            first, _ = drawn[pixels]
            more = dict.fromkeys([*first.keywords, wording.name, *wording.keywords])
            drawn[pixels] = (replace(first, keywords=tuple(more)), image)
        elif wording.name not in names:
            names.add(wording.name)
            codepoints = "-".join(f"{ord(c):04X}" for c in wording.sequence)
            file = f"{_slug(wording.name)}-{codepoints.lower()}.webp"
            drawn[pixels] = (
                DemoPicture(file, wording.name, codepoints, wording.category, wording.kind, wording.keywords),
                image,
            )
    return list(drawn.values())


def write_archive(drawn: list[tuple[DemoPicture, Image.Image]], path: Path, quality: int) -> None:
    """Store the pictures in a zip with fixed dates, so that drawing twice gives equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for picture, image in drawn:
            encoded = io.BytesIO()
            image.save(encoded, "WEBP", quality=quality, method=6)
            archive.writestr(zipfile.ZipInfo(picture.file), encoded.getvalue())


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "picture"


def main() -> None:
    """Draw the pictures and write manifest and archive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--font", type=Path, default=FONT_FILE)
    parser.add_argument("--cldr", type=Path, default=CLDR_FOLDER)
    parser.add_argument("--archive", type=Path, default=ARCHIVE_FILE)
    parser.add_argument("--manifest", type=Path, default=MANIFEST_FILE)
    parser.add_argument("--quality", type=int, default=90, help="WebP quality, 1 to 100")
    options = parser.parse_args()
    drawn = draw_pictures(read_wordings(options.cldr), options.font)
    write_archive(drawn, options.archive, options.quality)
    write_manifest([picture for picture, _ in drawn], options.manifest)
    print(f"{len(drawn)} pictures, {options.archive.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
