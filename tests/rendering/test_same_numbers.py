"""Plain sRGB pictures of 8 bits keep the pixels that they had before there were rules, bit for bit, where nothing is shrunk.

What they had is Pillow's own decoding: no profile, no rule, every JPEG in full.
"""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms
from skimage import data as photographs

from imgvec_pg.demo.pictures import ARCHIVE_FILE
from imgvec_pg.embedding.resize import Resize
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.sandbox import decode_sandboxed
from imgvec_pg.images.decoding.shrink import decode_resized, shrink_on_load
from imgvec_pg.images.rendering.version import FIRST, NEWEST

FOLDER = Path(photographs.__file__).parent
MODES = ("RGB", "L")
RESIZE = Resize(224, 224, keeps_aspect=True, resampling=int(Image.Resampling.BICUBIC), crops=True)
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("JPEG", {"quality": 88}),
    "JPEG 4:4:4": ("JPEG", {"quality": 95, "subsampling": 0}),
    "progressive JPEG": ("JPEG", {"quality": 80, "progressive": True}),
    "JPEG with restarts and EXIF": ("JPEG", {"quality": 90, "restart_marker_rows": 1, "exif": Image.Exif()}),
    "PNG": ("PNG", {"compress_level": 1}),
    "WebP": ("WEBP", {"quality": 85, "method": 0}),
    "lossless WebP": ("WEBP", {"lossless": True, "quality": 0, "method": 0}),
}


def plain(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as image:
        return image.convert("RGB")


def photograph_files() -> Iterator[tuple[str, bytes]]:
    """Give scikit-image's own files of plain pixels in sRGB, as their programs wrote them."""
    for path in sorted([*FOLDER.glob("*.png"), *FOLDER.glob("*.jpg")]):
        with Image.open(path) as image:
            if image.mode in MODES and not image.has_transparency_data and is_srgb(image):
                yield path.name, path.read_bytes()


def is_srgb(image: Image.Image) -> bool:
    profile = image.info.get("icc_profile")
    if profile is None:
        return True
    return "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile)))


FILES = dict(photograph_files())


def test_there_are_photographs_of_both_kinds() -> None:
    assert len(FILES) >= 15
    assert {
        "astronaut.png",
        "coffee.png",
        "hubble_deep_field.jpg",
        "retina.jpg",
        "camera.png",
    } <= FILES.keys()


@pytest.mark.parametrize("name", FILES)
def test_a_photograph_as_its_program_wrote_it(name: str) -> None:
    expected = plain(FILES[name])
    for rendering in (FIRST, NEWEST):
        assert decode_image(FILES[name], rendering=rendering).tobytes() == expected.tobytes()
    assert decode_sandboxed(FILES[name]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("way", WAYS)
def test_a_photograph_encoded_otherwise(way: str) -> None:
    kind, options = WAYS[way]
    for name in ("astronaut.png", "chelsea.png", "coffee.png", "camera.png"):
        with Image.open(FOLDER / name) as image:
            buffer = BytesIO()
            image.save(buffer, kind, **options)
        data = buffer.getvalue()
        expected = plain(data)
        assert decode_image(data).tobytes() == expected.tobytes(), name
        assert shrink_on_load(_opened(data), RESIZE) is None, name
        assert decode_resized(data, RESIZE).tobytes() == RESIZE.apply(expected).tobytes(), name


def _opened(data: bytes) -> Any:
    return Image.open(BytesIO(data))


def test_every_picture_of_the_demo() -> None:
    with zipfile.ZipFile(ARCHIVE_FILE) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert len(contents) == 1886
    changed = [
        name for name, data in contents.items() if decode_image(data).tobytes() != plain(data).tobytes()
    ]
    assert changed == []
