import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
from PIL import Image, features

from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding import formats
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.exif import ORIENTATION
from imgvec_pg.images.decoding.header import ImageDescription, describe_image
from imgvec_pg.images.rendering.version import FIRST, NEWEST

PHOTOGRAPHS = sorted(
    path
    for path in (Path(skimage.__file__).parent / "data").iterdir()
    if path.suffix in (".png", ".jpg", ".gif")
)
PROFILED = ("color.png", "page.png", "rocket.jpg")
"""Those whose embedded profile is another than sRGB: a display's, Dot Gain 20%, Adobe RGB."""
NEEDS_AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")


def encode(image: Image.Image, name: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def pixels(data: bytes, rendering: int = NEWEST) -> Any:
    image = decode_image(data, rendering=rendering)
    assert image.mode == "RGB"
    assert type(image) is Image.Image
    return np.asarray(image)


def refusal(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode_image(data)
    assert "\n" not in str(caught.value)
    assert not caught.value.transient
    return caught.value


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + png_chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    )


@pytest.fixture
def quadrants() -> Image.Image:
    """48 x 32: red and green above, blue and black below, so that every turn shows."""
    image = Image.new("RGB", (48, 32))
    image.paste((255, 0, 0), (0, 0, 24, 16))
    image.paste((0, 255, 0), (24, 0, 48, 16))
    image.paste((0, 0, 255), (0, 16, 24, 32))
    return image


@pytest.mark.parametrize("path", PHOTOGRAPHS, ids=lambda path: path.name)
def test_photographs_are_decoded_as_pillow_converts_them(path: Path) -> None:
    with Image.open(path) as image:
        transparent = image.has_transparency_data
        expected = np.asarray(image.convert("RGB"))
    found = pixels(path.read_bytes())
    assert found.shape == expected.shape
    if not transparent:
        assert np.array_equal(found, expected) == (path.name not in PROFILED)
        assert np.array_equal(np.asarray(decode_image(path.read_bytes(), rendering=FIRST)), expected)


@pytest.mark.parametrize("name", ["PNG", "WEBP", pytest.param("AVIF", marks=NEEDS_AVIF), "JPEG", "GIF"])
def test_every_allowed_format_shows_the_photograph(name: str) -> None:
    with Image.open(next(path for path in PHOTOGRAPHS if path.name == "coffee.png")) as image:
        photograph = image.convert("RGB")
    found = pixels(encode(photograph, name)).astype(int)
    assert np.abs(found - np.asarray(photograph).astype(int)).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(quadrants: Image.Image, name: str, orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = quadrants.transpose(undo[orientation]) if orientation in undo else quadrants
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encode(stored, name, exif=exif, quality=95)
    difference = pixels(data).astype(int) - np.asarray(quadrants).astype(int)
    assert np.abs(difference).mean() < 5
    assert "exif" not in decode_image(data).info


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0II*\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"nonsense", b"MM\0*" + b"\1" * 40]
)
def test_damaged_exif_leaves_the_image_as_it_is(quadrants: Image.Image, exif: bytes) -> None:
    for name in ("JPEG", "PNG", "WEBP"):
        assert pixels(encode(quadrants, name, exif=exif)).shape == (32, 48, 3)


def test_transparent_parts_are_white() -> None:
    image = Image.new("RGBA", (3, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (200, 0, 0, 0))
    image.putpixel((2, 0), (200, 0, 0, 128))
    found = pixels(encode(image))
    assert found[0].tolist()[:2] == [[200, 0, 0], [255, 255, 255]]
    # 200 * 128/255 + 255 * 127/255 = 227.4
    assert found[0, 2].tolist() == pytest.approx([227, 127, 127], abs=1)
    assert np.array_equal(pixels(encode(image, "WEBP", lossless=True, exact=True)), found)


def test_grey_with_alpha_is_white_where_transparent() -> None:
    image = Image.new("LA", (2, 1), (70, 255))
    image.putpixel((1, 0), (70, 0))
    assert pixels(encode(image)).tolist() == [[[70] * 3, [255] * 3]]


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"], ids=["index", "bytes"])
def test_palette_is_applied_and_its_transparent_colour_is_white(transparency: int | bytes) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert pixels(encode(image)).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert pixels(encode(image, transparency=transparency)).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_cmyk_is_converted() -> None:
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    assert pixels(encode(image, "JPEG", quality=95))[8, 8].tolist() == pytest.approx([0, 255, 255], abs=4)


def test_sixteen_bit_grey_is_rounded_and_kept_its_upper_eight_bits_at_first() -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    data = encode(Image.fromarray(values))
    assert pixels(data)[0, :, 0].tolist() == [0, 1, 1, 128, 255]
    assert pixels(data, FIRST)[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert len(np.unique(pixels(data)[0], axis=1)[0]) == 1


def test_sixteen_bit_colour_keeps_its_upper_eight_bits() -> None:
    row = b"\0" + struct.pack(">6H", 0, 255, 256, 32768, 65535, 4660)
    data = png_header(2, 1, bits=16) + png_chunk(b"IDAT", zlib.compress(row)) + png_chunk(b"IEND", b"")
    assert pixels(data).tolist() == [[[0, 0, 1], [128, 255, 18]]]


def test_one_bit_becomes_black_and_white() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert pixels(encode(image)).tolist() == [[[0] * 3, [255] * 3]]


def test_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for name in ("GIF", "WEBP", "PNG"):
        data = encode(frames[0], name, save_all=True, append_images=frames[1:])
        assert pixels(data)[4, 4].tolist() == pytest.approx([255, 0, 0], abs=4), name


def test_first_picture_of_a_camera_jpeg_with_several_is_taken(quadrants: Image.Image) -> None:
    data = encode(quadrants, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert pixels(data).shape == (32, 48, 3)


@pytest.mark.parametrize(
    "data", [b"hello, this is no image", b"\0" * 100, b"<svg/>", b"x", b"\0\0\0\x18ftypmp42"]
)
def test_what_is_no_image_is_unidentified(data: bytes) -> None:
    assert refusal(data).code == "unidentified"


def test_nothing_is_empty() -> None:
    assert refusal(b"").code == "empty"


@pytest.mark.parametrize("name", ["TIFF", "BMP", "PPM", "ICO", "PCX", "EPS", "JPEG2000"])
def test_other_formats_are_denied(quadrants: Image.Image, name: str) -> None:
    assert refusal(encode(quadrants, name)).code == "format_denied"


def test_heif_is_denied_by_its_name_where_its_reader_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_heif_reader", lambda: None)
    error = refusal(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100)
    assert error.code == "format_denied"
    assert "HEIF" in str(error) and "imgvec-pg[heif]" in str(error)


def test_heif_is_decoded_where_its_reader_is_installed(quadrants: Image.Image) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = BytesIO()
    pillow_heif.from_pillow(quadrants.resize((96, 64), Image.Resampling.NEAREST)).save(buffer, quality=95)
    expected = np.asarray(quadrants.resize((96, 64), Image.Resampling.NEAREST)).astype(int)
    assert np.abs(pixels(buffer.getvalue()).astype(int) - expected).mean() < 8
    assert describe_image(buffer.getvalue()) == ImageDescription("image/heif", 96, 64, None)
    for share in (0.3, 0.6, 0.9):
        assert refusal(buffer.getvalue()[: int(len(buffer.getvalue()) * share)]).code == "truncated"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 256, 65535]], dtype="<u2"), [0, 1, 255]),
        (np.array([[0, 256, 65535]], dtype=">u2"), [0, 1, 255]),
        (np.array([[0, 32768, 65535]], dtype=np.int32), [0, 127, 255]),
        (np.array([[0, 2**29, 2**30]], dtype=np.int32), [0, 127, 255]),
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 127, 255]),
        (np.array([[0.0, 0.25, 0.5]], dtype=np.float32), [0, 63, 127]),
        (np.array([[-5.0, 0.0, 500.5]], dtype=np.float32), [0, 0, 255]),
        (np.array([[np.nan, np.inf, 2.5]], dtype=np.float32), [0, 0, 255]),
    ],
    ids=[
        "16 bits",
        "16 bits, big end first",
        "16 in 32 bits",
        "32 bits",
        "to 1",
        "to 0.5",
        "beyond 1",
        "no numbers",
    ],
)
def test_numbers_of_a_tiff_were_scaled_by_the_largest_at_first(
    monkeypatch: pytest.MonkeyPatch, values: np.ndarray[Any, Any], expected: list[int]
) -> None:
    monkeypatch.setenv("IMGVEC_FORMATS", "tiff")
    assert pixels(encode(Image.fromarray(values), "TIFF"), FIRST)[0, :, 0].tolist() == expected


def test_first_page_of_a_tiff_is_taken_and_cmyk_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_FORMATS", "tiff")
    pages = [Image.new("CMYK", (8, 8), color) for color in ((255, 0, 0, 0), (0, 0, 0, 255))]
    data = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert pixels(data)[4, 4].tolist() == [0, 255, 255]
    cyclic = b"II*\0\x08\0\0\0" + struct.pack("<HI", 0, 8)
    assert refusal(cyclic).code == "truncated"


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", pytest.param("AVIF", marks=NEEDS_AVIF)])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_truncated_image_is_told(name: str, share: float) -> None:
    with Image.open(next(path for path in PHOTOGRAPHS if path.name == "astronaut.png")) as image:
        data = encode(image.convert("RGB"), name)
    assert refusal(data[: int(len(data) * share)]).code == "truncated"


@pytest.mark.parametrize("length", [3, 8, 12, 20, 30])
def test_image_cut_within_its_header_is_no_crash(quadrants: Image.Image, length: int) -> None:
    for name in ("JPEG", "PNG", "GIF", "WEBP", "AVIF"):
        assert refusal(encode(quadrants, name)[:length]).code in ("truncated", "unidentified")


def test_damaged_pixels_are_told(quadrants: Image.Image) -> None:
    data = bytearray(encode(quadrants))
    start = data.index(b"IDAT") + 4
    data[start : start + 8] = b"\xff" * 8
    assert refusal(bytes(data)).code == "truncated"


@pytest.mark.parametrize(
    "size", [(7072, 7071), (65_500, 65_500), (2_000_000_000, 2), (4001, 200), (1, 21)], ids=str
)
def test_limits_are_read_from_the_header(size: tuple[int, int]) -> None:
    # No pixels follow: a decoder would complain of truncation.
    assert refusal(png_header(*size) + png_chunk(b"IDAT", b"")).code == "too_large"


def test_webp_limit_is_read_before_its_reader_allocates(quadrants: Image.Image) -> None:
    data = bytearray(encode(quadrants.convert("RGBA"), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"))
    assert data[12:16] == b"VP8X"
    data[24:30] = b"\xff\x3f\0\xff\x3f\0"  # 16,384 x 16,384
    assert refusal(bytes(data)).code == "too_large"


def test_gif_frame_beyond_its_screen_is_measured() -> None:
    screen = b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0, 0, 0)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x02\x4c\x01\x00;"
    error = refusal(screen + frame)
    assert error.code == "too_large" and str(error).startswith(
        "the image or a frame of it has more than 50000000"
    )


def test_image_at_the_limits_is_decoded() -> None:
    assert decode_image(encode(Image.new("1", (10_000, 5_000)))).size == (10_000, 5_000)
    assert decode_image(encode(Image.new("RGB", (20, 1)))).size == (20, 1)


def test_threads_decode_at_once_and_alike() -> None:
    contents = [path.read_bytes() for path in PHOTOGRAPHS] * 4
    alone = [decode_image(data).tobytes() for data in contents[: len(PHOTOGRAPHS)]] * 4
    with ThreadPoolExecutor(8) as pool:
        assert [image.tobytes() for image in pool.map(decode_image, contents)] == alone
