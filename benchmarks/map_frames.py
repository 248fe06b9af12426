"""How fast the map's page draws: time to the first paint, and frames a second while it is dragged, in headless Chromium.

Run: python -m benchmarks.map_frames [--points N] [--gl swiftshader|hardware]; takes playwright and Debian's chromium.
Points: 24 Gaussian clusters. The page is that of `imgvec map --html` without pictures, from a file, 1,440 x 900. First paint:
from the page's beginning to the first frame with points, decoding of the file's 17 MB for a million included. The map is
dragged by a script for 4 s; frames are counted by requestAnimationFrame. While it moves the page draws as large a share of the
points, a sample by chance, as there is time for (told beside); at rest it draws all: that one frame's time is told too. The
processor's milliseconds a frame are of all of the browser's processes: on a busy machine they tell more than frames do.
swiftshader draws on the processor, so its figures are a lower bound for any GPU. Kept in benchmarks/results/map_frames.txt.
"""

import argparse
import contextlib
import json
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np

from imgvec_pg.maps.colours import CATEGORIES, css
from imgvec_pg.maps.file_page import file_page

SECONDS = 4
DRAG = """async (seconds) => {
  const stage = document.querySelector(".stage"), box = stage.getBoundingClientRect();
  const point = (kind, x, y) =>
    stage.dispatchEvent(new PointerEvent(kind, { pointerId: 1, button: 0, clientX: x, clientY: y, bubbles: true }));
  stage.setPointerCapture = () => {};
  const view = window.imgvecMap;
  const [cx, cy] = [box.left + box.width / 2, box.top + box.height / 2];
  point("pointerdown", cx, cy);
  const begun = performance.now();
  let frames = 0, shares = 0;
  while (performance.now() - begun < seconds * 1000) {
    const angle = (performance.now() - begun) / 400;
    point("pointermove", cx + 200 * Math.cos(angle), cy + 150 * Math.sin(angle));
    await new Promise(requestAnimationFrame);
    frames++; shares += view.share;
  }
  const took = (performance.now() - begun) / 1000;
  clearTimeout(view.rest);
  return [frames / took, shares / frames];
}"""
ALL = "() => imgvecMap.points.time(() => imgvecMap.points.draw(imgvecMap.view, imgvecMap.dot))"


def packed(count: int) -> bytes:
    """Return a generated map as `pack` has them."""
    random = np.random.default_rng(7)
    centres = random.uniform(-45, 45, size=(24, 2))
    numbers = random.integers(24, size=count)
    places = (centres[numbers] + random.normal(size=(count, 2)) * 5).astype("<f4")
    colours = np.array(CATEGORIES, dtype=np.uint8)[numbers % len(CATEGORIES)]
    rows = np.bincount(numbers, minlength=24).tolist()
    clusters = [
        {
            "number": n,
            "name": f"cluster {n}",
            "x": x,
            "y": y,
            "colour": css(CATEGORIES[n % 10]),
            "rows": rows[n],
        }
        for n, (x, y) in enumerate(centres.tolist())
    ]
    head = {
        "count": count,
        "by": "cluster",
        "legend": [],
        "isScale": False,
        "facts": [f"{count:,} rows"],
        "select": "SELECT",
    }
    text = json.dumps(
        {**head, "clusters": clusters, "titles": [], "sizes": [], "tile": 56, "perSheet": 1024}
    ).encode()
    text += b" " * (-len(text) % 4)
    return b"".join(
        [
            len(text).to_bytes(4, "little"),
            text,
            places.tobytes(),
            numbers.astype("<u2").tobytes(),
            colours.tobytes(),
        ]
    )


def processor_seconds() -> float:
    """Return the processor time of all of the browser's processes."""
    import psutil

    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:2])
    return total


def main() -> None:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser()
    parser.add_argument("--points", default="100000,1000000")
    parser.add_argument("--gl", choices=["swiftshader", "hardware"], default="swiftshader")
    given = parser.parse_args()
    flags = ["--no-sandbox"]
    if given.gl == "swiftshader":
        flags += ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    print(f"headless Chromium, {given.gl}, {datetime.now():%Y-%m-%d}")
    heads = ("first paint s", "frames/s dragged", "of the points", "CPU ms a frame", "all points ms")
    print(f"{'points':>10} " + " ".join(f"{head:>16}" for head in heads))
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        for count in map(int, given.points.split(",")):
            file = Path(folder) / "map.html"
            file.write_text(file_page(f"{count:,} points", packed(count), []), encoding="utf-8")
            context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
            page = context.new_page()
            page.set_default_timeout(120_000)
            page.goto(file.as_uri())
            page.wait_for_selector("html[data-ready]")
            first = page.evaluate(
                "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() / 1000))))"
            )
            before = processor_seconds()
            frames, share = page.evaluate(DRAG, SECONDS)
            spent = (processor_seconds() - before) / (frames * SECONDS) * 1000
            whole = page.evaluate(ALL)
            figures = (f"{first:.2f}", f"{frames:.1f}", f"{share:.0%}", f"{spent:.1f}", f"{whole:.1f}")
            print(f"{count:>10,} " + " ".join(f"{figure:>16}" for figure in figures), flush=True)
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
