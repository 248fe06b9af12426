"""DICOM files made by pydicom from a photograph, with the picture that each must become."""

import io
from collections.abc import Sequence
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

Array = npt.NDArray[Any]
Row = tuple[str, bytes, Array, float]


def dicom(
    frames: Sequence[Array],
    photometric: str,
    bits: int,
    syntax: UID = ExplicitVRLittleEndian,
    encoded: list[bytes] | None = None,
    **attributes: object,
) -> bytes:
    """Return a DICOM file.

    Args:
        frames: Each of shape (height, width) or (height, width, 3).
        encoded: The frames as the transfer syntax compresses them; None for none.
        attributes: Of the data set, by keyword.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.826.0.1"
    dataset.Modality = "OT"
    first = frames[0]
    dataset.Rows, dataset.Columns = first.shape[:2]
    dataset.SamplesPerPixel = 1 if first.ndim == 2 else 3
    if first.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * first.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(first.dtype.kind == "i")
    dataset.NumberOfFrames = len(frames)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    pixels = b"".join(frame.astype(frame.dtype.newbyteorder(order)).tobytes() for frame in frames)
    dataset.PixelData = encapsulate(encoded) if encoded else pixels + bytes(len(pixels) % 2)
    dataset["PixelData"].VR = "OW" if first.itemsize > 1 else "OB"
    if encoded:
        dataset["PixelData"].is_undefined_length = True
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def items(**attributes: object) -> Items:
    """Return a sequence of one data set."""
    dataset = Dataset()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return Items([dataset])


def dicom_files(cat: Array) -> list[Row]:
    """Return names, files, the pictures that they become, and the mean difference that is allowed."""
    grey = cat[:, :, 1].copy()
    twelve = grey.astype(np.uint16) * 16
    ct = grey.astype(np.int16) * 4 - 200
    stored = (ct + 1024).astype(np.uint16)
    window = {"WindowCenter": 310.5, "WindowWidth": 1021}
    rescale = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    jpeg = imagecodecs.jpeg8_encode(cat, level=95, subsampling="444")
    rgb_jpeg = imagecodecs.jpeg8_encode(cat, level=95, colorspace="RGB", outcolorspace="RGB")
    lossless = imagecodecs.jpeg8_encode(twelve, lossless=True, bitspersample=12)
    extended = imagecodecs.jpeg8_encode(twelve, level=95, bitspersample=12)
    inverted = np.arange(4095, -1, -1, dtype="<u2")
    inverted_lut = items(LUTDescriptor=[4096, 0, 12], LUTData=inverted.tobytes())
    palette: dict[str, object] = {}
    for colour in ("Red", "Green", "Blue"):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        palette[f"{colour}PaletteColorLookupTableData"] = (np.arange(256, dtype="<u2") * 257).tobytes()
    groups = {
        "SharedFunctionalGroupsSequence": items(
            FrameVOILUTSequence=items(**window), PixelValueTransformationSequence=items(**rescale)
        )
    }
    return [
        ("DICOM 8 bits", dicom([grey], "MONOCHROME2", 8), grey, 0.6),
        ("DICOM MONOCHROME1", dicom([255 - grey], "MONOCHROME1", 8), grey, 0.6),
        ("DICOM 12 bits in 16", dicom([twelve], "MONOCHROME2", 12), grey, 0.6),
        ("DICOM CT with a window", dicom([ct], "MONOCHROME2", 16, **window), grey, 0.6),
        (
            "DICOM CT rescaled",
            dicom([stored], "MONOCHROME2", 12, WindowCenter=[310.5, 5], WindowWidth=[1021, 5], **rescale),
            grey,
            0.6,
        ),
        (
            "DICOM LINEAR_EXACT",
            dicom([ct], "MONOCHROME2", 16, WindowCenter=310, WindowWidth=1020, VOILUTFunction="LINEAR_EXACT"),
            grey,
            0.6,
        ),
        ("DICOM groups of frames", dicom([stored], "MONOCHROME2", 12, **groups), grey, 0.6),
        ("DICOM VOI LUT", dicom([twelve], "MONOCHROME1", 12, VOILUTSequence=inverted_lut), grey, 0.6),
        ("DICOM RGB", dicom([cat], "RGB", 8), cat, 0.0),
        ("DICOM palette", dicom([grey], "PALETTE COLOR", 8, **palette), grey, 0.6),
        ("DICOM implicit", dicom([ct], "MONOCHROME2", 16, ImplicitVRLittleEndian, **window), grey, 0.6),
        ("DICOM big endian", dicom([ct], "MONOCHROME2", 16, ExplicitVRBigEndian, **window), grey, 0.6),
        ("DICOM deflated", dicom([grey], "MONOCHROME2", 8, DeflatedExplicitVRLittleEndian), grey, 0.6),
        ("DICOM JPEG", dicom([cat], "YBR_FULL_422", 8, JPEGBaseline8Bit, [jpeg]), cat, 2.5),
        ("DICOM JPEG of RGB", dicom([cat], "RGB", 8, JPEGBaseline8Bit, [rgb_jpeg]), cat, 2.5),
        ("DICOM JPEG 12 bits", dicom([twelve], "MONOCHROME2", 12, JPEGExtended12Bit, [extended]), grey, 1.5),
        ("DICOM JPEG lossless", dicom([twelve], "MONOCHROME2", 12, JPEGLosslessSV1, [lossless]), grey, 0.6),
        (
            "DICOM JPEG-LS",
            dicom(
                [ct],
                "MONOCHROME2",
                16,
                JPEGLSLossless,
                [imagecodecs.jpegls_encode(ct.view(np.uint16))],
                **window,
            ),
            grey,
            0.6,
        ),
        (
            "DICOM JPEG 2000",
            dicom(
                [cat],
                "YBR_RCT",
                8,
                JPEG2000Lossless,
                [imagecodecs.jpeg2k_encode(cat, level=0, codecformat="j2k")],
            ),
            cat,
            0.6,
        ),
        ("DICOM RLE", dicom([grey], "MONOCHROME2", 8, RLELossless, [_run_lengths(grey)]), grey, 0.6),
        ("DICOM 500 frames", series(500, grey[::4, ::4]), grey[::4, ::4], 0.6),
        ("DICOM representative frame", series(20, grey, RepresentativeFrameNumber=11), grey, 0.6),
    ]


def series(count: int, middle: Array, **attributes: object) -> bytes:
    """Return a series whose frames are black but the one in the middle."""
    frames = [np.zeros_like(middle)] * count
    frames[count // 2] = middle
    return dicom(frames, "MONOCHROME2", 8, **attributes)


def _run_lengths(grey: Array) -> bytes:
    """Return a frame in DICOM's RLE, PS3.5 annex G, without runs: each row in pieces of at most 128."""
    body = b""
    for row in grey:
        line = row.tobytes()
        for start in range(0, len(line), 128):
            piece = line[start : start + 128]
            body += bytes([len(piece) - 1]) + piece
    body += bytes(len(body) % 2)
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little")
    return header.ljust(64, b"\0") + body
