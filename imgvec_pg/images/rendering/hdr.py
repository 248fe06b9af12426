"""High dynamic range (PQ and HLG) to SDR.

1. Code values to light in cd/m2 on a display of 1,000: PQ by SMPTE ST 2084, HLG by ITU-R
   BT.2100-3 table 5 with an OOTF of gamma 1.2.
2. Diffuse white, 203 cd/m2 by ITU-R BT.2408-8, becomes SDR's white. What is brighter is compressed by the EETF of ITU-R
   BT.2390-11 section 5.4.1, from a peak of 1,000 cd/m2 (the picture's own percentile 99.9 where that is more) to 203, on the
   largest of a pixel's three channels, so that hues stay. What is below 88 cd/m2 stays as it is. The peak is no picture's own
   as long as it can be: a scene keeps its middle tones whether a lamp is in it or not.
3. The primaries' matrix to sRGB, clipped to its gamut, and sRGB's curve.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from imgvec_pg.images.rendering.cicp import (
    HLG,
    ROWS_AT_ONCE,
    Chromaticities,
    Floats,
    encode_srgb,
    matrix_to_srgb,
)

WHITE = 203.0
"""cd/m2."""
USUAL_PEAK = 1000.0
"""That PQ is mastered for, and what HLG is for on the display that BT.2100 takes as an example."""
HLG_GAMMA = 1.2
MOST_LIGHT = 10_000.0
PEAK_PERCENTILE = 99.9
MOST_STATISTICS = 1_000_000
# SMPTE ST 2084:2014 section 5.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
# ITU-R BT.2100-3 table 5, and the luminance of its primaries.
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
_CURVE_POINTS = 4096
_GAIN_STEPS = 65536


def to_sdr(
    samples: npt.NDArray[np.uint8 | np.uint16], transfer: int, primaries: Chromaticities
) -> Image.Image:
    """Tone-map RGB samples to sRGB.

    Args:
        samples: Shape (height, width, 3), of the full range of their type.
        transfer: `cicp.PQ` or `cicp.HLG`.
    """
    codes = np.arange(np.iinfo(samples.dtype).max + 1) / np.iinfo(samples.dtype).max
    table = (hlg_to_scene(codes) if transfer == HLG else pq_to_light(codes)).astype(np.float32)

    def light(part: npt.NDArray[np.uint8 | np.uint16]) -> Floats:
        found = table[part]
        if transfer == HLG:
            found *= USUAL_PEAK * (found @ _LUMINANCE)[..., None] ** np.float32(HLG_GAMMA - 1)
        return found

    flat = samples.reshape(-1, 3)
    brightest = light(flat[:: max(1, len(flat) // MOST_STATISTICS)]).max(axis=-1)
    peak = min(max(float(np.percentile(brightest, PEAK_PERCENTILE)), USUAL_PEAK), MOST_LIGHT)
    # Looked up, not computed, for each pixel: of PQ by the largest of its three codes, of HLG by the largest light.
    gains = _gains(
        table if transfer != HLG else np.linspace(0, USUAL_PEAK, _GAIN_STEPS, dtype=np.float32), peak
    )
    matrix = (matrix_to_srgb(primaries) / WHITE).astype(np.float32).T
    result = np.empty(samples.shape, np.uint8)
    for start in range(0, len(samples), ROWS_AT_ONCE):
        codes_of_part = samples[start : start + ROWS_AT_ONCE]
        part = light(codes_of_part)
        if transfer == HLG:
            at = (part.max(axis=-1) * ((_GAIN_STEPS - 1) / USUAL_PEAK) + 0.5).astype(np.uint32)
            np.minimum(at, _GAIN_STEPS - 1, out=at)
        else:
            at = codes_of_part.max(axis=-1)
        part *= gains[at][..., None]
        result[start : start + ROWS_AT_ONCE] = encode_srgb(part @ matrix)
    return Image.fromarray(result)


def _gains(light: Floats, peak: float) -> Floats:
    """Return by what a pixel is multiplied whose brightest channel has such a light in cd/m2."""
    curve_x, curve_y = tone_curve(peak)
    largest = light.clip(min=1e-6)
    gains: Floats = (np.interp(largest, curve_x, curve_y) / largest).astype(np.float32)
    return gains


def tone_curve(peak: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return points of the EETF: a picture's light in cd/m2, ascending, and what is shown of it, at most `WHITE`."""
    codes = np.linspace(0, 1, _CURVE_POINTS)
    light = pq_to_light(codes)
    top = light_to_pq(np.array(peak))
    relative = (codes / top).clip(max=1)
    highest = float(light_to_pq(np.array(WHITE)) / top)
    knee = 1.5 * highest - 0.5
    at = ((relative - knee) / (1 - knee)).clip(min=0)
    bent = (
        (2 * at**3 - 3 * at**2 + 1) * knee
        + (at**3 - 2 * at**2 + at) * (1 - knee)
        + (-2 * at**3 + 3 * at**2) * highest
    )
    return light, pq_to_light(np.where(relative < knee, relative, bent) * top)


def pq_to_light(codes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """PQ's EOTF: 0 to 1 to cd/m2."""
    power = codes ** (1 / _M2)
    light: npt.NDArray[np.float64] = MOST_LIGHT * ((power - _C1).clip(min=0) / (_C2 - _C3 * power)) ** (
        1 / _M1
    )
    return light


def light_to_pq(light: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """PQ's inverse EOTF: cd/m2 to 0 to 1."""
    power = (light / MOST_LIGHT) ** _M1
    codes: npt.NDArray[np.float64] = ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2
    return codes


def hlg_to_scene(codes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """HLG's inverse OETF: 0 to 1 each."""
    scene: npt.NDArray[np.float64] = np.where(
        codes <= 0.5, codes**2 / 3, (np.exp((codes - _C) / _A) + _B) / 12
    )
    return scene
