"""MkDocs hook: links from pages to files of the checkout work on the site too.

Pages link to measurements, examples and other files outside docs/ by their path in the checkout, as a reader of the
repository needs it. Those named here become part of the site; a link to any other file outside docs/ stays as it is, which
the strict build refuses.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# File of the checkout: its place on the site.
PAGES = {
    "examples/README.md": "howto/examples.md",
    "SECURITY.md": "explanation/security.md",
    "CHANGELOG.md": "changelog.md",
}
FIGURES = "benchmarks/results"
# A function of the SQL reference; its name alone stands in the table of contents.
SIGNATURE = re.compile(r"^(### `imgvec\.(\w+)\(.*`)$", re.MULTILINE)
LINK = re.compile(r"(\]\()([^)\s#]+)([^)]*\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside docs/ to the site."""
    figures = {str(path.relative_to(ROOT)): f"figures/{path.name}" for path in (ROOT / FIGURES).glob("*.txt")}
    for source, place in (PAGES | figures).items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links by paths of the checkout into links by places on the site."""
    place = page.file.src_uri
    source = next((path for path, on_site in PAGES.items() if on_site == place), f"docs/{place}")

    def moved(link: re.Match[str]) -> str:
        target = link[2]
        if "://" in target or target.startswith(("/", "mailto:")):
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in PAGES:
            path = PAGES[path]
        elif path.startswith(FIGURES):
            path = f"figures/{posixpath.basename(path)}"
        elif path.startswith("docs/"):
            path = path.removeprefix("docs/")
        else:
            return link[0]
        return f"{link[1]}{posixpath.relpath(path, posixpath.dirname(place) or '.')}{link[3]}"

    if place == "reference/sql.md":
        markdown = SIGNATURE.sub(r'\1 { data-toc-label="\2" }', markdown)
    return LINK.sub(moved, markdown)
