"""Golden pictures of high dynamic range, PQ and HLG in PNG, AVIF and HEIC; what is right is computed here by BT.2100 and BT.2390.

The files hold photographs whose white lies at 203 cd/m2, some with lights beyond it.
"""

from collections.abc import Iterator
from io import BytesIO
from itertools import cycle, product
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pillow_heif
from golden import NAMES, Golden, Levels, linear_to_srgb, photograph, srgb_to_linear
from goldenpngs import chunk
from goldenpngs import encode as encode_png
from iccprofile import to_d50

Floats = npt.NDArray[np.float64]
BY = "BT.2100 and BT.2390 in the tests"
PQ, HLG = 16, 18
PRIMARIES = {1: "sRGB", 9: "BT.2020", 12: "Display P3"}
LUMINANCE = np.array([0.2627, 0.6780, 0.0593])
WHITE, PEAK = 203, 1000


def hdr_pictures() -> Iterator[Golden]:
    """Give all of them."""
    names = cycle(NAMES)
    for transfer, lights in product((PQ, HLG), (0, 3)):
        for primaries in PRIMARIES:
            codes = encode_light(scene(next(names), lights), transfer, primaries)
            label = f"{'PQ' if transfer == PQ else 'HLG'}, {PRIMARIES[primaries]}{', lights' * bool(lights)}"
            cicp = chunk(b"cICP", bytes([primaries, transfer, 0, 1]))
            for bits in (8, 16):
                samples = (codes * (2**bits - 1) + 0.5).astype(np.uint16)
                right = shown(samples / (2**bits - 1), transfer, primaries)
                yield Golden(f"hdr/png {bits} bits, {label}", encode_png(samples, bits, cicp), right, BY)
        codes = encode_light(scene(next(names), lights), transfer, 9)
        label = f"{'PQ' if transfer == PQ else 'HLG'}{', lights' * bool(lights)}"
        yield _avif(label, codes, transfer)
        yield _heic(label, codes, transfer)
    yield _absurd()


def scene(name: str, lights: float) -> Floats:
    """Return a photograph's light in cd/m2, linear sRGB; `lights` makes what is bright that much brighter."""
    linear = srgb_to_linear(photograph(name))
    return WHITE * linear * (1 + lights * linear.max(axis=-1, keepdims=True) ** 4)


def _from_srgb(light: Floats, primaries: int) -> Floats:
    matrix = np.linalg.inv(to_d50(PRIMARIES[primaries])) @ to_d50("sRGB")
    return (light @ matrix.T).clip(min=0)


def pq_encode(light: Floats) -> Floats:
    """SMPTE ST 2084, of cd/m2."""
    power = (light / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def pq_decode(codes: Floats) -> Floats:
    """SMPTE ST 2084, to cd/m2."""
    power = codes ** (1 / 78.84375)
    return 10_000 * ((power - 0.8359375).clip(min=0) / (18.8515625 - 18.6875 * power)) ** (
        1 / 0.1593017578125
    )


def encode_light(light: Floats, transfer: int, primaries: int) -> Floats:
    """Return codes of 0 to 1 of light in cd/m2, linear sRGB."""
    wide = _from_srgb(light, primaries)
    if transfer == PQ:
        return pq_encode(wide)
    display = wide / PEAK
    luminance = (display @ LUMINANCE)[..., None]
    scene_light = np.where(luminance > 0, display * luminance.clip(min=1e-9) ** (1 / 1.2 - 1), 0).clip(0, 1)
    log = 0.17883277 * np.log((12 * scene_light - 0.28466892).clip(min=1e-9)) + 0.55991073
    return np.where(scene_light <= 1 / 12, np.sqrt(3 * scene_light), log)


def decode_light(codes: Floats, transfer: int) -> Floats:
    """Return light in cd/m2 of codes of 0 to 1."""
    if transfer == PQ:
        return pq_decode(codes)
    scene_light = np.where(
        codes <= 0.5, codes**2 / 3, (np.exp((codes - 0.55991073) / 0.17883277) + 0.28466892) / 12
    )
    return PEAK * scene_light * (scene_light @ LUMINANCE)[..., None] ** 0.2


def eetf(light: Floats, peak: float) -> Floats:
    """BT.2390-11 section 5.4.1: from a display of `peak` to one of 203 cd/m2, both of black 0."""
    top = pq_encode(np.array(peak))
    code = (pq_encode(light) / top).clip(max=1)
    highest = pq_encode(np.array(WHITE)) / top
    knee = 1.5 * highest - 0.5
    t = (code - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee)
    spline += (-2 * t**3 + 3 * t**2) * highest
    return pq_decode(np.where(code < knee, code, spline) * top)


def shown(codes: Floats, transfer: int, primaries: int, peak: float = PEAK) -> Levels:
    """Return what is shown of codes of 0 to 1."""
    light = decode_light(codes, transfer)
    largest = light.max(axis=-1, keepdims=True).clip(min=1e-6)
    light = light * eetf(largest, peak) / largest
    to_srgb = np.linalg.inv(to_d50("sRGB")) @ to_d50(PRIMARIES[primaries])
    return linear_to_srgb(light / WHITE @ to_srgb.T)


def _avif(label: str, codes: Floats, transfer: int) -> Golden:
    data: Any = imagecodecs.avif_encode(
        (codes * 1023 + 0.5).astype(np.uint16),
        level=95,
        speed=9,
        bitspersample=10,
        pixelformat="444",
        primaries=9,
        transfer=transfer,
        matrix=9,
    )
    stored = np.asarray(imagecodecs.avif_decode(data)) / 1023
    return Golden(f"hdr/avif, {label}", bytes(data), shown(stored, transfer, 9), BY, most_levels=0.05)


def _heic(label: str, codes: Floats, transfer: int) -> Golden:
    stream = BytesIO()
    pillow_heif.encode(
        "RGB;16",
        codes.shape[1::-1],
        (codes * 65535 + 0.5).astype("<u2").tobytes(),
        stream,
        quality=95,
        chroma=444,
        color_primaries=9,
        transfer_characteristics=transfer,
        matrix_coefficients=9,
        full_range_flag=1,
        save_nclx_profile=True,
    )
    # The only decoder of HEIC here is the one that is used: right is what was encoded.
    return Golden(f"hdr/heic, {label}", stream.getvalue(), shown(codes, transfer, 9), BY, most_levels=1.5)


def _absurd() -> Golden:
    """Up to PQ's end, 10,000 cd/m2: more than any display has."""
    light = scene(NAMES[0], 0)
    light *= 10_000 / light.max()
    samples = (encode_light(light, PQ, 1) * 65535 + 0.5).astype(np.uint16)
    brightest = np.percentile(decode_light(samples / 65535, PQ).max(axis=-1), 99.9)
    right = shown(samples / 65535, PQ, 1, peak=brightest)
    data = encode_png(samples, 16, chunk(b"cICP", bytes([1, PQ, 0, 1])))
    return Golden("hdr/png with absurd luminance", data, right, BY)
