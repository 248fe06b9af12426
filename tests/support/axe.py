"""axe-core on a page of a browser: what it finds of serious impact or more. Takes what `make browser` has npm install."""

import os
from pathlib import Path
from typing import Any

import pytest

FILE = Path(os.environ.get("IMGVEC_AXE", ".imgvec/axe/node_modules/axe-core/axe.min.js"))


def require_axe() -> None:
    """Skip the test where axe-core is not installed."""
    if not FILE.is_file():
        pytest.skip(f"{FILE} is missing: npm install --prefix .imgvec/axe axe-core")


def serious(page: Any) -> list[str]:
    """Return the rules that a page breaks, each with where."""
    page.evaluate(FILE.read_text(encoding="utf-8"))
    return [
        f"{item['id']}: {[node['target'] for node in item['nodes'][:3]]}"
        for item in page.evaluate("axe.run()")["violations"]
        if item["impact"] in ("serious", "critical")
    ]
