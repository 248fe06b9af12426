"""DICOM by pydicom: one frame, through its modality's and its window's transformation, as its presentation asks.

Frames compressed by JPEG, JPEG-LS and JPEG 2000 are decoded by imagecodecs, others by pydicom.
"""

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from imgvec_pg.errors import ImageError
from imgvec_pg.images.decoding.codecs.dicom_window import apply_window
from imgvec_pg.images.decoding.codecs.jpeg_frame import require_end
from imgvec_pg.images.decoding.codecs.pixels import Meaning, Samples, to_rgb

# PS3.5 annex A. Others are video, or newer than this.
_JPEGS, _JPEG_LS, _JPEG_2000 = JPEGTransferSyntaxes, JPEGLSTransferSyntaxes, JPEG2000TransferSyntaxes
_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height of a frame in pixels.

    Raises:
        ImageError: `format_denied`: it holds no picture, or one that is not decoded here.
    """
    dataset = _read(data, stop_before_pixels=True)
    return int(dataset.Columns), int(dataset.Rows)


def decode(data: bytes) -> Image.Image:
    """Decode the frame that it names as representative, else the one in the middle.

    Raises:
        ImageError: `format_denied`: as `read_size`.
    """
    dataset = _read(data, stop_before_pixels=False)
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise ImageError("format_denied", "a DICOM file of fractions is not decoded: export it as PNG")
    if "PixelData" not in dataset:
        raise ValueError("it ends before its pixels")
    index = shown_frame(dataset)
    photometric = str(dataset.PhotometricInterpretation)
    samples = _decode_frame(dataset, index)
    if samples.shape[:2] != (dataset.Rows, dataset.Columns):
        raise ValueError("its frame has another size than it says")
    if photometric == "PALETTE COLOR":
        colours = apply_color_lut(samples, dataset)
        return to_rgb((colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours, Meaning())
    if photometric in _MONOCHROME:
        return _show_grey(dataset, samples, index)
    return to_rgb(samples, Meaning(bits=int(dataset.BitsStored), profile=dataset.get("ICCProfile")))


def shown_frame(dataset: Dataset) -> int:
    """Return which frame is shown, from 0: in the middle of a volume there is something to see, at its ends often nothing."""
    count = _frames(dataset)
    named = dataset.get("RepresentativeFrameNumber")
    return int(named) - 1 if named and 1 <= int(named) <= count else count // 2


def _read(data: bytes, *, stop_before_pixels: bool) -> Dataset:
    dataset = dcmread(BytesIO(data), force=data[128:132] != b"DICM", stop_before_pixels=stop_before_pixels)
    if "Rows" not in dataset or "Columns" not in dataset or "PhotometricInterpretation" not in dataset:
        kind = str(dataset.get("Modality") or "unknown")[:16]
        raise ImageError("format_denied", f"a DICOM file (modality {kind}) that holds no picture")
    if "TotalPixelMatrixColumns" in dataset and _frames(dataset) > 1:
        raise ImageError(
            "format_denied", "a DICOM whole slide in tiles is not put together: store an overview of it"
        )
    syntax = _syntax(dataset)
    known = syntax in (*_JPEGS, *_JPEG_LS, *_JPEG_2000, RLELossless) or not syntax.is_compressed
    if not known:
        raise ImageError(
            "format_denied", f"a DICOM file compressed as {syntax.name} is not decoded: store a frame of it"
        )
    return dataset


def _syntax(dataset: Dataset) -> UID:
    meta = getattr(dataset, "file_meta", None)
    # PS3.5 section 10.1: implicit little endian where nothing is said.
    return UID(meta.get("TransferSyntaxUID") or "1.2.840.10008.1.2") if meta else UID("1.2.840.10008.1.2")


def _frames(dataset: Dataset) -> int:
    return max(int(dataset.get("NumberOfFrames") or 1), 1)


def _decode_frame(dataset: Dataset, index: int) -> Samples:
    """Return shape (height, width) or (height, width, 3), colours as RGB."""
    syntax = _syntax(dataset)
    if syntax not in (*_JPEGS, *_JPEG_LS, *_JPEG_2000):
        dataset.file_meta.TransferSyntaxUID = syntax
        frame: Samples = pixel_array(dataset, index=index)
        return frame
    encoded = get_frame(dataset.PixelData, index, number_of_frames=_frames(dataset))
    if syntax in _JPEG_2000:
        samples = imagecodecs.jpeg2k_decode(encoded, numthreads=1)
    elif syntax in _JPEG_LS:
        require_end(encoded)
        samples = imagecodecs.jpegls_decode(encoded)
    else:
        samples = _decode_jpeg(encoded, str(dataset.PhotometricInterpretation))
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[:, :, 0]
    return _signed(samples, int(dataset.BitsStored)) if dataset.PixelRepresentation == 1 else samples


def _decode_jpeg(encoded: bytes, photometric: str) -> Samples:
    # What the file says goes before what a decoder guesses from the frame's own markers, which DICOM's often lack.
    spaces: dict[str, Any] = {}
    if photometric == "RGB":
        spaces = {"colorspace": "RGB", "outcolorspace": "RGB"}
    elif photometric.startswith("YBR"):
        spaces = {"colorspace": "YCbCr", "outcolorspace": "RGB"}
    samples: Samples = imagecodecs.jpeg8_decode(encoded, **spaces)
    return samples


def _signed(samples: Samples, bits: int) -> Samples:
    """Read whole numbers of some bits, which decoders give without their sign, as two's complement."""
    if samples.dtype.kind == "i":
        return samples
    shift = 32 - bits
    return (samples.astype(np.int32) << shift) >> shift


def _show_grey(dataset: Dataset, samples: Samples, index: int) -> Image.Image:
    is_inverted = (
        dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
    )
    values = _measured(dataset, samples, index)
    voi = _frame_group(dataset, index, "FrameVOILUTSequence")
    if voi.get("VOILUTSequence"):
        table = voi.VOILUTSequence[0]
        bits = int(table.LUTDescriptor[2])
        shown = apply_voi_lut(values.astype(np.int64), voi, prefer_lut=True)
        return to_rgb(shown, Meaning(bits, is_inverted, smax=2.0**bits - 1))
    levels = apply_window(values, voi)
    if levels is not None:
        return to_rgb(levels, Meaning(white_is_zero=is_inverted))
    padding = dataset.get("PixelPaddingValue")
    if padding is not None:
        values = np.where(samples == int(padding), np.nan, values.astype(np.float32))
    is_plain = values.dtype.kind in "iu"
    return to_rgb(values, Meaning(int(dataset.BitsStored) if is_plain else None, is_inverted))


def _measured(dataset: Dataset, samples: Samples, index: int) -> Samples:
    """Return what was measured (CT numbers and the like) of what is stored."""
    group = _frame_group(dataset, index, "PixelValueTransformationSequence")
    if group.get("ModalityLUTSequence") or "RescaleSlope" in group:
        measured: Samples = apply_modality_lut(samples, group)
        return measured
    return samples


def _frame_group(dataset: Dataset, index: int, name: str) -> Dataset:
    """Return what holds such attributes: a frame's own group, the one that frames share, or the file; PS3.3 section C.7.6.16."""
    for groups, place in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        sequence = dataset.get(groups)
        if sequence and place < len(sequence) and sequence[place].get(name):
            item: Dataset = sequence[place].get(name)[0]
            return item
    return dataset
