"""What each format costs a decoding child: python benchmarks/formats.py [MEGAPIXELS [FORMAT ...]].

One picture of each format, 24 megapixels unless told otherwise, goes through a fresh child and is resized there as
for a model of 224 pixels. The table has the seconds, the child's most resident memory and address space beyond an idle
child's, and how many megapixels the default of 2 GiB lets pass. Writes benchmarks/results/formats.txt, where no format is named.
"""

import io
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import imagecodecs
import numpy as np
import pillow_heif
from dicom_files import dicom
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit
from skimage import data as photographs
from trade_files import dng_of, exr, linear, pfm, tiff

from imgvec_pg.embedding.resize import Resize
from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.decoder_process import Decoder
from imgvec_pg.images.limits import DECODE_MEMORY_BYTES
from imgvec_pg.images.rendering.version import NEWEST

os.environ["IMGVEC_MAX_BYTES"] = str(1024**3)
RESULTS = Path(__file__).parent / "results" / "formats.txt"
CLIP = Resize(224, 224, keeps_aspect=True, resampling=int(Image.Resampling.BICUBIC), crops=True)
MIB = 1024**2


def photograph(megapixels: float) -> np.ndarray[Any, Any]:
    """Return a photograph of 3 : 2, enlarged."""
    height = int((megapixels * 1e6 / 1.5) ** 0.5) // 2 * 2
    image = Image.fromarray(photographs.chelsea())
    return np.asarray(image.resize((height * 3 // 2, height), Image.Resampling.BICUBIC))


def by_pillow(picture: np.ndarray[Any, Any], name: str, **options: object) -> bytes:
    """Return it as Pillow writes it."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, name, **options)
    return buffer.getvalue()


def heic(samples: np.ndarray[Any, Any], mode: str, **options: object) -> bytes:
    """Return it as HEIC."""
    buffer = io.BytesIO()
    pillow_heif.encode(
        mode,
        samples.shape[1::-1],
        samples.tobytes(),
        buffer,
        quality=50,
        **options,
    )
    return buffer.getvalue()


def makers(rgb: np.ndarray[Any, Any]) -> dict[str, Callable[[], bytes]]:
    """Return how a file of each format is made."""
    grey = np.ascontiguousarray(rgb[:, :, 1])
    deep = rgb.astype(np.uint16) * 257
    twelve = grey.astype(np.uint16) * 16
    planes = {"planarconfig": "separate", "photometric": "rgb"}
    satellite = {
        "photometric": "minisblack",
        "planarconfig": "contig",
        "tile": (256, 256),
        "compression": "zlib",
    }
    codestream = {"level": 40, "codecformat": "j2k"}
    hdr = {"level": 60, "speed": 10, "bitspersample": 10, "primaries": 9, "transfer": 16, "matrix": 9}
    nclx = {
        "color_primaries": 9,
        "transfer_characteristics": 16,
        "matrix_coefficients": 9,
        "save_nclx_profile": True,
    }
    return {
        "JPEG": lambda: by_pillow(rgb, "JPEG", quality=90),
        "PNG": lambda: by_pillow(rgb, "PNG", compress_level=1),
        "WebP": lambda: by_pillow(rgb, "WEBP", method=0),
        "GIF": lambda: by_pillow(grey, "GIF"),
        "AVIF": lambda: by_pillow(rgb, "AVIF", quality=60, speed=10),
        "AVIF, 10 bits of HDR": lambda: imagecodecs.avif_encode(rgb.astype(np.uint16) * 4, **hdr),
        "HEIC": lambda: heic(rgb, "RGB"),
        "HEIC, 10 bits of HDR": lambda: heic(deep, "RGB;16", **nclx),
        "TIFF, 8 bits": lambda: tiff(rgb, photometric="rgb", compression="zlib"),
        "TIFF, 16 bit RGB": lambda: tiff(deep, photometric="rgb", compression="zlib", rowsperstrip=64),
        "TIFF, 16 bit planes": lambda: tiff(np.moveaxis(deep, 2, 0), compression="zlib", rowsperstrip=64, **planes),
        "TIFF, float RGB": lambda: tiff((rgb / 255).astype("<f4"), photometric="rgb", compression="zlib", rowsperstrip=64),
        "TIFF, 13 bands of 16 bits": lambda: tiff(np.dstack([deep] * 4 + [deep[:, :, :1]]), **satellite),
        "TIFF, JPEG 2000 tiles": lambda: tiff(rgb, photometric="rgb", compression="jpeg2000", tile=(512, 512)),
        "JPEG, 12 bits": lambda: imagecodecs.jpeg8_encode(rgb.astype(np.uint16) * 16, level=90, bitspersample=12),
        "JPEG-LS": lambda: imagecodecs.jpegls_encode(rgb),
        "JPEG 2000": lambda: imagecodecs.jpeg2k_encode(rgb, level=40),
        "JPEG 2000, 12 bits": lambda: imagecodecs.jpeg2k_encode(rgb.astype(np.uint16) * 16, level=40, bitspersample=12),
        "JPEG XL": lambda: imagecodecs.jpegxl_encode(rgb, level=90, effort=3),
        "camera raw (DNG)": lambda: dng_of(rgb),
        "DICOM, 12 bits": lambda: dicom([twelve], "MONOCHROME2", 12, WindowCenter=2048, WindowWidth=4096),
        "DICOM, JPEG": lambda: dicom([rgb], "YBR_FULL_422", 8, JPEGBaseline8Bit, [imagecodecs.jpeg8_encode(rgb, level=90)]),
        "DICOM, JPEG 2000": lambda: dicom([rgb], "YBR_RCT", 8, JPEG2000Lossless, [imagecodecs.jpeg2k_encode(rgb, **codestream)]),
        "OpenEXR, halves": lambda: exr({"RGB": linear(rgb).astype(np.float16)}),
        "Radiance HDR": lambda: imagecodecs.rgbe_encode(linear(rgb), header=True),
        "PFM": lambda: pfm(linear(rgb)),
    }  # fmt: skip


def status(pid: int, name: str) -> int:
    """Return a figure of /proc/PID/status in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def measure(data: bytes) -> tuple[float, int, int]:
    """Return seconds, resident and address space bytes beyond an idle child's.

    Raises:
        ImageError: It is refused.
    """
    child = Decoder()
    try:
        idle, resident = status(child.pid, "VmSize"), status(child.pid, "VmRSS")
        request = {"describe": False, "compare": None, "resize": vars(CLIP), "rendering": NEWEST, "bands": ()}
        began = time.monotonic()
        child.ask(request, data, 3 * 224 * 224)
        seconds = time.monotonic() - began
        return seconds, status(child.pid, "VmHWM") - resident, status(child.pid, "VmPeak") - idle
    finally:
        child.close()


def main() -> None:
    """Measure every format and write the table."""
    megapixels = float(sys.argv[1]) if len(sys.argv) > 1 else 24.0
    rgb = photograph(megapixels)
    count = rgb.shape[0] * rgb.shape[1] / 1e6
    libraries = ("pillow", "pillow_heif", "tifffile", "imagecodecs", "rawpy", "pydicom", "openexr")
    lines = [
        f"One picture of {rgb.shape[1]} x {rgb.shape[0]} pixels ({count:.1f} megapixels) through a fresh child,",
        "resized there to 224.",
        "Seconds by the clock, other work beside, include loading the library. Megapixels: what 2 GiB of address",
        "space let pass at that rate,",
        "the settings' other limits aside.",
        ", ".join(f"{name} {version(name)}" for name in libraries),
        "",
        f"{'format':28}{'file MiB':>10}{'seconds':>9}{'resident MiB':>14}{'address MiB':>13}{'megapixels':>12}",
    ]
    named = sys.argv[2:]
    for name, make in makers(rgb).items():
        if named and name not in named:
            continue
        data = make()
        try:
            seconds, resident, address = measure(data)
        except ImageError as error:
            lines.append(f"{name:28}{len(data) / MIB:10.1f}  {error.code}: {error}")
        else:
            most = DECODE_MEMORY_BYTES / (address / count)
            lines.append(
                f"{name:28}{len(data) / MIB:10.1f}{seconds:9.2f}{resident / MIB:14.0f}{address / MIB:13.0f}{most:12.0f}"
            )
        print(lines[-1], flush=True)
    if not named:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
