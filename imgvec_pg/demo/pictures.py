"""The demo's pictures: 1,900 small drawings with names and keywords, shipped in one archive.

They are the glyphs of Noto Color Emoji (see pictures/README.md for the licences); `tools.demo_model.draw`
makes the archive.
"""

import io
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

PICTURES_FOLDER = Path(__file__).parent / "pictures"
MANIFEST_FILE = PICTURES_FOLDER / "manifest.json"
ARCHIVE_FILE = PICTURES_FOLDER / "pictures.zip"


@dataclass(frozen=True)
class DemoPicture:
    """One drawing: what it shows in words, and its file."""

    file: str
    """File name inside the archive, "red-apple.webp"; unique."""
    name: str
    """"red apple"."""
    codepoints: str
    """Hexadecimal, joined with hyphens: "1F34E"."""
    category: str
    """The emoji group, "Food & Drink"."""
    kind: str
    """The emoji subgroup, "food-fruit"."""
    keywords: tuple[str, ...]


def read_manifest(path: Path = MANIFEST_FILE) -> list[DemoPicture]:
    """Read what each shipped picture shows, in the order of the archive."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [DemoPicture(**{**row, "keywords": tuple(row["keywords"])}) for row in rows]


def write_manifest(pictures: list[DemoPicture], path: Path) -> None:
    """Write one picture a line, so that a change of one shows as one line."""
    lines = (json.dumps(asdict(picture), ensure_ascii=False) for picture in pictures)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def unpack_pictures(folder: Path, limit: int | None = None) -> list[tuple[DemoPicture, Path]]:
    """Write the pictures to a folder as real files, in the manifest's order; existing files stay.

    Args:
        folder: Created where it is missing.
        limit: Unpack only the first so many.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = []
    with zipfile.ZipFile(ARCHIVE_FILE) as archive:
        for picture in read_manifest()[:limit]:
            path = folder / picture.file
            if not path.exists():
                # Renamed into place: ctrl-C must not leave half a picture that the next run keeps.
                partial = path.with_suffix(".partial")
                partial.write_bytes(archive.read(picture.file))
                partial.replace(path)
            unpacked.append((picture, path))
    return unpacked


def load_images(pictures: list[DemoPicture], archive_file: Path = ARCHIVE_FILE) -> list[Image.Image]:
    """Decode shipped pictures straight from the archive: RGB, white background."""
    with zipfile.ZipFile(archive_file) as archive:
        return [Image.open(io.BytesIO(archive.read(p.file))).convert("RGB") for p in pictures]
