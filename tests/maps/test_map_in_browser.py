"""The map in Chromium, by pointer and by keys, from a phone to a wide screen; where playwright and Chromium are installed."""

import os
import re
import shutil
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from axe import require_axe, serious
from test_map_page import EVIL, TOKEN, shop
from werkzeug.serving import make_server

from imgvec_pg.database.connect import Connection
from imgvec_pg.pages.application import pages_app
from imgvec_pg.store.collection import Collection

if not os.environ.get("IMGVEC_BROWSER_TESTS"):
    pytest.skip("runs in `make browser`", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
__all__ = ["shop"]
WIDTHS = (390, 1440, 2560)


@pytest.fixture
def address(shop: tuple[Connection, Collection]) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, pages_app(shop[0].info.dsn, TOKEN, "photo_test"), threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/map/?token={TOKEN}"
    server.shutdown()
    thread.join()


def test_a_map_by_keys_and_pointer_from_a_phone_to_a_wide_screen(address: str) -> None:
    problems: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page: Any = browser.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(f"a script ran: {dialog.message}"))
        page.set_default_timeout(60_000)
        page.goto(address)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844 if width < 500 else width * 9 // 16})
            page.goto(address.partition("?")[0])
            page.wait_for_selector("html[data-ready]")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator(".clusters button").count() == 3
        page.locator(".stage").focus()
        said = page.locator("[data-map=said]")
        page.keyboard.press("n")
        first = said.inner_text()
        page.keyboard.press("n")
        assert first.endswith("rows") and said.inner_text() != first
        page.keyboard.press("0")
        box = page.locator(".stage").bounding_box()
        page.keyboard.press("l")
        corners = [
            (20, 20),
            (box["width"] - 90, 20),
            (box["width"] - 90, box["height"] - 20),
            (20, box["height"] - 20),
        ]
        page.mouse.move(box["x"] + 20, box["y"] + 20)
        page.mouse.down()
        for x, y in corners:
            page.mouse.move(box["x"] + x, box["y"] + y, steps=6)
        page.mouse.up()
        page.get_by_role("button", name="Show table").click()
        page.wait_for_selector("#map-rows table")
        assert "@> point(m.x, m.y)" in page.locator("[data-map=statement]").inner_text()
        assert page.locator("#map-rows td", has_text=EVIL).count() == 1
        page.select_option("select[name=by]", "price")
        page.wait_for_selector(".legend .ramp")
        assert page.url.endswith("/map/?by=price")
        page.go_back()
        page.wait_for_selector(".legend .ramp", state="detached")
        browser.close()
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_row_is_found_on_the_map_and_opened_from_it(address: str, scheme: str) -> None:
    """From a row's page to its place, whose card stays and leads back; axe-core looks at both."""
    require_axe()
    problems: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page: Any = browser.new_page(color_scheme=scheme, reduced_motion="reduce")
        page.on("pageerror", lambda error: problems.append(str(error)))
        # Row 2 has no picture, which is a 404.
        page.on(
            "console",
            lambda said: (
                problems.append(said.text) if said.type == "error" and "404" not in said.text else None
            ),
        )
        page.set_default_timeout(60_000)
        page.goto(address)
        page.goto(address.partition("map/")[0] + "row/5")
        page.get_by_role("link", name="On the map").click()
        page.wait_for_selector("html[data-ready]")
        card = page.locator("[data-map=card]")
        card.get_by_text("photo 5").wait_for()
        assert serious(page) == []
        # It stays while the pointer goes elsewhere.
        page.locator(".stage").hover(position={"x": 30, "y": 30})
        card.get_by_role("link", name="Open its row").click()
        page.locator("#row .row[data-key='5']").wait_for()
        assert re.search(r"/\?row=5$", page.url)
        browser.close()
    assert problems == []
