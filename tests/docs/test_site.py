"""The documentation site: built strictly, complete, and loading nothing from elsewhere."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pageblocks import DOCS, ROOT

# Elements that load what their attribute names as soon as the page is shown; a link (`a`) waits for a click.
LOADING = {
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "input": ("src",),
    "form": ("action",),
    "base": ("href",),
}
ELSEWHERE = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
CSS_URL = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])\s*((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


class Loads(HTMLParser):
    """Collects what a page loads from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") in ("canonical", "next", "prev"):
            return
        self.found += [
            f"{tag} {name}={values[name]}"
            for name in LOADING.get(tag, ())
            if ELSEWHERE.match(values.get(name) or "")
        ]
        self.found += CSS_URL.findall(values.get("style") or "")


def loads(text: str) -> list[str]:
    """Return what a page's text loads from elsewhere."""
    parser = Loads()
    parser.feed(text)
    styles = "".join(re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL))
    return parser.found + CSS_URL.findall(styles)


def build(config: Path, site: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(site)],
        cwd=config.parent,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(ROOT / "mkdocs.yml", folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_of_docs_is_on_the_site_but_contributors_own(site: Path) -> None:
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md") if path.parts[len(DOCS.parts)] != "dev"]
    places = [site / page.with_suffix("") / "index.html" for page in pages if page.name != "index.md"]
    assert len(places) > 20
    assert not [place for place in places if not place.exists()]
    assert not (site / "dev").exists()


def test_files_outside_docs_that_pages_link_to_are_on_the_site(site: Path) -> None:
    for place in ("explanation/security", "howto/examples", "changelog"):
        assert (site / place / "index.html").exists()
    pages = "".join(path.read_text() for path in (site / "howto").rglob("*.html"))
    figures = set(re.findall(r'href="\.\./\.\./figures/([^"]+)"', pages))
    assert {"index.txt", "orm.txt"} <= figures
    for name in figures:
        kept = ROOT / "benchmarks" / "results" / name
        assert (site / "figures" / name).read_text() == kept.read_text()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    found = {str(page.relative_to(site)): loads(page.read_text()) for page in pages}
    found |= {str(css.relative_to(site)): CSS_URL.findall(css.read_text()) for css in site.rglob("*.css")}
    assert not {name: urls for name, urls in found.items() if urls}


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example.com/a.js"></script>',
        '<script src="//cdn.example.com/a.js"></script>',
        '<link rel="stylesheet" href="https://fonts.example.com/css?family=A">',
        '<link rel="preconnect" href="https://fonts.example.com">',
        '<img src="https://example.com/a.png">',
        "<style>@import 'https://example.com/a.css';</style>",
        '<p style="background: url(https://example.com/a.png)">',
    ],
)
def test_the_scan_sees_what_a_page_loads(text: str) -> None:
    assert len(loads(text)) == 1


def test_the_scan_lets_links_be() -> None:
    assert loads('<a href="https://example.com">x</a><img src="../a.png"><script src="a.js"></script>') == []


def test_the_search_finds_names_by_their_parts(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    places = {document["location"] for document in index["docs"]}
    assert "reference/settings/" in places and "reference/commands/#imgvec-backfill" in places
    assert re.split(index["config"]["separator"], "near_product_clip_text")[-1] == "text"


BROKEN = {
    "[x](nowhere.md)": "'nowhere.md', but the target is not found",
    "[x](quickstart.md#no-such-heading)": "does not contain an anchor '#no-such-heading'",
    "[x](../benchmarks/searching/peers.py)": "'../benchmarks/searching/peers.py'",
}


def test_each_broken_link_fails_the_build_in_one_line(tmp_path: Path) -> None:
    for name in ("docs", "tools", "imgvec_pg", "benchmarks/results", "examples"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name == "docs":
            shutil.copytree(ROOT / name, tmp_path / name)
        else:
            (tmp_path / name).symlink_to(ROOT / name)
    for name in ("mkdocs.yml", "SECURITY.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    with (tmp_path / "docs" / "index.md").open("a") as page:
        page.write("".join(f"\n{link}\n" for link in BROKEN))
    built = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert built.returncode == 1
    warnings = [line for line in built.stderr.splitlines() if line.startswith(("WARNING", "ERROR"))]
    for told in BROKEN.values():
        [warning] = [line for line in warnings if told in line]
        assert "index.md" in warning
    assert len(warnings) == len(BROKEN), warnings
