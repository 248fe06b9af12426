"""Files of the trades' formats made from a photograph, each with the picture that it must become."""

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import OpenEXR
import tifffile
from dicom_files import dicom_files
from skimage import data as photographs

Array = npt.NDArray[Any]

CAT: Array = photographs.chelsea()[:208, :304].copy()
GREY: Array = CAT[:, :, 1].copy()
DEEP: Array = CAT.astype(np.uint16) * 257


@dataclass(frozen=True)
class TradeFile:
    """An encoded picture.

    Attributes:
        right: What it shows, shape (height, width) or (height, width, 3), 0 to 255.
        levels: By how much a pixel may differ on average: what its encoder lost, and rounding.
    """

    name: str
    data: bytes
    right: Array
    levels: float = 0.6


def tiff(samples: Array, **options: Any) -> bytes:
    """Return samples as TIFF, by tifffile."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def linear(levels: Array) -> Array:
    """Return the light of sRGB levels, 0 to 1; IEC 61966-2-1."""
    screen = levels / 255.0
    return np.where(screen <= 0.04045, screen / 12.92, ((screen + 0.055) / 1.055) ** 2.4).astype(np.float32)


def bands(count: int) -> Array:
    """Return 12 bit bands as of a satellite, of which the first three are the cat's colours."""
    others = [GREY[::-1] // 2 + 3 * number for number in range(count - 3)]
    return np.stack([CAT[:, :, 0], CAT[:, :, 1], CAT[:, :, 2], *others]).astype(np.uint16) * 16


def exr(channels: dict[str, Array]) -> bytes:
    """Return channels as OpenEXR; its library writes files only."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "picture.exr"
        OpenEXR.File(header, channels).write(str(path))
        return path.read_bytes()


def pfm(light: Array, order: str = "<") -> bytes:
    """Return light as PFM, whose lowest row comes first."""
    height, width = light.shape[:2]
    kind, scale = b"PF" if light.ndim == 3 else b"Pf", b"-1.0" if order == "<" else b"1.0"
    return b"%s\n%d %d\n%s\n" % (kind, width, height, scale) + light[::-1].astype(order + "f4").tobytes()


def dng(preview: tuple[int, int, int] = (255, 0, 0)) -> bytes:
    """Return a camera raw of the cat, whose preview is of one colour."""
    return dng_of(CAT, preview)


def dng_of(picture: Array, preview: tuple[int, int, int] = (255, 0, 0)) -> bytes:
    """Return a camera raw of a picture of even sides; by the DNG specification 1.4."""
    light = linear(picture)
    mosaic = np.empty(light.shape[:2], np.float32)
    for place, channel in (((0, 0), 0), ((0, 1), 1), ((1, 0), 1), ((1, 1), 2)):
        mosaic[place[0] :: 2, place[1] :: 2] = light[place[0] :: 2, place[1] :: 2, channel]
    # XYZ of D65 to linear sRGB, as if the camera's own colours were these.
    matrix = (
        3.2404542,
        -1.5371385,
        -0.4985314,
        -0.969266,
        1.8760108,
        0.041556,
        0.0556434,
        -0.2040259,
        1.0572252,
    )
    rational = [part for value in matrix for part in (round(value * 10_000), 10_000)]
    tags = [
        (50706, 1, 4, (1, 4, 0, 0), True),
        (50708, 2, 0, "Test camera", True),
        (50721, 10, 9, rational, True),
        (50728, 5, 3, (1, 1) * 3, True),
    ]
    sensor = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True), (50717, 4, 1, 65535, True)]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        small = np.full((60, 80, 3), preview, np.uint8)
        writer.write(small, photometric="rgb", subfiletype=1, subifds=1, extratags=tags, metadata=None)
        writer.write(
            (mosaic * 65535).astype(np.uint16),
            photometric="cfa",
            subfiletype=0,
            extratags=sensor,
            metadata=None,
        )
    return buffer.getvalue()


def tiff_files() -> list[TradeFile]:
    """Return TIFFs of the kinds that Pillow does not read, or reads wrongly."""
    lossless = ("lerc", "webp", "jpegxl", "jpeg2000", "png", "jpegxr")
    in_planes: dict[str, Any] = {"photometric": "rgb", "planarconfig": "separate"}
    of_gdal: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "separate"}
    planes, many = np.moveaxis(DEEP, 2, 0), bands(13)
    deep_half = np.full_like(GREY, 128).astype(np.uint16) * 257
    twelve_bit_jpeg = {"compression": "jpeg", "compressionargs": {"bitspersample": 12}}
    return [
        *(
            TradeFile(f"TIFF {kind}", tiff(CAT, photometric="rgb", compression=kind), CAT)
            for kind in lossless
        ),
        TradeFile("TIFF WebP tiles", tiff(CAT, photometric="rgb", compression="webp", tile=(64, 64)), CAT),
        TradeFile(
            "TIFF 12 bit JPEG",
            tiff(CAT.astype(np.uint16) * 16, photometric="rgb", **twelve_bit_jpeg),
            CAT,
            2.5,
        ),
        TradeFile("TIFF float RGB", tiff((CAT / 255).astype("<f4"), photometric="rgb"), CAT),
        TradeFile(
            "TIFF float RGB, predictor",
            tiff((CAT / 255).astype("<f4"), photometric="rgb", compression="zlib", predictor=3),
            CAT,
        ),
        TradeFile("TIFF half floats", tiff((CAT / 255).astype("<f2"), photometric="rgb"), CAT),
        TradeFile("TIFF double grey", tiff(GREY / 255), GREY),
        TradeFile(
            "TIFF planes of 16 bits",
            tiff(planes, **in_planes),
            CAT,
        ),
        TradeFile(
            "TIFF planes of 16 bits, Deflate",
            tiff(planes, **in_planes, compression="zlib"),
            CAT,
        ),
        TradeFile(
            "TIFF planes of 16 bits, big endian tiles",
            tiff(
                np.moveaxis(DEEP, 2, 0),
                photometric="rgb",
                planarconfig="separate",
                byteorder=">",
                tile=(32, 48),
            ),
            CAT,
        ),
        TradeFile(
            "TIFF 16 bit tiles",
            # Each process that collects the tests makes it: at the default level 0.2 s.
            tiff(DEEP, photometric="rgb", tile=(64, 64), compression="lzma", compressionargs={"level": 0}),
            CAT,
        ),
        TradeFile("TIFF BigTIFF 16 bits", tiff(DEEP, photometric="rgb", bigtiff=True), CAT),
        TradeFile("TIFF 13 bands in planes", tiff(many, **of_gdal), CAT),
        TradeFile(
            "TIFF 13 bands in pixels",
            tiff(np.moveaxis(many, 0, 2), photometric="minisblack", planarconfig="contig", tile=(64, 64)),
            CAT,
        ),
        TradeFile("TIFF bands from blue to red, as GDAL names them", blue_first(), CAT),
        TradeFile("TIFF 3 bands of 16 bits, as GDAL", tiff(bands(3), **of_gdal), CAT),
        TradeFile("TIFF 4 bands of 16 bits, as GDAL", tiff(bands(4), **of_gdal), CAT),
        TradeFile("TIFF 16 bits, white is zero", tiff(65535 - DEEP[:, :, 1], photometric="miniswhite"), GREY),
        TradeFile("TIFF signed 16 bits", tiff(GREY.astype("<i2")), GREY),
        TradeFile(
            "TIFF associated alpha of 16 bits",
            tiff(
                np.dstack([DEEP // 2, deep_half]),
                photometric="rgb",
                extrasamples=["assocalpha"],
            ),
            CAT / 2 + 127,
            1.2,
        ),
        TradeFile(
            "TIFF alpha of 16 bits",
            tiff(
                np.dstack([DEEP, deep_half]),
                photometric="rgb",
                extrasamples=["unassalpha"],
            ),
            CAT / 2 + 127,
            1.2,
        ),
        TradeFile("TIFF thumbnail first", thumbnail_first(), CAT),
    ]


def blue_first() -> bytes:
    """Return 4 bands as a satellite's: blue, green, red and another; as rasterio 1.5 writes which is which."""
    names = ("Blue", "Green", "Red", "Undefined")
    rows = "".join(
        f'  <Item name="COLORINTERP" sample="{place}" role="colorinterp">{name}</Item>\n'
        for place, name in enumerate(names)
    )
    metadata = f"<GDALMetadata>\n{rows}</GDALMetadata>"
    pixels = np.moveaxis(bands(4), 0, 2)[:, :, [2, 1, 0, 3]].copy()
    extra = [(42112, 2, 0, metadata, True)]
    return tiff(pixels, photometric="minisblack", planarconfig="contig", extratags=extra)


def thumbnail_first() -> bytes:
    """Return a TIFF whose first page is a smaller copy of another colour."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(np.full((40, 60, 3), (0, 255, 0), np.uint8), photometric="rgb", subfiletype=1)
        writer.write(CAT, photometric="rgb", subfiletype=0)
    return buffer.getvalue()


def other_files() -> list[TradeFile]:
    """Return JPEG, JPEG 2000, JPEG XL and scenes of light; JPEG XL's encoder takes more than 8 bits for linear light."""
    deep = CAT.astype(np.uint16) * 16
    light = linear(CAT)
    opaque = np.dstack([CAT, np.full_like(GREY, 128)])
    return [
        TradeFile("JPEG 12 bits", imagecodecs.jpeg8_encode(deep, level=95, bitspersample=12), CAT, 2.5),
        TradeFile(
            "JPEG 12 bits, grey",
            imagecodecs.jpeg8_encode(deep[:, :, 1].copy(), level=95, bitspersample=12),
            GREY,
            1.5,
        ),
        TradeFile("JPEG-LS", imagecodecs.jpegls_encode(CAT), CAT),
        TradeFile("JPEG-LS 12 bits", imagecodecs.jpegls_encode(deep[:, :, 1].copy()), GREY),
        TradeFile("JPEG 2000", imagecodecs.jpeg2k_encode(CAT, level=0), CAT),
        TradeFile("JPEG 2000 12 bits", imagecodecs.jpeg2k_encode(deep, level=0, bitspersample=12), CAT),
        TradeFile(
            "JPEG 2000 16 bits, grey, codestream",
            imagecodecs.jpeg2k_encode(DEEP[:, :, 1].copy(), level=0, codecformat="j2k"),
            GREY,
        ),
        TradeFile("JPEG XL", imagecodecs.jpegxl_encode(CAT, lossless=True), CAT),
        TradeFile("JPEG XL lossy", imagecodecs.jpegxl_encode(CAT, level=90), CAT, 3.0),
        TradeFile(
            "JPEG XL 10 bits",
            imagecodecs.jpegxl_encode(
                (light * 1023 + 0.5).astype(np.uint16), lossless=True, bitspersample=10
            ),
            CAT,
        ),
        TradeFile(
            "JPEG XL 16 bits, grey",
            imagecodecs.jpegxl_encode((light[:, :, 1] * 65535 + 0.5).astype(np.uint16), lossless=True),
            GREY,
            0.8,
        ),
        TradeFile(
            "JPEG XL floats",
            imagecodecs.jpegxl_encode(light, lossless=True),
            CAT,
            1.2,
        ),
        TradeFile("JPEG XL alpha", imagecodecs.jpegxl_encode(opaque, lossless=True), CAT / 2 + 127, 1.2),
        TradeFile(
            "JPEG XL of a JPEG",
            imagecodecs.jpegxl_encode_jpeg(imagecodecs.jpeg8_encode(CAT, level=95)),
            CAT,
            2.5,
        ),
        TradeFile(
            "JPEG XL animation",
            imagecodecs.jpegxl_encode(np.stack([CAT, CAT[::-1]]), photometric="rgb", lossless=True),
            CAT,
        ),
        TradeFile("OpenEXR", exr({"RGB": light}), CAT),
        TradeFile("OpenEXR halves, luminance", exr({"Y": light[:, :, 1].astype(np.float16)}), GREY),
        TradeFile("OpenEXR alpha", exr({"RGBA": np.dstack([light, np.ones_like(light[:, :, 0])])}), CAT),
        TradeFile("Radiance HDR", imagecodecs.rgbe_encode(light, header=True), CAT),
        TradeFile("PFM", pfm(light), CAT),
        TradeFile("PFM big endian, grey", pfm(light[:, :, 1], ">"), GREY),
    ]


@cache
def all_files() -> tuple[TradeFile, ...]:
    """Return every file whose pixels are known by construction; made once in each process."""
    return (*tiff_files(), *other_files(), *(TradeFile(*parts) for parts in dicom_files(CAT)))
