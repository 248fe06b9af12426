"""Formats of the trades that are refused: by their names, by their headers, and what damaged and odd ones come to."""

import contextlib
import struct
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from bad_trades import raw_of_an_unknown_camera, with_tiff_numbers
from dicom_files import dicom, series
from pydicom.uid import MPEG4HP41
from trade_files import CAT, GREY, all_files, dng, exr, linear, pfm, tiff

from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.codecs import codec_registry
from imgvec_pg.images.decoding.decode import decode_image
from imgvec_pg.images.decoding.formats import identify
from imgvec_pg.images.decoding.header import describe_image
from imgvec_pg.images.decoding.sandbox import decode_sandboxed

FILES = {file.name: file.data for file in all_files()}


def refusal(call: Callable[[], object]) -> ImageError:
    with pytest.raises(ImageError) as caught:
        call()
    return caught.value


NAMES = {
    "DICOM": FILES["DICOM 8 bits"],
    "OpenEXR": FILES["OpenEXR"],
    "Radiance HDR": FILES["Radiance HDR"],
    "PFM": FILES["PFM"],
    "JPEG 2000": FILES["JPEG 2000"],
    "JPEG XL": FILES["JPEG XL"],
    "camera raw (DNG)": dng(),
    "camera raw (NEF)": raw_of_an_unknown_camera("NIKON CORPORATION"),
    "camera raw (ARW)": raw_of_an_unknown_camera("SONY"),
    "camera raw (PEF)": raw_of_an_unknown_camera("PENTAX"),
    "camera raw (built on TIFF)": raw_of_an_unknown_camera("Unheard of"),
    "camera raw (CR2)": b"II*\0\x10\0\0\0CR\x02\0" + bytes(40),
    "camera raw (CR3)": b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom" + bytes(40),
    "camera raw (RAF)": b"FUJIFILMCCD-RAW 0201" + bytes(40),
    "camera raw (ORF)": b"IIRO\x08\0\0\0" + bytes(40),
    "camera raw (RW2)": b"IIU\0\x18\0\0\0" + bytes(40),
    "camera raw (X3F)": b"FOVb" + bytes(40),
    "TGA": struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 4, 4, 24, 0) + bytes(48),
    "JPEG XR": b"II\xbc\x01" + bytes(40),
    "PDF": b"%PDF-1.7\n" + bytes(40),
    "TIFF": FILES["TIFF signed 16 bits"],
}


@pytest.mark.parametrize("name", NAMES)
def test_a_format_is_called_what_it_is(name: str) -> None:
    assert identify(NAMES[name]) == name


def test_a_cursor_is_no_tga() -> None:
    cursor = struct.pack("<HHHBBBBHHII", 0, 2, 1, 4, 4, 0, 0, 1, 1, 40, 22) + bytes(60)
    assert identify(cursor) == "CUR"


EXTRAS = {
    "DICOM 8 bits": "dicom",
    "OpenEXR": "exr",
    "Radiance HDR": "tiff",
    "JPEG 2000": "jp2",
    "JPEG XL": "jxl",
    "JPEG 12 bits": "tiff",
    "JPEG-LS": "tiff",
    "TIFF lerc": "tiff",
    "TIFF float RGB": "tiff",
    "TIFF 13 bands in planes": "tiff",
}


@pytest.mark.parametrize("name", EXTRAS)
def test_what_is_not_installed_is_told_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_registry, "_is_there", lambda library: False)
    monkeypatch.setenv("IMGVEC_FORMATS", "tiff")
    for read in (decode_image, describe_image):
        error = refusal(lambda read=read: read(FILES[name]))
        assert error.code == "format_denied"
        assert f"pip install 'imgvec-pg[{EXTRAS[name]}]'" in str(error)
    for word in ("damaged", "replace it"):
        assert word not in str(error)


@pytest.mark.parametrize("formats", ["", "tiff", "web"])
def test_a_raw_without_its_library_is_refused_and_never_its_preview_shown(
    formats: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec_registry, "_is_there", lambda library: False)
    monkeypatch.setenv("IMGVEC_FORMATS", formats)
    for rendering in (1, 2):
        error = refusal(lambda rendering=rendering: decode_image(dng(), rendering=rendering))
        assert error.code == "format_denied" and "camera raw (DNG)" in str(error)
        assert "imgvec-pg[raw]" in str(error)


@pytest.mark.parametrize("name", ["DICOM 8 bits", "JPEG XL", "TIFF lerc", "OpenEXR"])
def test_an_operator_may_leave_out_what_extras_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGVEC_FORMATS", "web")
    error = refusal(lambda: decode_image(FILES[name]))
    assert error.code == "format_denied" and "IMGVEC_FORMATS=web" in str(error)


def huge_files() -> dict[str, bytes]:
    """Return files of every format whose headers announce more than 64 million pixels."""
    side = 60_000
    dicom_header = bytearray(FILES["DICOM 8 bits"])
    for element, size in ((b"\x28\0\x10\0US\x02\0", 208), (b"\x28\0\x11\0US\x02\0", 304)):
        at = dicom_header.index(element + struct.pack("<H", size)) + len(element)
        struct.pack_into("<H", dicom_header, at, side)
    siz = bytearray(FILES["JPEG 2000"])
    at = siz.index(b"\xff\x4f\xff\x51") + 8
    struct.pack_into(">II", siz, at, side, side)
    window = bytearray(FILES["OpenEXR"])
    at = window.index(b"dataWindow\0box2i\0\x10\0\0\0") + 21
    struct.pack_into("<iiii", window, at, 0, 0, side - 1, side - 1)
    frame = bytearray(FILES["JPEG 12 bits"])
    at = frame.index(b"\xff\xc1") + 5
    struct.pack_into(">HH", frame, at, side, side)
    # Codestream: not small, 30 bits of height less 1, ratio 1: as wide as high.
    size = (0 | 3 << 1 | (side - 1) << 3 | 1 << 33).to_bytes(8, "little")
    return {
        "DICOM": bytes(dicom_header),
        "JPEG 2000": bytes(siz),
        "OpenEXR": bytes(window),
        "JPEG 12 bits": bytes(frame),
        "JPEG XL": b"\xff\x0a" + size + FILES["JPEG XL"][10:],
        "Radiance HDR": FILES["Radiance HDR"].replace(b"-Y 208 +X 304", b"-Y %d +X %d" % (side, side)),
        "PFM": b"PF\n%d %d\n-1.0\n" % (side, side) + bytes(64),
        "TIFF": with_tiff_numbers(FILES["TIFF float RGB"], width=side, height=side, rows=1),
    }


@pytest.mark.parametrize("name", huge_files())
def test_pixels_are_counted_in_the_header_before_anything_is_decoded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*arguments: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(codec_registry.Codec, "decode", decode)
    for read in (decode_image, describe_image):
        error = refusal(lambda read=read: read(huge_files()[name]))
        assert error.code == "too_large" and "IMGVEC_MAX_PIXELS" in str(error)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_cut_short_is_no_other_picture(name: str) -> None:
    data = FILES[name]
    for share in (0.02, 0.3, 0.9):
        with contextlib.suppress(ImageError):  # readers of some formats go on with what is there
            assert decode_image(data[: int(len(data) * share)]).size == decode_image(data).size


@pytest.mark.parametrize(
    "name", ["TIFF float RGB", "DICOM 8 bits", "PFM", "JPEG XL", "OpenEXR", "JPEG 2000 12 bits"]
)
def test_a_file_that_lacks_its_second_half_is_damaged(name: str) -> None:
    data = FILES[name]
    assert refusal(lambda: decode_image(data[: len(data) // 2])).code == "truncated"


@pytest.mark.parametrize("name", ["JPEG 12 bits", "JPEG-LS", "JPEG-LS 12 bits"])
def test_a_variant_of_which_only_the_header_is_there_is_not_called_damaged(name: str) -> None:
    header = FILES[name][: FILES[name].index(b"\xff\xda")]
    error = refusal(lambda: decode_image(header + bytes(64)))
    assert error.code == "format_denied"
    assert "of which nothing but the header is here" in str(error)


@pytest.mark.parametrize("name", ["JPEG 12 bits", "JPEG-LS", "JPEG-LS 12 bits"])
def test_a_jpeg_that_lacks_pixels_is_damaged_at_once(name: str) -> None:
    data = FILES[name]
    header = data.index(b"\xff\xda")
    began = time.process_time()
    for end in (header + 40, len(data) // 3, len(data) * 9 // 10, len(data) - 40, len(data) - 2):
        error = refusal(lambda end=end: decode_image(data[:end]))
        assert error.code == "truncated", end
    assert time.process_time() - began < 6  # CharLS alone takes ten for one of them
    assert decode_image(data + bytes(7)).tobytes() == decode_image(data).tobytes()


def test_a_tiff_that_claims_65535_bands_is_refused_from_its_header() -> None:
    data = with_tiff_numbers(FILES["TIFF float RGB"], bands=65_535)
    error = refusal(lambda: decode_sandboxed(data))
    assert error.code == "too_large" and "65535 bands" in str(error)


@pytest.mark.parametrize("compression", [12_345, 48_124, 34_661])
def test_a_tiff_of_a_compression_that_no_library_has_is_not_called_damaged(compression: int) -> None:
    error = refusal(lambda: decode_image(with_tiff_numbers(FILES["TIFF float RGB"], compression=compression)))
    assert error.code == "format_denied" and "damaged" not in str(error)


def test_a_raw_of_an_unknown_camera_is_refused_by_its_name() -> None:
    for data in (raw_of_an_unknown_camera("NIKON CORPORATION"), NAMES["camera raw (CR3)"]):
        error = refusal(lambda data=data: decode_sandboxed(data))
        assert error.code == "format_denied" and "LibRaw" in str(error)


def test_a_dicom_series_of_500_frames_shows_the_one_in_the_middle() -> None:
    image = decode_sandboxed(series(500, GREY[:40, :60].copy()))
    assert np.abs(np.asarray(image)[:, :, 0].astype(int) - GREY[:40, :60]).mean() < 0.6


def test_dicom_that_is_no_picture_is_told() -> None:
    video = dicom([GREY], "MONOCHROME2", 8, MPEG4HP41, [b"\0\0\0\x01"])
    slide = series(4, GREY, TotalPixelMatrixColumns=608, TotalPixelMatrixRows=416)
    report = dicom([GREY], "MONOCHROME2", 8)[:400]
    for data, words in ((video, "MPEG-4"), (slide, "whole slide"), (report, "holds no picture")):
        error = refusal(lambda data=data: decode_image(data))
        assert error.code == "format_denied" and words in str(error)


@pytest.mark.parametrize(
    "make", [pfm, lambda light: exr({"RGB": light}), lambda light: tiff(light, photometric="rgb")]
)
def test_all_nan_is_damaged(make: Callable[[np.ndarray], bytes]) -> None:
    error = refusal(lambda: decode_sandboxed(make(np.full((20, 30, 3), np.nan, np.float32))))
    assert error.code == "truncated" and "finite" in str(error)


def test_negative_floats_and_absurd_light_become_a_picture() -> None:
    for light in (-linear(CAT), linear(CAT) * np.float32(1e37), linear(CAT) * np.float32(1e-37)):
        assert decode_sandboxed(pfm(light)).size == (CAT.shape[1], CAT.shape[0])
        assert decode_sandboxed(tiff(light, photometric="rgb")).size == (CAT.shape[1], CAT.shape[0])


def test_deep_exr_and_exr_without_colours_are_told() -> None:
    error = refusal(lambda: decode_image(exr({"N.X": linear(GREY), "N.Y": linear(GREY)})))
    assert error.code == "format_denied" and "N.X" in str(error)


def test_no_library_of_theirs_runs_in_the_parent() -> None:
    names = ("TIFF lerc", "DICOM JPEG", "JPEG XL", "OpenEXR", "JPEG 2000 12 bits")
    script = (
        "import sys\n"
        "from imgvec_pg.images.decoding.sandbox import decode_sandboxed, describe_sandboxed\n"
        "for data in eval(sys.stdin.read()):\n"
        "    assert decode_sandboxed(data).size == (304, 208)\n"
        "    describe_sandboxed(data)\n"
        "found = {'tifffile', 'imagecodecs', 'rawpy', 'pydicom', 'OpenEXR'} & set(sys.modules)\n"
        "print(sorted(found))\n"
    )
    sent = repr([*(FILES[name] for name in names), dng()])
    done = subprocess.run([sys.executable, "-c", script], input=sent, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
