"""HDR of AVIF and HEIC is tone-mapped from all bits that the file has."""

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
from goldenhdr import HLG, PQ, encode_light, scene, shown
from PIL import Image

from imgvec_pg.images.decoding.codecs import iso_media_samples
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.sandbox import decode_sandboxed
from imgvec_pg.images.rendering.iso_media import read_av1_bits
from imgvec_pg.images.rendering.orientation import UPRIGHT

CODES = encode_light(scene("coffee", 3), PQ, 9)[:96, :128]


def avif(codes: npt.NDArray[Any], bits: int, transfer: int = PQ, **options: Any) -> bytes:
    levels = (codes * (2**bits - 1) + 0.5).astype(np.uint16 if bits > 8 else np.uint8)
    settings: dict[str, Any] = {"pixelformat": "444", "primaries": 9, "transfer": transfer, "matrix": 9}
    return bytes(
        imagecodecs.avif_encode(levels, level=100, speed=9, bitspersample=bits, **settings, **options)
    )


def off(data: bytes, right: npt.NDArray[Any]) -> float:
    return float(np.abs(np.asarray(decode_image(data)).astype(int) - right.astype(int)).mean())


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_avif_of_any_depth(bits: int, transfer: int) -> None:
    data = avif(encode_light(scene("coffee", 0), transfer, 9)[:96, :128], bits, transfer)
    assert read_av1_bits(data) == bits
    stored = np.asarray(imagecodecs.avif_decode(data)) / (2**bits - 1)
    assert off(data, shown(stored, transfer, 9)) <= 0.05
    assert decode_sandboxed(data).tobytes() == decode_image(data).tobytes()


def test_ten_bits_are_nearer_than_the_eight_that_are_left_without_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = avif(CODES, 10)
    right = shown(np.asarray(imagecodecs.avif_decode(data)) / 1023, PQ, 9)
    assert off(data, right) <= 0.05
    with monkeypatch.context() as patch:
        patch.setenv("IMGVEC_FORMATS", "web")
        assert 0.5 < off(data, right) < 3
    monkeypatch.setattr(iso_media_samples, "_has_imagecodecs", lambda: False)
    assert 0.5 < off(data, right) < 3


def test_avif_of_ten_bits_with_opacity_is_laid_over_white() -> None:
    alpha = np.ones((*CODES.shape[:2], 1))
    alpha[:, :64] = 0
    data = avif(np.dstack([CODES, alpha]), 10)
    pixels = np.asarray(decode_image(data)).astype(int)
    right = shown(np.asarray(imagecodecs.avif_decode(data))[..., :3] / 1023, PQ, 9).astype(int)
    assert (pixels[:, :64] == 255).all()
    assert np.abs(pixels[:, 64:] - right[:, 64:]).mean() <= 0.05


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_of_ten_bits_is_upright(orientation: int) -> None:
    block = Image.Exif()
    block[0x0112] = orientation
    stream = BytesIO()
    pillow_heif.encode(
        "RGB;16",
        CODES.shape[1::-1],
        (CODES * 65535 + 0.5).astype("<u2").tobytes(),
        stream,
        quality=95,
        chroma=444,
        color_primaries=9,
        transfer_characteristics=PQ,
        matrix_coefficients=9,
        full_range_flag=1,
        save_nclx_profile=True,
        exif=block.tobytes(),
    )
    right = Image.fromarray(shown(CODES, PQ, 9))
    if orientation in UPRIGHT:
        right = right.transpose(UPRIGHT[orientation])
    decoded = decode_image(stream.getvalue())
    assert decoded.size == right.size
    assert off(stream.getvalue(), np.asarray(right)) <= 2


def test_boxes_that_say_nothing_of_depth_are_none() -> None:
    data = avif(CODES, 10)
    assert read_av1_bits(data.replace(b"av1C", b"av1D")) is None
    assert read_av1_bits(data[:200]) is None and read_av1_bits(b"") is None


def test_what_its_library_alone_refuses_is_shown_by_eight_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise RuntimeError("not supported")

    data = avif(CODES, 10)
    right = shown(np.asarray(imagecodecs.avif_decode(data)) / 1023, PQ, 9)
    monkeypatch.setattr(imagecodecs, "avif_decode", refuse)
    assert 0.5 < off(data, right) < 3
