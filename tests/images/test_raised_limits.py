"""Limits that a user may raise, and pictures so long that a model sees their middle alone."""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from trade_files import dng_of, exr, linear

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.embedding.resize import Resize
from imgvec_pg.errors import ImageError, UsageError
from imgvec_pg.images import limits
from imgvec_pg.images.decoding import decoder_process, sandbox
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.header import describe_image
from imgvec_pg.images.decoding.sandbox import DecodingPool, decode_sandboxed
from imgvec_pg.images.decoding.shrink import decode_resized
from imgvec_pg.images.fetching.files import fetch_bytes
from imgvec_pg.images.reference import ImageReference

CLIP = Resize(224, 224, keeps_aspect=True, resampling=int(Image.Resampling.BICUBIC), crops=True)
SQUASH = Resize(224, 224, keeps_aspect=False, resampling=int(Image.Resampling.BICUBIC))


def encode(image: Image.Image, name: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def long_picture(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def fresh_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[DecodingPool]:
    pool = DecodingPool(1)
    monkeypatch.setattr(sandbox, "_pool", pool)
    yield pool
    pool.close()


def test_a_full_frame_camera_s_61_megapixels_are_decoded_by_default() -> None:
    photograph = encode(Image.new("L", (9568, 6376), 128), "JPEG", quality=50)
    assert decode_sandboxed(photograph, CLIP).size == (224, 224)


def test_more_pixels_are_refused_with_the_setting_s_name_and_decoded_once_it_is_raised(
    fresh_pool: DecodingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = encode(Image.new("L", (12_000, 9_000), 128), "JPEG", quality=50)
    with pytest.raises(
        ImageError, match=r"12000 x 9000 pixels, at most 64000000.*IMGVEC_MAX_PIXELS"
    ) as caught:
        decode_sandboxed(large, CLIP)
    assert caught.value.code == "too_large"
    fresh_pool.close()
    monkeypatch.setenv("IMGVEC_MAX_PIXELS", "108000000")
    monkeypatch.setattr(sandbox, "_pool", pool := DecodingPool(1))
    assert decode_sandboxed(large, CLIP).size == (224, 224)
    assert len(decode_sandboxed(large).tobytes()) == 3 * 108_000_000
    pool.close()


def test_memory_and_time_follow_from_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = (limits.decode_memory_bytes(), limits.decode_cpu_seconds(), limits.decode_seconds())
    assert usual == (2 * 1024**3, 20, 60.0)
    monkeypatch.setenv("IMGVEC_MAX_PIXELS", "1000")
    assert (limits.decode_memory_bytes(), limits.decode_cpu_seconds(), limits.decode_seconds()) == usual
    monkeypatch.setenv("IMGVEC_MAX_PIXELS", "256000000")
    monkeypatch.setenv("IMGVEC_MAX_BYTES", str(128 * 1024**2))
    assert limits.decode_memory_bytes() == 8 * 1024**3 + 3 * 64 * 1024**2
    assert (limits.decode_cpu_seconds(), limits.decode_seconds()) == (80, 240.0)


def large(name: str) -> bytes:
    """Return megapixels as a format whose decoder calls a lack of memory damage."""
    picture = np.asarray(long_picture(3000, 600 if name == "OpenEXR" else 2000))
    if name == "WebP":
        return encode(Image.fromarray(picture), "WEBP", method=0)
    if name == "JPEG 2000":
        return imagecodecs.jpeg2k_encode(picture.astype(np.uint16) * 16, level=30, bitspersample=12)
    if name == "JPEG XL":
        return imagecodecs.jpegxl_encode(picture, level=90, effort=1)
    return dng_of(picture) if name == "raw" else exr({"RGB": linear(picture).astype(np.float16)})


@pytest.mark.parametrize("name", ["WebP", "JPEG 2000", "JPEG XL", "raw", "OpenEXR"])
def test_a_lack_of_memory_is_not_called_damage(
    name: str, fresh_pool: DecodingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_process, "decode_memory_bytes", lambda: 40 * 1024**2)
    with pytest.raises(ImageError, match="more than 40 MiB") as caught:
        decode_sandboxed(large(name), CLIP)
    assert caught.value.code == "decode_limit"
    # A child that has met one damaged picture after another still tells them apart.
    with pytest.raises(ImageError) as caught:
        decode_sandboxed(encode(Image.new("RGB", (64, 64)))[:-30], CLIP)
    assert caught.value.code == "truncated"


@pytest.mark.parametrize("value", ["0", "-1", "1e9", "many", "2000000000", "9" * 30])
def test_a_limit_that_is_none_is_a_usage_error(
    value: str, fresh_pool: DecodingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGVEC_MAX_PIXELS", value)
    monkeypatch.setattr(sandbox, "_pool", None)
    with pytest.raises(UsageError, match="IMGVEC_MAX_PIXELS"):
        decode_sandboxed(encode(Image.new("RGB", (2, 2))))


def test_bytes_are_limited_by_their_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMGVEC_MAX_BYTES", "50")
    data = encode(Image.new("RGB", (64, 64)))
    (tmp_path / "a.png").write_bytes(data)
    for reference in (ImageReference(content=data), ImageReference(path="a.png")):
        with pytest.raises(ImageError, match="IMGVEC_MAX_BYTES") as caught:
            fetch_bytes(reference, tmp_path)
        assert caught.value.code == "too_large"
    with pytest.raises(ImageError, match="IMGVEC_MAX_BYTES"):
        decode_sandboxed(data)
    monkeypatch.setenv("IMGVEC_MAX_BYTES", str(len(data)))
    assert fetch_bytes(ImageReference(path="a.png"), tmp_path) == data


def test_a_side_may_be_as_many_times_the_other_as_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(Image.new("RGB", (30, 1)))
    with pytest.raises(ImageError, match="IMGVEC_MAX_ASPECT"):
        decode_image(data)
    monkeypatch.setenv("IMGVEC_MAX_ASPECT", "30")
    assert decode_image(data).size == (30, 1)


@pytest.mark.parametrize("size", [(300, 9000), (9000, 300), (231, 7001), (100, 2100), (6, 4000)], ids=str)
@pytest.mark.parametrize("name", ["PNG", "JPEG"])
def test_of_a_long_picture_the_middle_is_seen_as_if_all_had_been_resized(
    size: tuple[int, int], name: str
) -> None:
    picture = long_picture(*size)
    data = encode(picture, name)
    whole = decode_image(data, any_aspect=True)
    resized = whole.resize(CLIP.size(size), Image.Resampling.BICUBIC)
    left, top = ((side - 224) // 2 for side in resized.size)
    expected = np.asarray(resized.crop((left, top, left + 224, top + 224))).astype(int)
    seen = np.asarray(decode_sandboxed(data, CLIP)).astype(int)
    assert np.abs(seen - expected).max() <= 2  # of rounding, twice
    assert np.abs(seen - expected).mean() < 0.25
    with pytest.raises(ImageError, match="one side may be 20 times"):
        decode_resized(data, CLIP, rendering=1)


def test_a_long_jpeg_that_is_shrunk_on_load_shows_its_middle() -> None:
    picture = long_picture(1000, 24_000)
    data = encode(picture, "JPEG", quality=95)
    exact = np.asarray(CLIP.apply(decode_image(data, any_aspect=True))).astype(int)
    assert np.abs(np.asarray(decode_sandboxed(data, CLIP)).astype(int) - exact).mean() < 2.0


def test_a_picture_of_any_length_takes_no_more_memory_than_its_pixels() -> None:
    data = encode(Image.new("RGB", (64_000_000, 1)), compress_level=1)
    assert decode_sandboxed(data, CLIP).size == (224, 224)


def test_a_model_that_sees_all_of_a_picture_refuses_a_long_one() -> None:
    data = encode(long_picture(100, 2100))
    with pytest.raises(ImageError, match="one side may be 20 times"):
        decode_resized(data, SQUASH)
    assert describe_image(data).height == 2100


def test_options_override_the_settings_while_the_command_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[int, int, int]] = []

    def note(*arguments: object, **options: object) -> None:
        seen.append((limits.max_pixels(), limits.max_aspect(), limits.max_image_bytes()))
        raise UsageError("seen")

    monkeypatch.setenv("IMGVEC_MAX_ASPECT", "30")
    monkeypatch.setattr("imgvec_pg.cli.commands.worker.connect", note)
    assert run(cli, ["worker", "any", "--max-pixels", "200000000", "--max-bytes", "1000"]) == 2
    assert seen == [(200_000_000, 30, 1000)]
    assert "IMGVEC_MAX_PIXELS" not in os.environ and os.environ["IMGVEC_MAX_ASPECT"] == "30"
    assert run(cli, ["worker", "any", "--max-pixels", "0"]) == 2
    assert "--max-pixels" in capsys.readouterr().err
