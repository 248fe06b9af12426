"""Which codec reads a format, which extra installs its library, and how to ask it, in decoding children only."""

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeVar, cast

from PIL import Image

from imgvec_pg.images.decoding.codecs import recognition
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.settings import more_formats

T = TypeVar("T")

_HERE = "imgvec_pg.images.decoding.codecs"


@dataclass(frozen=True)
class Codec:
    """A format's reader.

    Attributes:
        name: Of the format, as `recognition` has it.
        module: Below `codecs/`; it has `read_size` and `decode`.
        libraries: Modules that it imports.
        extra: Which installs them; None where it takes none.
        media_type: Of the format.
        has_bands: Its `decode` takes which bands are shown.
    """

    name: str
    module: str
    libraries: tuple[str, ...]
    extra: str | None
    media_type: str
    has_bands: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether its libraries are there; none is imported."""
        return all(_is_there(library) for library in self.libraries)

    @property
    def is_available(self) -> bool:
        """Whether it may be asked: installed, and not left out by IMGVEC_FORMATS=web."""
        return self.is_installed and "web" not in more_formats()

    @property
    def way_to_have_it(self) -> str:
        """What to do to have the format decoded."""
        if self.is_installed:
            return "IMGVEC_FORMATS=web leaves it out"
        return f"imgvec-pg[{self.extra}] reads it: pip install 'imgvec-pg[{self.extra}]'"

    def read_size(self, data: bytes) -> tuple[int, int]:
        """Read width and height from the header, upright where `decode` returns it so.

        Raises:
            ImageError: `format_denied` or `too_large`.
            Exception: Anything at all, on damaged bytes.
        """
        function = cast(Callable[[bytes], tuple[int, int]], self._function("read_size"))
        return _quietly(function, data)

    def decode(self, data: bytes, bands: Bands = ()) -> Image.Image:
        """Decode to an upright image of mode RGB, with `info["notes"]` where there is something to note.

        Args:
            bands: Shown of a picture of many, where the format has such.

        Raises:
            ImageError, Exception: As `read_size`.
        """
        function = cast(Callable[..., Image.Image], self._function("decode"))
        return _quietly(partial(function, bands=bands) if self.has_bands else function, data)

    def _function(self, name: str) -> object:
        return getattr(importlib.import_module(f"{_HERE}.{self.module}"), name)


TIFF = Codec("TIFF", "tiff_samples", ("tifffile", "imagecodecs"), "tiff", "image/tiff", has_bands=True)
JPEG_VARIANTS = Codec("JPEG", "jpeg_variants", ("imagecodecs",), "tiff", "image/jpeg")
RAW = Codec(recognition.RAW, "raw", ("rawpy",), "raw", "image/x-raw")
CODECS = {
    codec.name: codec
    for codec in (
        Codec(recognition.DICOM, "dicom", ("pydicom", "imagecodecs"), "dicom", "image/dicom"),
        Codec(recognition.JPEG_XL, "jpeg_xl", ("imagecodecs",), "jxl", "image/jxl"),
        Codec(recognition.JPEG_2000, "jpeg_2000", ("imagecodecs",), "jp2", "image/jp2"),
        Codec(recognition.OPENEXR, "exr", ("OpenEXR",), "exr", "image/x-exr"),
        Codec(recognition.RADIANCE, "radiance", ("imagecodecs",), "tiff", "image/vnd.radiance"),
        Codec(recognition.PFM, "pfm", (), None, "image/x-pfm"),
    )
}


def codec_of(name: str) -> Codec | None:
    """Return the codec of a format's name, whether installed or not."""
    return RAW if name.startswith(recognition.RAW) else CODECS.get(name)


@cache
def _is_there(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _quietly(function: Callable[[bytes], T], data: bytes) -> T:
    """Call it with warnings left out: libraries warn of what they go on with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(data)
