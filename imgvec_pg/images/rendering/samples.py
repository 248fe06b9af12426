"""Samples of any number of bits, whole or fractional, to 8 bits a channel: the scale is read off tags, else off the samples.

The rules, in order (docs/howto/rendering.md):

1. 8 bits unsigned, and black and white: as they are.
2. A range that the file states (SMinSampleValue, SMaxSampleValue) is spread over 0 to 255.
3. Whole numbers of 0 and more: by the number of bits that the file states where that is less than the type's, else by the
   smallest of 8, 10, 12, 14, 16 and any higher number of bits that holds the highest sample: 10, 12 and 14 bits in 16 are what
   cameras, X-rays and satellites store. Signed ones of 8 bits have 7. Inks (four channels) by their type's: little ink is a light
   picture.
4. Whole numbers of which some are below 0, CT numbers among them: between the percentiles 0.1 and 99.9.
5. Fractions between 0 and 1, give or take a tenth of overshoot, where any reaches a quarter: by 1. Between 0 and 256 where any
   reaches 128: by 255, 8 bits that were filtered. All others: between the percentiles 0.1 and 99.9. Whole numbers in a float
   type: as 3 and 4.

NaN and infinities take no part in it and become black. All channels of a picture share one scale, so that colours stay.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from imgvec_pg.errors import ImageError

Samples = npt.NDArray[Any]
Levels = npt.NDArray[np.uint8]

BIT_DEPTHS = (8, 10, 12, 14, 16)
PERCENTILES = (0.1, 99.9)
OVERSHOOT = 0.1
"""What resampling adds to fractions beyond 0 and 1."""
FAINTEST = 0.25
"""Fractions of which none reaches this are reflectances or the like: no picture meant for viewing is as dark."""
MOST_STATISTICS = 1_000_000
"""Samples that percentiles are taken of, at even distances."""
INKS = 4
ROWS_AT_ONCE = 256
LARGEST_EXPONENT = 1024
FAR = 64
"""Ranges within 2**64 of the ends of what 64 bits hold are moved inwards by as much."""
FEW_BITS_LEVEL = 64
"""The upper byte of a sample of 14 bits in 16 is below this."""


def to_eight_bits(
    samples: Samples,
    *,
    bits: int | None = None,
    white_is_zero: bool = False,
    smin: float | None = None,
    smax: float | None = None,
    nodata: float | None = None,
) -> Levels:
    """Scale samples to 0 to 255 by the rules above.

    Args:
        samples: Shape (height, width) or (height, width, channels), of bool, whole numbers or floats;
            colours only, no alpha; four channels are inks.
        bits: That the file says are used of each sample; None or the type's own where it does not say.
        white_is_zero: The lowest sample is white.
        smin: What the file says is shown black.
        smax: What the file says is shown white.
        nodata: Samples of this value are none (GDAL); they are black.

    Returns:
        The same shape.

    Raises:
        ImageError: `truncated`: no sample is a finite number.
        TypeError: Complex numbers or anything else that is no number.
    """
    if samples.dtype == np.bool_:
        levels: Levels = samples.astype(np.uint8) * np.uint8(255)
    elif samples.dtype == np.uint8:
        levels = samples
    elif samples.dtype.kind in "iuf":
        if nodata:  # 0 is as black as any
            # A fraction was rounded to its type before it was stored.
            missing = samples == (samples.dtype.type(nodata) if samples.dtype.kind == "f" else nodata)
            if missing.any():
                samples, bits = np.where(missing, np.nan, samples.astype(np.float64)), None
        low, high = value_range(samples, bits, smin, smax)
        levels = spread(samples, low, high)
    else:
        raise TypeError(f"samples of type {samples.dtype}, expected whole numbers or fractions")
    return np.uint8(255) - levels if white_is_zero else levels


def opacity(alpha: Samples, colours: Samples, bits: int | None = None) -> Levels:
    """Scale whole-numbered opacity to 0 to 255: by the bits that its colours use where it keeps to them, else by its type's.

    Args:
        alpha: Unsigned.
        colours: Of the same type.
        bits: That the file says are used of each sample.
    """
    most = value_range(colours, bits)[1]
    return spread(alpha, 0.0, most if alpha.max() <= most else float(np.iinfo(alpha.dtype).max))


def value_range(
    samples: Samples, bits: int | None = None, smin: float | None = None, smax: float | None = None
) -> tuple[float, float]:
    """Return the values that are shown black and white; the arguments are `to_eight_bits`'."""
    if smax is not None and np.isfinite(smax) and np.isfinite(smin or 0.0) and smax > (smin or 0.0):
        return float(smin or 0.0), float(smax)
    lowest, highest, is_whole = _extremes(samples)
    if is_whole and lowest >= 0:
        width = 8 * samples.dtype.itemsize
        if samples.dtype.kind != "f" and bits is not None and bits < width and highest < 2.0**bits:
            return 0.0, 2.0**bits - 1
        if samples.ndim == 3 and samples.shape[2] == INKS and samples.dtype.kind == "u":
            return 0.0, 2.0**width - 1
        used = bits_of(highest)
        if samples.dtype == np.int8:
            return 0.0, 127.0
        return 0.0, 2.0**used - 1 if used < LARGEST_EXPONENT else highest
    if not is_whole:
        if lowest >= -OVERSHOOT and FAINTEST <= highest <= 1 + OVERSHOOT:
            return 0.0, 1.0
        if lowest >= 0 and 128 <= highest < 256:
            return 0.0, 255.0
    return _percentiles(samples)


def bits_of(highest: float) -> float:
    """Return the number of bits that whole numbers up to `highest` are taken to use."""
    return next((bits for bits in BIT_DEPTHS if highest < 2.0**bits), float(np.ceil(np.log2(highest + 1))))


def spread(samples: Samples, low: float, high: float) -> Levels:
    """Map `low` to 0 and `high` to 255, rounded, and clip beyond them; NaN becomes 0."""
    levels = np.empty(samples.shape, np.uint8)
    unit = _unit(low, high)
    low, high = low * unit, high * unit
    scale = 255.0 / (high - low) if high > low else 0.0
    # Fractions of a large picture in 64 bits would take eight times its bytes at once.
    for start in range(0, len(samples), ROWS_AT_ONCE):
        part = samples[start : start + ROWS_AT_ONCE].astype(np.float64)
        if samples.dtype.kind == "f":
            missing = ~np.isfinite(part)
            if unit != 1.0:
                with np.errstate(over="ignore"):  # far beyond white
                    part *= unit
            part[missing] = low
        levels[start : start + ROWS_AT_ONCE] = ((part - low) * scale).clip(0, 255) + 0.5
    return levels


def _unit(low: float, high: float) -> float:
    """Return the power of two by which a range at an end of what 64 bits hold is multiplied: length and scale are finite then."""
    if max(abs(low), abs(high)) > 2.0 ** (LARGEST_EXPONENT - FAR):
        return 2.0**-FAR
    return 2.0**FAR if 0 < high - low < 2.0 ** (FAR - LARGEST_EXPONENT) else 1.0


def _extremes(samples: Samples) -> tuple[float, float, bool]:
    """Return the lowest and the highest finite sample, and whether all are whole numbers.

    Raises:
        ImageError: There is none.
    """
    if samples.dtype.kind != "f":
        return float(samples.min()), float(samples.max()), True
    lowest, highest, is_whole = np.inf, -np.inf, True
    for start in range(0, len(samples), ROWS_AT_ONCE):
        part = samples[start : start + ROWS_AT_ONCE]
        part = part[np.isfinite(part)]
        if part.size:
            lowest, highest = min(lowest, float(part.min())), max(highest, float(part.max()))
            is_whole = is_whole and bool((part == np.floor(part)).all())
    if lowest > highest:
        raise ImageError(
            "truncated", "none of the image's samples is a finite number (NaN or infinite all): replace it"
        )
    # 0 and 1 alone, a mask, are fractions as well.
    return lowest, highest, is_whole and not 0 <= lowest <= highest <= 1


def _percentiles(samples: Samples) -> tuple[float, float]:
    flat = samples.reshape(-1)
    flat = flat[:: max(1, flat.size // MOST_STATISTICS)].astype(np.float64)
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return _extremes(samples)[:2]
    unit = _unit(float(flat.min()), float(flat.max()))
    low, high = np.percentile(flat * unit, PERCENTILES) / unit
    if high <= low:
        low, high = flat.min(), flat.max()
    return float(low), float(high)
