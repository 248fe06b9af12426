"""The examples of docs/howto/django.md and docs/howto/sqlalchemy.md as files of an application."""

from pathlib import Path

from applicationenv import ROOT
from pageblocks import read_blocks

# What the pages leave to their reader.
BEFORE = {
    "models.py": "from django.db import models\n",
    "views.py": "from django.http import JsonResponse\nfrom shop.models import Product\n",
    "admin.py": "from django.contrib import admin\nfrom shop.models import Product\n"
    "from imgvec_pg.django.admin import ImageSearchAdmin\n",
    "queries.py": "import datetime\n\nfrom django.core.paginator import Paginator\nfrom django.db.models import F\n"
    "from shop.models import Product\ntoday = datetime.date.today()\n",
}


def python_blocks(page: str) -> list[str]:
    """Return a page's Python blocks, in the order of reading."""
    [path] = (ROOT / "docs").rglob(page)
    return [block.text for block in read_blocks(path) if block.language == "python"]


def sqlalchemy_blocks() -> list[str]:
    """Return those of sqlalchemy.md."""
    return python_blocks("sqlalchemy.md")


def sqlalchemy_module() -> str:
    """Return docs/howto/sqlalchemy.md as one module."""
    return "\n".join(sqlalchemy_blocks())


def django_app(folder: Path) -> Path:
    """Write the app `shop` of docs/howto/django.md; return its folder."""
    blocks = {text.splitlines()[0].removeprefix("# "): text for text in python_blocks("django.md")}
    app = folder / "shop"
    app.mkdir(parents=True)
    (app / "__init__.py").touch()
    for name, before in BEFORE.items():
        (app / name).write_text(before + blocks[name])
    return app
