"""Recognise the formats of the trades by their first bytes and tags; no library is asked."""

from imgvec_pg.images.decoding.codecs import tiff_tags

DICOM, OPENEXR, RADIANCE, PFM, TGA, JPEG_2000, JPEG_XL = (
    "DICOM", "OpenEXR", "Radiance HDR", "PFM", "TGA", "JPEG 2000", "JPEG XL",
)  # fmt: skip
RAW = "camera raw"

_BEGINNINGS = {
    b"\x76\x2f\x31\x01": OPENEXR,
    b"#?RADIANCE": RADIANCE,
    b"#?RGBE": RADIANCE,
    b"PF\n": PFM,
    b"Pf\n": PFM,
    b"PF\r\n": PFM,
    b"Pf\r\n": PFM,
    b"\0\0\0\x0cjP  \r\n\x87\n": JPEG_2000,
    b"\xff\x4f\xff\x51": JPEG_2000,
    b"\xff\x0a": JPEG_XL,
    b"\0\0\0\x0cJXL \r\n\x87\n": JPEG_XL,
    b"II\xbc\x01": "JPEG XR",
    b"%PDF-": "PDF",
}
# Raw files that are no TIFF, or one that says so in its first bytes.
_RAW_BEGINNINGS = {
    b"FUJIFILMCCD-RAW": "RAF",
    b"IIRO": "ORF",
    b"IIRS": "ORF",
    b"MMOR": "ORF",
    b"IIU\0": "RW2",
    b"\0MRM": "MRW",
    b"FOVb": "X3F",
}
_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAKES = {
    "NIKON": "NEF",
    "SONY": "ARW",
    "PENTAX": "PEF",
    "RICOH": "PEF",
    "SAMSUNG": "SRW",
    "HASSELBLAD": "3FR",
}
_COLOUR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892
_MINOLTA, _PENTAX_COMPRESSION = 32767, 65535
_TGA_FOOTER = b"TRUEVISION-XFILE.\0"


def identify_trade_format(data: bytes) -> str | None:
    """Return a format's name, a raw file's with its kind such as `camera raw (NEF)`; None where it is none of these."""
    if data[128:132] == b"DICM" or data[:6] in (b"\x08\0\x05\0CS", b"\x08\0\x08\0CS", b"\x02\0\0\0UL"):
        return DICOM
    for beginning, name in _BEGINNINGS.items():
        if data.startswith(beginning):
            return name
    kind = _raw_kind(data)
    if kind is not None:
        return f"{RAW} ({kind})"
    return TGA if _is_tga(data) else None


def _raw_kind(data: bytes) -> str | None:
    for beginning, kind in _RAW_BEGINNINGS.items():
        if data.startswith(beginning):
            return kind
    if data[4:12] == b"ftypcrx ":
        return "CR3"
    if data[6:14] == b"HEAPCCDR":
        return "CRW"
    if not data.startswith(_TIFF_BEGINNINGS):
        return None
    if data[8:11] == b"CR\x02":
        return "CR2"
    return _tiff_raw_kind(data)


def _tiff_raw_kind(data: bytes) -> str | None:
    """Tell a raw file built on TIFF by what its directories hold: the values of a sensor, not colours."""
    directories = tiff_tags.read_directories(data)
    if any(tiff_tags.DNG_VERSION in directory.numbers for directory in directories):
        return "DNG"
    is_raw = any(
        directory.number(tiff_tags.PHOTOMETRIC) in (_COLOUR_FILTER_ARRAY, _LINEAR_RAW)
        or directory.number(tiff_tags.COMPRESSION) in (_MINOLTA, _PENTAX_COMPRESSION)
        for directory in directories
    )
    if not is_raw:
        return None
    make = next(
        (directory.texts[tiff_tags.MAKE] for directory in directories if tiff_tags.MAKE in directory.texts),
        "",
    )
    return next((kind for name, kind in _MAKES.items() if make.upper().startswith(name)), "built on TIFF")


def _is_tga(data: bytes) -> bool:
    """Tell a TGA, which has no signature at its beginning; Truevision TGA 2.0."""
    if data.endswith(_TGA_FOOTER):
        return True
    if len(data) < 18:
        return False
    has_palette, kind, depth = data[1], data[2], data[16]
    palette_length = int.from_bytes(data[5:7], "little")
    if kind in (1, 9):
        return has_palette == 1 and 0 < palette_length <= 256 and data[7] in (15, 16, 24, 32) and depth == 8
    if kind not in (2, 3, 10, 11) or has_palette != 0 or any(data[3:8]):
        return False
    return depth in ((8, 16) if kind in (3, 11) else (15, 16, 24, 32)) and data[17] & 0xC0 == 0
