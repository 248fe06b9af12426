"""Which three bands of a picture of more than a screen shows become red, green and blue, as a collection says."""

from collections.abc import Sequence

from imgvec_pg.errors import UsageError

Bands = Sequence[int]
"""Numbers of three bands, from 1, as GDAL and rasterio count them; none for those that the file names, else its first three."""
MOST_BANDS = 65_535
"""TIFF 6.0: SamplesPerPixel is a SHORT."""
EXPECTED = "expected three different numbers from 1, red, green and blue, such as 4,3,2"


def check_bands(bands: Bands) -> None:
    """Refuse what is no choice of bands.

    Raises:
        UsageError: Neither none nor three different numbers, 1 to 65,535.
    """
    if not bands:
        return
    shown = ",".join(map(str, bands))
    if len(bands) != 3:
        raise UsageError(f"bands {shown} are {len(bands)}; {EXPECTED}")
    if not all(1 <= band <= MOST_BANDS for band in bands):
        raise UsageError(f"bands {shown} are not all between 1 and {MOST_BANDS}; {EXPECTED}")
    if len(set(bands)) < 3:
        raise UsageError(f"bands {shown} have one twice; {EXPECTED}")
