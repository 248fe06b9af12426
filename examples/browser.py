"""Drive the examples and `imgvec browse` in Chromium, as a visitor does; `make browser`.

Prints one line a step and a summary last; exits with 1 when a step fails, and with 0 and "not run" where there is no
Chromium or no playwright. --screenshots writes the pictures of docs/.
"""

import argparse
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs" / "images"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 400.0
SIZE = {"width": 1180, "height": 760}
RED_SQUARE = "red.png"


class Steps:
    """What was looked at, and what of it was not as it should be."""

    def __init__(self, shots: Path | None) -> None:
        self.done = 0
        self.failed: list[str] = []
        self.shots = shots

    def step(self, name: str, look: Callable[[], object]) -> None:
        """Do one step; it fails by an exception or by False."""
        self.done += 1
        try:
            reason = "" if look() is not False else "not as expected"
        except Exception as error:  # a browser's errors are many
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        print(f"{'FAILED' if reason else 'ok':<7} {name}{': ' if reason else ''}{reason}", flush=True)
        if reason:
            self.failed.append(name)

    def shoot(self, page: "Page", name: str) -> None:
        """Keep a screenshot, where they are wanted and all went well so far."""
        if self.shots is not None and not self.failed:
            page.wait_for_load_state("networkidle")
            write_screenshot(page.screenshot(), self.shots / name)


def write_screenshot(png: bytes, file: Path) -> None:
    """Write a screenshot with 256 colours, a third of the bytes."""
    from PIL import Image

    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        file, optimize=True
    )


@contextmanager
def served(command: list[str], url: str, environment: dict[str, str]) -> Iterator[IO[str]]:
    """Run a server until its page answers, give what it says, and end it afterwards."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            wait_for(url, process)
            yield log
        except TimeoutError as error:
            log.seek(0)
            raise SystemExit(f"{error}\n{log.read()[-2000:]}") from error
        finally:
            # Not SIGINT: who runs this in the background of a shell would have it ignored.
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for(url: str, process: "subprocess.Popen[Any]") -> None:
    """Wait until a page answers.

    Raises:
        TimeoutError: The server ended, or never answered.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise TimeoutError(f"the server of {url} ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=20):  # noqa: S310 - our own page
                return
        except urllib.error.HTTPError:
            # It answers: that it wants a token, say.
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise TimeoutError(f"{url} did not answer in {START_SECONDS:.0f} s")


def labelled(page: "Page") -> bool:
    """Whether each field has a label, each picture an alt, and the page a heading and a language."""
    unlabelled = page.evaluate(
        """() => [...document.querySelectorAll('input:not([type=hidden]),select')]
                   .filter(e => !e.labels?.length && !e.ariaLabel).length
              + [...document.querySelectorAll('img:not([alt])')].length
              + (document.querySelectorAll('h1').length === 1 ? 0 : 1) + (document.documentElement.lang ? 0 : 1)"""
    )
    return bool(unlabelled == 0)


def pictures_load(page: "Page") -> bool:
    """Whether every picture that is in view has arrived."""
    page.wait_for_load_state("networkidle")
    script = """() => [...document.images].filter(i => i.getBoundingClientRect().top < innerHeight)
                       .every(i => i.complete && i.naturalWidth > 0)"""
    return bool(page.evaluate(script))


def names(page: "Page", selector: str) -> list[str]:
    """Return the texts of what a selector finds."""
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def visit_shop(page: "Page", url: str, steps: Steps, photo: Path) -> None:
    """The Django shop."""
    steps.step(
        "shop: the first page shows products",
        lambda: page.goto(url) and len(names(page, ".card .name")) == 24,
    )
    steps.step("shop: its pictures arrive", lambda: pictures_load(page))
    steps.step("shop: fields have labels, pictures an alt", lambda: labelled(page))

    def search() -> bool:
        page.get_by_label("What are you looking for?").fill("heart")
        page.get_by_role("button", name="Search").click()
        return all("heart" in name.lower() for name in names(page, ".card .name")[:2])

    steps.step("shop: words find what they name", search)
    steps.shoot(page, "django-shop.png")

    def cheap() -> bool:
        page.get_by_label("Up to").fill("6")
        page.get_by_label("in stock").check()
        page.get_by_role("button", name="Show").click()
        prices = [float(text.split()[0].replace(",", ".")) for text in names(page, ".card .facts b")]
        return bool(prices) and max(prices) <= 6 and not names(page, ".card .facts i")

    steps.step("shop: filters leave the cheap ones in stock, still in order", cheap)
    steps.step(
        "shop: the next page goes on with the same question",
        lambda: (
            page.get_by_role("link", name="Next").click() or ("heart" in page.url and "page=2" in page.url)
        ),
    )

    def more() -> bool:
        page.goto(f"{url}?q=heart")
        first = page.locator(".card").first
        name = first.locator(".name").inner_text()
        first.click()
        alike = names(page, ".card .name")
        return page.get_by_role("heading", level=1).inner_text().lower() == name.lower() and len(alike) == 12

    steps.step("shop: a click on a product shows more like it", more)
    steps.shoot(page, "django-shop-more.png")

    def upload() -> bool:
        page.get_by_label("or by a picture").set_input_files(photo)
        page.get_by_role("button", name="Find alike").click()
        return "Like your picture" in page.content() and len(names(page, ".card .name")) == 24

    steps.step("shop: an uploaded picture finds products", upload)

    steps.step(
        "shop: a photo of several products comes once and says how many",
        lambda: page.goto(f"{url}?q=cat") and "× 4" in names(page, ".card .copies"),
    )

    def no_picture() -> bool:
        page.goto(url)
        page.get_by_label("or by a picture").set_input_files(Path(__file__))
        page.get_by_role("button", name="Find alike").click()
        return page.get_by_role("alert").count() == 1

    steps.step("shop: a file that is no picture is refused in words", no_picture)
    steps.step(
        "shop: markup in the words stays text",
        lambda: (
            page.goto(f"{url}?q=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E")
            and page.locator("img[src=x]").count() == 0
        ),
    )
    steps.step(
        "shop: no picture outside the media folder",
        lambda: status(f"{url}media/../../etc/passwd") in (400, 404),
    )
    steps.step("shop: an upload without its token is refused", lambda: status(f"{url}alike/", b"x=1") == 403)


def visit_admin(page: "Page", url: str, password: str, steps: Steps) -> None:
    """The Django shop's admin."""

    def log_in() -> bool:
        page.goto(f"{url}admin/shop/product/")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        page.locator("#result_list").wait_for()
        return page.locator("#result_list tbody tr").count() == 25 and "ready" in page.content()

    steps.step("admin: the list shows pictures and status", lambda: log_in() and pictures_load(page))
    steps.shoot(page, "django-admin.png")

    def more() -> bool:
        page.get_by_role("link", name="More like this").first.click()
        return len(names(page, ".imgvec-found li b")) == 24 and pictures_load(page)

    steps.step("admin: more like this", more)
    steps.shoot(page, "django-admin-similar.png")


def visit_photos(page: "Page", url: str, steps: Steps, photo: Path) -> None:
    """The Flask photo library."""
    steps.step(
        "photos: the first page shows the newest",
        lambda: page.goto(url) and len(names(page, ".wall span")) == 48,
    )
    steps.step("photos: its pictures arrive", lambda: pictures_load(page))
    steps.step("photos: fields have labels, pictures an alt", lambda: labelled(page))

    def search() -> bool:
        page.get_by_label("What do you remember of the picture?").fill("cat face")
        page.get_by_role("button", name="Search").click()
        return len(names(page, ".wall span")) == 48

    steps.step("photos: words find photos", search)
    steps.shoot(page, "flask-photos.png")

    def album() -> bool:
        page.get_by_role("link", name="Animals & Nature").click()
        return "q=cat" in page.url and "album=" in page.url and len(names(page, ".wall span")) > 5

    steps.step("photos: an album keeps the words", album)

    def more() -> bool:
        page.locator(".wall a").first.click()
        return len(names(page, ".wall span")) == 16

    steps.step("photos: a click shows more like it", more)
    steps.shoot(page, "flask-photos-more.png")

    def upload() -> bool:
        page.get_by_label("or by a picture").set_input_files(photo)
        page.get_by_role("button", name="Find alike").click()
        return len(names(page, ".wall span")) == 48

    steps.step("photos: an uploaded picture finds photos", upload)
    steps.step(
        "photos: a picture that was imported twice comes once",
        lambda: page.goto(f"{url}?q=face") and "× 2" in names(page, ".wall .copies"),
    )
    steps.step(
        "photos: JSON answers too",
        lambda: page.goto(f"{url}api/search?q=flower&k=3") and page.content().count("distance") == 3,
    )
    steps.step("photos: too large an upload is refused", lambda: status(url, b"x" * (9 << 20)) == 413)
    steps.step("photos: another host's name is refused", lambda: status(url, host="evil.example") == 400)


def visit_browse(page: "Page", url: str, steps: Steps) -> None:
    """`imgvec browse`."""
    steps.step("browse: shows what was added last", lambda: page.goto(url) and pictures_load(page))
    steps.step("browse: fields have labels, pictures an alt", lambda: labelled(page))

    def search() -> bool:
        page.get_by_label("Words to search for").fill("red heart")
        page.get_by_role("button", name="Search", exact=True).click()
        page.get_by_text("Nearest first").first.wait_for()
        return any("heart" in name for name in names(page, ".card .name span")[:5])

    steps.step("browse: words find what they name", search)
    steps.shoot(page, "browse.png")
    steps.step(
        "browse: a click finds more like it",
        lambda: page.locator(".card [data-like]").first.click() or "like=" in page.url,
    )


def status(url: str, data: bytes | None = None, host: str | None = None) -> int:
    """Return the status of a request that no page makes."""
    request = urllib.request.Request(url, data)  # noqa: S310 - our own page
    if data is not None and len(data) > 100:
        request.add_header("Content-Type", "multipart/form-data; boundary=x")
    if host is not None:
        request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def find_chromium() -> str | None:
    """Return the browser, None where there is none."""
    return next((path for name in CHROMIUM if (path := shutil.which(name))), None)


def main() -> int:
    """Drive all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--screenshots", action="store_true", help="write the pictures of docs/images")
    parser.add_argument("--home", type=Path, help="keep the examples' data here for the next run")
    options = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        print("browser: not run, there is no Chromium here (Debian: apt install chromium)")
        return 0
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        print("browser: not run, playwright is missing: pip install -c constraints.txt -e '.[browser]'")
        return 0
    steps = Steps(DOCS if options.screenshots else None)
    with tempfile.TemporaryDirectory(prefix="imgvec-browser-") as scratch, sync_playwright() as playwright:
        home = options.home or Path(scratch)
        # The private server's own user must be able to enter.
        Path(scratch).chmod(0o755)
        photo = Path(scratch) / RED_SQUARE
        photo.write_bytes(picture_to_upload())
        # Chromium refuses its sandbox to root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(viewport=SIZE, reduced_motion="reduce")
        page.set_default_timeout(60_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        run_all(page, steps, home, photo)
        steps.step("no page had an error in its script", lambda: not errors)
        browser.close()
    passed = steps.done - len(steps.failed)
    print(
        f"browser: {passed} of {steps.done} steps passed"
        + (f"; failed: {', '.join(steps.failed)}" if steps.failed else "")
    )
    return 1 if steps.failed else 0


def run_all(page: "Page", steps: Steps, home: Path, photo: Path) -> None:
    """Start each server in turn and visit it."""
    shop, photos, browse = "http://127.0.0.1:8001/", "http://127.0.0.1:8002/", "http://127.0.0.1:8003/"
    password = "for this run only"  # noqa: S105 - of a server that ends with it
    environment = {**os.environ, "SHOP_ADMIN_PASSWORD": password}
    with served(
        [sys.executable, str(HERE / "django_shop/run.py"), "--home", str(home / "shop")], shop, environment
    ):
        visit_shop(page, shop, steps, photo)
        visit_admin(page, shop, password, steps)
    with served(
        [sys.executable, str(HERE / "flask_photos/run.py"), "--home", str(home / "photos")],
        photos,
        environment,
    ):
        visit_photos(page, photos, steps, photo)
        dsn = (home / "photos" / "dsn").read_text()
        command = [sys.executable, "-m", "imgvec_pg", "browse", "photo_clip", "--port", "8003", "--dsn", dsn]
        with served(command, browse, environment) as said:
            steps.step("browse: without its token nothing is shown", lambda: status(browse) == 403)
            said.seek(0)
            visit_browse(page, said.read().split()[0], steps)


def picture_to_upload() -> bytes:
    """Return a drawing that is in neither example."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(image).ellipse((30, 30, 170, 170), fill="red")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
