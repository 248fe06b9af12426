"""The review page in Chromium: by keys alone, from a phone to a wide screen; where playwright and Chromium are installed."""

import os
import shutil
from collections.abc import Iterator
from io import BytesIO
from threading import Thread
from typing import Any

import pytest
from axe import require_axe, serious
from PIL import Image, ImageDraw
from test_following_runs import search
from test_review import EVIL, PLACES, TOKEN, decisions, photos
from werkzeug.serving import make_server

from imgvec_pg.database.connect import Connection
from imgvec_pg.pages.application import pages_app
from imgvec_pg.store.collection import Collection

if not os.environ.get("IMGVEC_BROWSER_TESTS"):
    pytest.skip("runs in `make browser`", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
__all__ = ["photos"]
WIDTHS = (390, 1440, 2560)


def drawn(key: int) -> bytes:
    """Return a picture that is larger the higher its key is."""
    image = Image.new("RGB", (300 + 40 * (key % 10), 240 + 30 * (key % 10)), "white")
    colour = ("tomato", "seagreen", "royalblue", "orange")[key // 10]
    ImageDraw.Draw(image).ellipse((40, 40, 220, 200), fill=colour)
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def address(connection: Connection, photos: Collection) -> Iterator[str]:
    for key in PLACES:
        connection.execute("UPDATE shop.photo SET picture = %s, price = id WHERE id = %s", [drawn(key), key])
    search(connection, photos, threshold=0.99)
    server = make_server("127.0.0.1", 0, pages_app(connection.info.dsn, TOKEN, "photo_test"), threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/review/?token={TOKEN}"
    server.shutdown()
    thread.join()


@pytest.fixture
def page() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        browser.close()


def press(page: Any, key: str) -> None:
    """Press a key, and wait for the page that it leads to with its script."""
    with page.expect_navigation(wait_until="load"):
        page.keyboard.press(key)


def test_a_review_by_keys_alone_from_a_phone_to_a_wide_screen(
    connection: Connection, address: str, page: Any
) -> None:
    require_axe()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: problems.append(f"a script ran: {dialog.message}"))
    page.set_default_timeout(60_000)
    page.goto(address)
    assert page.get_by_text(EVIL).count() == 1
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 844 if width < 500 else width * 9 // 16})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(
            "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
        )
        assert page.get_by_role("button", name="Not the same").is_visible()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert serious(page) == [], (width, scheme)
    for key, heading in (("s", "Group 2"), ("ArrowRight", "Group 3"), ("n", "Group 2")):
        press(page, key)
        page.get_by_role("heading", name=heading).wait_for()
    assert decisions(connection) == ["same"] * 3 + ["not_the_same"]
    press(page, "u")
    page.get_by_role("heading", name="Group 3").wait_for()
    assert decisions(connection) == ["same"] * 3
    # Pressed with Ctrl a key is the browser's own.
    page.keyboard.press("Control+k")
    press(page, "k")
    page.get_by_role("heading", name="Group 2").wait_for()
    press(page, "i")
    page.get_by_text("No group is left to decide").wait_for()
    page.locator("summary").press("Enter")
    assert "DELETE FROM" in page.get_by_label("SQL statement").inner_text()
    assert decisions(connection) == ["same"] * 3 + ["keep_both", "ignore"]
    assert problems == []
