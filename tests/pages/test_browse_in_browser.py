"""imgvec browse in Chromium, as people use it: words, filters, keys, touch, from a phone to a wide screen; in `make browser`."""

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from axe import require_axe, serious
from colorshop import COLORS, picture
from pageshop import EVIL, GONE, STICKERS, TOKEN, PageServer, make_stickers

if not os.environ.get("IMGVEC_BROWSER_TESTS"):
    pytest.skip("runs in `make browser`", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
SHOTS = os.environ.get("IMGVEC_SHOTS")
"""A folder for screenshots."""
SIZES = ((390, 844), (1440, 900), (2560, 1440))
WAIT = 90_000
"""Milliseconds; a machine may be busy."""


@pytest.fixture(scope="module")
def pages_server(module_database: str) -> Iterator[PageServer]:
    make_stickers(module_database)
    made = PageServer(module_database, "sticker")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Visitor:
    """A page of a browser of its own, and what went wrong on it."""

    def __init__(self, browser: Any, server: PageServer, size: tuple[int, int], **options: Any) -> None:
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce", **options
        )
        self.server = server
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.problems: list[str] = []
        self.expected = re.compile(r"status of 404")
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._note)
        self.page.on("dialog", lambda dialog: self.problems.append(f"a script ran: {dialog.message}"))
        self.go(f"?token={TOKEN}")

    def _note(self, message: Any) -> None:
        if message.type == "error" and not self.expected.search(message.text):
            self.problems.append(message.text)

    def go(self, path: str) -> None:
        self.page.goto(self.server.address + path)

    def ask(self, words: str) -> None:
        self.page.locator("#q").fill(words)
        self.page.locator("#q").press("Enter")
        self.page.get_by_text("Nearest first").first.wait_for()

    def keys(self) -> list[int]:
        """Return the keys of the pictures on the page, in order."""
        return [
            int(key)
            for key in self.page.locator("#cards > .card").evaluate_all(
                "(all) => all.map((c) => c.dataset.key)"
            )
        ]

    def wait_for_chip(self, text: str) -> None:
        self.page.locator(".chip", has_text=text).wait_for()

    def settle(self) -> None:
        self.page.wait_for_load_state("networkidle")

    def shoot(self, name: str) -> None:
        if SHOTS:
            self.settle()
            self.page.screenshot(path=f"{SHOTS}/{name}.png")


@pytest.fixture
def visitor(browser: Any, pages_server: PageServer) -> Iterator[Visitor]:
    made = Visitor(browser, pages_server, (1440, 900))
    yield made
    made.context.close()
    assert made.problems == []


def states(visitor: Visitor) -> Iterator[str]:
    """Bring a visitor's page into each of its states, and tell their names."""
    page = visitor.page
    yield "plain"
    if page.locator("[data-open-panel]").is_visible():
        page.locator("[data-open-panel]").click()
        yield "filters"
        page.locator("[data-close-panel]").click()
    visitor.ask("red")
    page.locator(".sql summary").click()
    yield "words"
    visitor.go("?q=red&order=-added&max%3Aprice=6&is%3Ain_stock=true")
    page.locator(".cut").wait_for()
    yield "near-enough"
    visitor.go("?saved=outliers&is%3Acolour=red")
    page.locator(".card").first.wait_for()
    yield "outliers"
    visitor.go("?q=red&beside=sticker_too")
    page.locator(".beside .card").first.wait_for()
    yield "beside"
    visitor.go("?like=1")
    page.locator(".card .picture").first.click()
    page.locator("#row .about").wait_for()
    yield "row"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.locator("#keys").wait_for()
    yield "keys"
    visitor.go("?max%3Aprice=0")
    page.get_by_text("No row meets these filters").wait_for()
    yield "empty"
    visitor.go("?order=gone")
    page.get_by_text("no column").wait_for()
    yield "problem"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_each_state_fits_is_readable_and_accessible(
    browser: Any, pages_server: PageServer, size: tuple[int, int], scheme: str
) -> None:
    require_axe()
    phone = {"has_touch": True, "is_mobile": True} if size[0] < 500 else {}
    visitor = Visitor(browser, pages_server, size, color_scheme=scheme, **phone)
    visitor.expected = re.compile(r"status of 40[04]")
    for name in states(visitor):
        visitor.settle()
        visitor.shoot(f"browse-{name}-{size[0]}-{scheme}")
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= size[0], name
        assert serious(visitor.page) == [], name
    visitor.context.close()
    assert visitor.problems == []


def test_by_keys_alone_from_words_to_a_filter_to_a_row(visitor: Visitor) -> None:
    page = visitor.page
    page.keyboard.press("/")
    page.keyboard.type("blue")
    page.keyboard.press("Enter")
    page.get_by_text("Nearest first").first.wait_for()
    # Out of the field of words, over the others in the bar, to the filters' first field, and on to a box.
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "is:colour":
            break
    assert page.evaluate("document.activeElement.closest('label').innerText").split()[0] in COLORS
    page.keyboard.press("Space")
    page.locator(".chip").first.wait_for()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.card .picture')"):
            break
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    keys = visitor.keys()
    assert int(page.evaluate("document.activeElement.closest('.card').dataset.key")) == keys[1]
    page.keyboard.press("Enter")
    page.locator(f"#row .row[data-key='{keys[1]}']").wait_for()
    page.keyboard.press("ArrowRight")
    page.locator(f"#row .row[data-key='{keys[2]}']").wait_for()
    assert f"row={keys[2]}" in page.url
    page.keyboard.press("Escape")
    page.locator("#row .row").wait_for(state="detached")
    assert int(page.evaluate("document.activeElement.closest('.card').dataset.key")) == keys[2]
    page.keyboard.press("m")
    visitor.wait_for_chip(f"like {keys[2]}")
    assert "is%3Acolour" in page.url and f"like={keys[2]}" in page.url and "q=" not in page.url


def test_the_address_is_the_state_over_back_forward_and_reload(visitor: Visitor) -> None:
    page = visitor.page
    visitor.ask("red")
    first = visitor.keys()
    page.locator('[name="max:price"]').fill("4")
    visitor.wait_for_chip("price ≤ 4")
    page.locator('.choice span:text("yes")').click()
    visitor.wait_for_chip("in stock is yes")
    narrowed = visitor.keys()
    page.reload()
    page.locator(".card").first.wait_for()
    assert visitor.keys()[: len(narrowed)] == narrowed[:48]
    assert page.locator('[name="max:price"]').input_value() == "4"
    page.go_back()
    page.locator(".chip", has_text="in stock").wait_for(state="detached")
    assert page.locator('[name="is:in_stock"][value=""]').is_checked()
    page.go_back()
    page.locator(".chip").first.wait_for(state="detached")
    assert visitor.keys()[:10] == first[:10] and page.locator('[name="max:price"]').input_value() == ""
    page.go_forward()
    visitor.wait_for_chip("price ≤ 4")
    page.get_by_label("Remove: price ≤ 4").click()
    page.locator(".chip").first.wait_for(state="detached")
    assert page.locator('[name="max:price"]').input_value() == ""


def test_a_saved_question_goes_with_filters_and_words_leave_it(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("link", name="Least like the rest").click()
    page.get_by_text("Least like the rest first").first.wait_for()
    page.locator(".values label", has_text="red").click()
    visitor.wait_for_chip("colour is red")
    shown = visitor.keys()
    assert "saved=outliers" in page.url and {key % 8 for key in shown} == {0}
    chosen = page.locator(".saved [aria-current]")
    page.locator("#q").fill("blue")
    page.locator("#q").press("Enter")
    chosen.wait_for(state="detached")
    assert "q=blue" in page.url and "saved=" not in page.url and "is%3Acolour=red" in page.url
    page.get_by_role("link", name="Most different").click()
    page.get_by_text("Unlike each other").first.wait_for()
    assert "q=blue" in page.url and "saved=different" in page.url
    page.get_by_role("link", name="Most different").click()
    chosen.wait_for(state="detached")
    page.go_back()
    page.go_back()
    page.go_back()
    page.get_by_text("Least like the rest first").first.wait_for()
    assert page.locator("#q").input_value() == ""


def test_scrolling_shows_every_picture_once(visitor: Visitor) -> None:
    page = visitor.page
    visitor.ask("green")
    while page.locator("#cards .end[data-more]").count():
        before = len(visitor.keys())
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_function(
            "(n) => document.querySelectorAll('#cards > .card').length > n || !document.querySelector('.end[data-more]')",
            arg=before,
        )
    keys = visitor.keys()
    assert len(keys) == len(set(keys)) == STICKERS - 2
    assert page.locator("img[src=x]").count() == 0
    assert page.get_by_text(EVIL).count() == 1
    assert page.locator(".times").count() == 2
    note = page.locator("#missing")
    page.locator(f".card[data-key='{GONE}']").scroll_into_view_if_needed()
    note.wait_for()
    assert page.locator(".card .gone").count() == 1 and "One picture cannot be shown" in note.inner_text()


def test_sliders_write_into_the_fields_and_the_cut_can_be_moved(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_label("price, highest").focus()
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
    page.wait_for_url("**max%3Aprice=**")
    value = float(page.locator('[name="max:price"]').input_value())
    assert 1 < value < 11
    visitor.go("?q=red&order=-price")
    page.locator("#cut").wait_for()
    before = page.locator("#status").inner_text()
    page.locator("#cut").press("End")
    page.wait_for_url("**cut=**")
    page.wait_for_function("(was) => document.getElementById('status').innerText !== was", arg=before)
    assert page.locator("#status").inner_text().startswith(f"{STICKERS - 2} near enough")
    assert page.evaluate("document.activeElement.id") == "cut"


def test_a_picture_is_chosen_pasted_or_dropped(visitor: Visitor) -> None:
    page = visitor.page
    chosen = {"name": EVIL + ".png", "mimeType": "image/png", "buffer": picture("blue")}
    page.locator("#image").set_input_files([chosen])
    visitor.wait_for_chip("like your picture")
    assert visitor.keys()[0] % 8 == 4
    for event, colour in (("paste", 0), ("drop", 2)):
        page.evaluate(
            """async ([kind, colour]) => {
              const canvas = new OffscreenCanvas(90, 60), drawn = canvas.getContext("2d");
              drawn.fillStyle = colour; drawn.fillRect(0, 0, 90, 60);
              const data = new DataTransfer();
              data.items.add(new File([await canvas.convertToBlob()], "x.png", { type: "image/png" }));
              const event = kind === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
                                             : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
              document.body.dispatchEvent(event);
            }""",
            [event, ("red", None, "lime")[colour]],
        )
        page.wait_for_function(
            "(n) => Number(document.querySelector('#cards > .card')?.dataset.key) % 8 === n", arg=colour
        )
    before = page.url
    visitor.expected = re.compile("status of 40[04]")
    page.locator("#image").set_input_files(
        [{"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"}]
    )
    page.get_by_text("the picture cannot be used").wait_for()
    page.locator("#image").set_input_files(
        [{"name": "x.png", "mimeType": "image/png", "buffer": bytes(33 << 20)}]
    )
    page.get_by_text("at most 32 MiB").wait_for()
    assert page.url == before and len(visitor.keys()) >= 48


def test_a_server_that_goes_and_comes_back_is_waited_for(visitor: Visitor) -> None:
    page = visitor.page
    visitor.expected = re.compile("ERR_|404")
    visitor.server.stop()
    try:
        page.locator("#q").fill("magenta")
        page.locator("#q").press("Enter")
        page.get_by_text("imgvec browse does not answer").wait_for()
    finally:
        visitor.server.start()
    page.get_by_text("Nearest first").first.wait_for()
    page.locator("#away").wait_for(state="hidden")
    assert visitor.keys()[0] % 8 == 5


def test_an_injected_script_does_not_run(visitor: Visitor) -> None:
    page = visitor.page
    visitor.expected = re.compile("Content Security Policy")
    broken = page.evaluate(
        """() => new Promise((resolve) => {
          const met = [];
          document.addEventListener("securitypolicyviolation", (event) => {
            met.push(event.violatedDirective);
            if (met.length === 3) resolve(met);
          });
          const script = document.createElement("script");
          script.textContent = "window.injected = 1";
          const image = document.createElement("div");
          image.innerHTML = "<img src=x onerror='window.injected = 1'>";
          const other = document.createElement("script");
          other.src = "https://example.com/x.js";
          document.body.append(script, image, other);
        })"""
    )
    assert all(name.startswith("script-src") for name in broken)
    assert page.evaluate("window.injected") is None


def test_copying_the_sql_and_switching_the_theme(visitor: Visitor) -> None:
    page = visitor.page
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.ask("red")
    page.keyboard.press("Escape")
    page.locator(".sql summary").click()
    page.locator("[data-copy]").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator(".sql pre").inner_text()
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_label("Switch between light and dark").click()
    dark = page.evaluate(background)
    page.reload()
    assert light != dark and page.evaluate(background) == dark


def test_a_stranger_with_a_phone_finds_red_in_stock_under_five(
    browser: Any, pages_server: PageServer
) -> None:
    """By touch and its keyboard: the six steps of docs/howto/browse.md."""
    visitor = Visitor(browser, pages_server, (390, 844), has_touch=True, is_mobile=True)
    page = visitor.page
    page.locator("#q").tap()
    page.keyboard.type("red")
    page.keyboard.press("Enter")
    page.get_by_text("Nearest first").first.wait_for()
    page.get_by_role("button", name="Filters").tap()
    page.locator('.choice span:text("yes")').tap()
    page.locator('[name="max:price"]').tap()
    page.keyboard.type("5")
    page.wait_for_url("**max%3Aprice=5**")
    page.get_by_role("button", name="Show pictures").tap()
    visitor.wait_for_chip("price ≤ 5")
    visitor.wait_for_chip("in stock is yes")
    first = visitor.keys()[0]
    assert first % 8 == 0 and first % 3 != 0 and 1 + first * 7 % 100 / 10 <= 5
    box = page.locator(".card").first.bounding_box()
    assert box["y"] < 844
    visitor.shoot("phone-found")
    visitor.context.close()
    assert visitor.problems == []
