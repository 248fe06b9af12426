"""Formats of the trades: each file becomes the picture that it was made from."""

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms
from trade_files import CAT, TradeFile, all_files, dng, exr, linear, pfm, tiff

from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.header import describe_image
from imgvec_pg.images.rendering.orientation import UPRIGHT
from imgvec_pg.images.rendering.version import FIRST

FILES = all_files()


def mean_difference(data: bytes, right: np.ndarray) -> float:
    pixels = np.asarray(decode_image(data)).astype(float)
    return float(np.abs(pixels - (right if right.ndim == 3 else right[:, :, None])).mean())


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_it_becomes_the_picture_that_it_was_made_from(file: TradeFile) -> None:
    assert mean_difference(file.data, file.right) <= file.levels
    described = describe_image(file.data)
    assert (described.height, described.width) == file.right.shape[:2]
    assert described.media_type.startswith("image/")


def test_a_camera_raw_is_developed_and_its_preview_is_not_shown() -> None:
    pixels = np.asarray(decode_image(dng(preview=(255, 0, 0)))).astype(float)
    assert pixels.shape == CAT.shape
    assert np.corrcoef(pixels.ravel(), CAT.ravel())[0, 1] > 0.97
    assert (describe_image(dng()).width, describe_image(dng()).height) == (CAT.shape[1], CAT.shape[0])


def test_what_pillow_never_read_is_decoded_under_the_first_rendering_too() -> None:
    for file in FILES:
        if file.name in ("TIFF lerc", "TIFF float RGB", "JPEG 12 bits", "JPEG XL", "DICOM 8 bits"):
            pixels = np.asarray(decode_image(file.data, rendering=FIRST)).astype(float)
            right = file.right if file.right.ndim == 3 else file.right[:, :, None]
            assert np.abs(pixels - right).mean() <= file.levels


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_heeded_in_kinds_that_pillow_does_not_read(orientation: int) -> None:
    stored = Image.fromarray(CAT)
    for upright, turn in UPRIGHT.items():
        if upright == orientation:
            stored = stored.transpose({**UPRIGHT, 6: UPRIGHT[8], 8: UPRIGHT[6]}[upright])
            assert np.array_equal(np.asarray(stored.transpose(turn)), CAT)
    deep = np.asarray(stored).astype(np.uint16)
    twelve = imagecodecs.jpeg8_encode(deep * 16, level=95, bitspersample=12)
    block = Image.Exif()
    block[0x0112] = orientation
    exif = b"Exif\0\0" + block.tobytes().removeprefix(b"Exif\0\0")
    with_exif = twelve[:2] + b"\xff\xe1" + (2 + len(exif)).to_bytes(2, "big") + exif + twelve[2:]
    tagged = tiff(deep * 257, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    for data, levels in ((with_exif, 2.5), (tagged, 0.6)):
        assert mean_difference(data, CAT) <= levels
        described = describe_image(data)
        assert (described.width, described.height) == (CAT.shape[1], CAT.shape[0])


def test_profile_of_a_12_bit_jpeg_is_heeded() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    data = imagecodecs.jpeg8_encode(CAT.astype(np.uint16) * 16, level=95, bitspersample=12)
    part = b"ICC_PROFILE\0\1\1" + profile
    tagged = data[:2] + b"\xff\xe2" + (2 + len(part)).to_bytes(2, "big") + part + data[2:]
    assert decode_image(tagged).info["notes"] == ("profile_ignored",)


@pytest.mark.parametrize("brightness", [30.0, 1e4, 1e30])
def test_light_beyond_a_screen_s_is_compressed_and_keeps_its_order(brightness: float) -> None:
    light = linear(CAT) * np.float32(brightness)
    for data in (exr({"RGB": light}), pfm(light)):
        pixels = np.asarray(decode_image(data)).astype(float)
        assert np.corrcoef(pixels.ravel(), CAT.ravel())[0, 1] > 0.9
        assert 40 < pixels.mean() < 215 and pixels.max() >= 250


def test_a_sun_in_a_scene_leaves_the_rest_as_it_is() -> None:
    light = linear(CAT)
    light[5:7, 5:7] = 60_000.0
    assert mean_difference(pfm(light), CAT) < 1.0


def test_light_below_zero_and_what_is_no_number_are_black() -> None:
    light = linear(CAT)
    light[:2], light[2:4], light[4:6] = -5.0, np.nan, np.inf
    pixels = np.asarray(decode_image(pfm(light)))
    assert pixels[:4].max() == 0 and pixels[4:6].min() == 255
    assert np.abs(pixels[6:].astype(float) - CAT[6:]).mean() < 0.6
