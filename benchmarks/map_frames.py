"""How fast the map's page draws: time to the first paint, and frames a second while it is dragged, in headless Chromium.

Run: python -m benchmarks.map_frames [--points N,N] [--gl swiftshader|hardware]; takes playwright and Debian's chromium; a minute.
Points: 24 Gaussian clusters, as the server sends them (13 bytes each), from a server without a database; the page's own scripts
and styles, 1,440 x 900. First paint: from the navigation to the first frame with points, which are a sample of 50,000; all
points: to the last of the others, which the page adds in later frames as there is time for. The map is dragged by a script for
4 s; frames are counted by requestAnimationFrame. While it moves the page draws as large a share of the points, a sample by
chance, as there is time for (told beside). "script ms": of a frame what the page's own script takes, calls of WebGL included.
"CPU ms": processor time of all of the browser's processes a frame; "empty": the same without points, where the canvas
is put together and nothing else: what is ours is the difference. swiftshader draws points on the processor, and the page is put
together by the processor, as Chromium does without a GPU (by swiftshader too, --use-gl=angle, it takes four times as much): a
lower bound for any GPU. Kept in benchmarks/results/map_frames.txt.
"""

import argparse
import contextlib
import json
import logging
import shutil
from datetime import datetime
from pathlib import Path
from threading import Thread

import numpy as np
from flask import Flask, Response, send_from_directory
from werkzeug.serving import make_server

import imgvec_pg.pages
from imgvec_pg.maps.colours import CATEGORIES, css
from imgvec_pg.maps.file_page import WEB

PAGES = Path(imgvec_pg.pages.__path__[0]) / "static"

SECONDS = 4
DRAG = """async ([seconds, isEmpty]) => {
  const view = window.imgvecMap, points = view.points;
  const stage = document.querySelector(".stage"), box = stage.getBoundingClientRect();
  const point = (kind, x, y) =>
    stage.dispatchEvent(new PointerEvent(kind, { pointerId: 1, button: 0, clientX: x, clientY: y, bubbles: true }));
  stage.setPointerCapture = () => {};
  let frames = 0, shares = 0, script = 0;
  const timed = (of, name, how) => {
    const own = Object.getPrototypeOf(of)[name];
    of[name] = (...given) => {
      const before = performance.now();
      how ? how() : own.apply(of, given);
      script += performance.now() - before;
    };
  };
  timed(view, "drawNow", isEmpty && (() => points.draw(view.drawn, 1, 0, 0)));
  timed(view, "pan");
  const [cx, cy] = [box.left + box.width / 2, box.top + box.height / 2];
  point("pointerdown", cx, cy);
  const begun = performance.now();
  while (performance.now() - begun < seconds * 1000) {
    const angle = (performance.now() - begun) / 400;
    point("pointermove", cx + 200 * Math.cos(angle), cy + 150 * Math.sin(angle));
    await new Promise(requestAnimationFrame);
    frames++; shares += Math.min(1, view.budget / points.count);
  }
  const took = (performance.now() - begun) / 1000;
  clearTimeout(view.rest);
  view.isMoving = false;
  point("pointerup", cx, cy);
  delete view.drawNow; delete view.pan;
  return [frames / took, shares / frames, script / frames, frames];
}"""
WATCH = """
  const asked = PointCanvas.prototype.draw;
  PointCanvas.prototype.draw = function (view, size, first = 0, most = this.count) {
    asked.call(this, view, size, first, most);
    window.firstPaint ??= performance.now();
    if (first + most >= this.count) window.lastPaint ??= performance.now();
  };"""
READY = """async () => {
  while (window.lastPaint === undefined) await new Promise(requestAnimationFrame);
  imgvecMap.points.time(() => {});
  return [window.firstPaint / 1000, performance.now() / 1000];
}"""


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
    text = json.dumps({**head, "clusters": clusters}).encode()
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


def page_app(points: bytes) -> Flask:
    """Return the map's page and what it asks for."""
    app = Flask(__name__, static_folder=str(PAGES), static_url_path="/static")
    scripts = "".join(
        f'<script src="web/{name}" defer></script>' for name in ("points.js", "map.js", "panel.js")
    )
    page = (
        '<!doctype html><html lang="en"><head><link rel="stylesheet" href="../static/tokens.css">'
        '<link rel="stylesheet" href="../static/base.css"><link rel="stylesheet" href="web/map.css">'
        f'{scripts}<script src="watch.js" defer></script><script src="web/page.js" type="module"></script></head>'
        f'<body class="map-page"><main>{(WEB / "body.html").read_text(encoding="utf-8")}'
        '<template id="map-controls"><select name="by"><option>cluster</option></select></template>'
        '<section id="map-rows" hidden></section></main></body></html>'
    )

    @app.get("/map/")
    def map_page() -> str:
        return page

    @app.get("/map/points")
    def map_points() -> Response:
        return Response(points, mimetype="application/octet-stream")

    @app.get("/map/watch.js")
    def watch() -> Response:
        return Response(WATCH, mimetype="text/javascript")

    @app.get("/map/web/<name>")
    def web(name: str) -> Response:
        return send_from_directory(WEB, name)

    return app


def main() -> None:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser()
    parser.add_argument("--points", default="100000,1000000")
    parser.add_argument("--gl", choices=["swiftshader", "hardware"], default="swiftshader")
    given = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    flags = ["--no-sandbox"]
    if given.gl == "swiftshader":
        flags += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-compositing"]
    print(f"headless Chromium, {given.gl}, {datetime.now():%Y-%m-%d}")
    heads = (
        "first paint s",
        "all points s",
        "frames/s dragged",
        "of the points",
        "script ms",
        "CPU ms a frame",
        "empty",
    )
    print(f"{'points':>10} " + " ".join(f"{head:>16}" for head in heads))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        for count in map(int, given.points.split(",")):
            server = make_server("127.0.0.1", 0, page_app(packed(count)), threaded=True)
            thread = Thread(target=server.serve_forever)
            thread.start()
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(120_000)
            page.goto(f"http://127.0.0.1:{server.port}/map/")
            first, every = page.evaluate(READY)
            figures = [f"{first:.2f}", f"{every:.2f}"]
            dragged = []
            for is_empty in (False, True):
                before = processor_seconds()
                rate, share, script, frames = page.evaluate(DRAG, [SECONDS, is_empty])
                dragged.append((processor_seconds() - before) / frames * 1000)
                if not is_empty:
                    figures += [f"{rate:.1f}", f"{share:.0%}", f"{script:.1f}"]
            figures += [f"{spent:.1f}" for spent in dragged]
            print(f"{count:>10,} " + " ".join(f"{figure:>16}" for figure in figures), flush=True)
            page.close()
            server.shutdown()
            thread.join()
        browser.close()


if __name__ == "__main__":
    main()
