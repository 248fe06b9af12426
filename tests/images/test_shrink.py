"""Shrink-on-load: JPEGs much larger than the model's input are decoded smaller, and stay the same picture but for rounding."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from skimage import data as photographs

from imgvec_pg.embedding.resize import Resize
from imgvec_pg.images.decoding.decode import UPRIGHT, decode_image
from imgvec_pg.images.decoding.sandbox import decode_sandboxed
from imgvec_pg.images.decoding.shrink import SCALES, Shrunk, decode_resized
from imgvec_pg.images.rendering.version import FIRST, NEWEST

FOLDER = Path(photographs.__file__).parent
CLIP = Resize(224, 224, keeps_aspect=True, resampling=int(Image.Resampling.BICUBIC), crops=True)
SQUASH = Resize(224, 224, keeps_aspect=False, resampling=int(Image.Resampling.BICUBIC))
MOST = 0.75
"""Levels of 255 that a pixel may differ by, on average."""
ORIENTATION = 0x0112


def photograph(name: str, size: tuple[int, int], orientation: int = 1, **options: object) -> bytes:
    with Image.open(FOLDER / name) as image:
        large = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", **{"quality": 90, "exif": exif, **options})
    return buffer.getvalue()


def whole(data: bytes, resize: Resize) -> Image.Image:
    return resize.apply(decode_image(data))


def mean_difference(image: Image.Image, other: Image.Image) -> float:
    assert image.size == other.size
    return float(np.abs(np.asarray(image, dtype=float) - np.asarray(other, dtype=float)).mean())


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Note the size of each JPEG that is decoded."""
    sizes: list[tuple[int, int]] = []
    load: Callable[[JpegImageFile], object] = JpegImageFile.load

    def noting(image: JpegImageFile) -> object:
        sizes.append(image.size)
        return load(image)

    monkeypatch.setattr(JpegImageFile, "load", noting)
    return sizes


@pytest.mark.parametrize("resize", [CLIP, SQUASH], ids=["shortest", "squash"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_shrunk_photograph_is_the_same_picture_whichever_way_up(
    orientation: int, resize: Resize, loaded: list[tuple[int, int]]
) -> None:
    # No side is a multiple of 8: the last pixels stick out.
    data = photograph("coffee.png", (2027, 1369), orientation)
    found = decode_resized(data, resize)
    assert loaded == [(1014, 685)]
    assert 0 < mean_difference(found, whole(data, resize)) <= MOST


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 60}]
)
@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "rocket.jpg"])
def test_shrinking_keeps_to_the_difference_for_all_kinds_of_jpeg(
    name: str, options: dict[str, object]
) -> None:
    data = photograph(name, (3001, 2003), **options)
    assert 0 < mean_difference(decode_resized(data, CLIP), whole(data, CLIP)) <= MOST


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_box_is_where_the_picture_lies_once_it_is_upright(orientation: int, scale: int) -> None:
    stored = np.zeros((9, 12), dtype=np.uint8)
    stored[-1, :] = stored[:, -1] = 1  # half outside
    upright = Image.fromarray(stored)
    if orientation in UPRIGHT:
        upright = upright.transpose(UPRIGHT[orientation])
    marked = np.asarray(upright)
    half = np.array([12, 9]) * scale - scale // 2
    size = tuple(int(side) for side in (half[::-1] if orientation > 4 else half))
    left, top, right, bottom = Shrunk((size[0], size[1]), scale, orientation).box(upright.size)
    sticks_out = (left, top, upright.width - right, upright.height - bottom)
    edges = (marked[:, 0].all(), marked[0].all(), marked[:, -1].all(), marked[-1].all())
    assert [outside == 0.5 for outside in sticks_out] == list(edges)
    assert sum(sticks_out) == 1.0


def test_what_is_not_twice_as_large_is_decoded_whole_and_not_one_bit_changes(
    loaded: list[tuple[int, int]],
) -> None:
    just_large, just_not = photograph("coffee.png", (1344, 896)), photograph("coffee.png", (1344, 895))
    assert decode_resized(just_not, CLIP).tobytes() == whole(just_not, CLIP).tobytes()
    assert loaded == [(1344, 895)] * 2
    decode_resized(just_large, CLIP)
    assert loaded[2] == (672, 448)
    # Without a resize nobody knows how small it may be.
    assert decode_resized(just_large, None).size == (1344, 896)


PHOTOGRAPHS = [path for path in sorted(FOLDER.iterdir()) if path.suffix in (".jpg", ".png")]


@pytest.mark.parametrize("path", PHOTOGRAPHS, ids=lambda path: path.name)
def test_photographs_of_ordinary_size_keep_each_bit(path: Path) -> None:
    data = path.read_bytes()
    with Image.open(path) as image:
        is_large = path.suffix == ".jpg" and min(image.size) >= 2 * 2 * 224
    found, expected = decode_sandboxed(data, CLIP), whole(data, CLIP)
    assert mean_difference(found, expected) <= (MOST if is_large else 0.0)


def test_the_first_rendering_never_shrinks(loaded: list[tuple[int, int]]) -> None:
    data = photograph("coffee.png", (2700, 1800))
    assert (
        decode_resized(data, CLIP, FIRST).tobytes()
        == CLIP.apply(decode_image(data, rendering=FIRST)).tobytes()
    )
    assert loaded == [(2700, 1800)] * 2


def test_only_jpegs_are_shrunk() -> None:
    buffer = io.BytesIO()
    with Image.open(FOLDER / "coffee.png") as image:
        image.convert("RGB").resize((2400, 1600)).save(buffer, "PNG", compress_level=1)
    assert decode_resized(buffer.getvalue(), CLIP).tobytes() == whole(buffer.getvalue(), CLIP).tobytes()


def test_a_jpeg_without_its_end_comes_whole() -> None:
    data = photograph("coffee.png", (2027, 1369))
    assert data.endswith(b"\xff\xd9")
    found = decode_resized(data[:-2], CLIP, NEWEST)
    assert mean_difference(found, whole(data, CLIP)) <= MOST
