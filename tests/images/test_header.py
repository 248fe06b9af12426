from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path

import pytest
import skimage
from PIL import Image

from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.exif import DATE_TIME_ORIGINAL, EXIF_FOLDER, OFFSET_TIME_ORIGINAL, ORIENTATION
from imgvec_pg.images.decoding.header import ImageDescription, describe_image

MAKE = 0x010F
DATA = Path(skimage.__file__).parent / "data"


def photograph(
    taken: str | None = None, offset: str | None = None, orientation: int = 1, name: str = "JPEG"
) -> bytes:
    exif = Image.Exif()
    exif[MAKE] = "Camera"
    exif[ORIENTATION] = orientation
    details = exif.get_ifd(EXIF_FOLDER)
    if taken is not None:
        details[DATE_TIME_ORIGINAL] = taken
    if offset is not None:
        details[OFFSET_TIME_ORIGINAL] = offset
    stream = BytesIO()
    Image.new("RGB", (48, 32)).save(stream, name, exif=exif)
    return stream.getvalue()


@pytest.mark.parametrize("path", sorted(DATA.glob("*.[pj][np]g")), ids=lambda path: path.name)
def test_description_agrees_with_the_decoded_photograph(path: Path) -> None:
    description = describe_image(path.read_bytes())
    assert (description.width, description.height) == decode_image(path.read_bytes()).size
    assert description.media_type == {".png": "image/png", ".jpg": "image/jpeg"}[path.suffix]


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_time_comes_with_the_camera_offset(name: str) -> None:
    found = describe_image(photograph("2024:05:17 14:03:09", "+02:00", name=name))
    assert found.taken_at == datetime(2024, 5, 17, 14, 3, 9, tzinfo=timezone(timedelta(hours=2)))
    assert found.media_type == f"image/{name.lower()}"


def test_time_without_offset_is_taken_to_be_utc() -> None:
    assert describe_image(photograph("2024:05:17 14:03:09")).taken_at == datetime(
        2024, 5, 17, 14, 3, 9, tzinfo=UTC
    )


def test_unusable_offset_is_ignored() -> None:
    taken_at = describe_image(photograph("2024:05:17 14:03:09", "   :  ")).taken_at
    assert taken_at == datetime(2024, 5, 17, 14, 3, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "taken", [None, "", "0000:00:00 00:00:00", "    :  :     :  :  ", "2024-05-17", "x" * 200]
)
def test_unusable_time_is_no_time(taken: str | None) -> None:
    assert describe_image(photograph(taken)).taken_at is None


@pytest.mark.parametrize(
    ("taken", "offset"),
    [
        ("0001:01:01 00:00:00", "+02:00"),  # a year before Christ in UTC
        ("0001:01:01 00:00:00", None),  # the first moment of .NET
        ("0001:12:31 23:59:59", "-14:00"),
        ("0002:01:01 00:00:00", "+14:00"),
        ("9999:12:31 23:59:59", None),
        ("9999:12:31 23:59:59", "-11:00"),  # the year 10000 in UTC
        ("9998:12:31 23:59:59", "-01:00"),
    ],
)
def test_a_time_that_no_clock_tells_is_no_time(taken: str, offset: str | None) -> None:
    assert describe_image(photograph(taken, offset)).taken_at is None


def test_old_times_are_times() -> None:
    found = describe_image(photograph("1839:08:19 12:00:00", "+01:00")).taken_at
    assert found == datetime(1839, 8, 19, 11, tzinfo=UTC)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_size_is_that_of_the_upright_image(orientation: int) -> None:
    assert describe_image(photograph(orientation=orientation)) == ImageDescription("image/jpeg", 32, 48, None)


def test_pixels_need_not_be_there() -> None:
    data = (DATA / "astronaut.png").read_bytes()[:5000]
    assert describe_image(data) == ImageDescription("image/png", 512, 512, None)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ImageError) as caught:
        describe_image(b"nothing of the kind")
    assert caught.value.code == "unidentified"
