"""The Python reference: one mkdocstrings directive for each public name; signatures and docstrings come at the build."""

import ast
import importlib
from pathlib import Path

from tools.docs.markdown import NOTICE

ROOT = Path(__file__).parents[2]
# Heading, what the names are for, module: all of its `__all__`.
PACKAGES = (
    (
        "SQLAlchemy",
        "`from imgvec_pg.sqlalchemy import …`: [how to use them](../howto/sqlalchemy.md).",
        "imgvec_pg.sqlalchemy",
    ),
    (
        "Django",
        "`from imgvec_pg.django import …`: [how to use them](../howto/django.md).",
        "imgvec_pg.django",
    ),
    ("Flask", "`from imgvec_pg.flask import …`: [how to use them](../howto/flask.md).", "imgvec_pg.flask"),
)
# Heading, what the names are for, the names.
MORE = (
    (
        "Django: admin and migrations",
        "In `imgvec_pg.django.admin`, `.indexes` and `.operations`. `makemigrations` writes `CollectionIndex`.",
        (
            "imgvec_pg.django.admin.ImageSearchAdmin",
            "imgvec_pg.django.indexes.CollectionIndex",
            "imgvec_pg.django.operations.BuildIndex",
        ),
    ),
    (
        "A model of your own",
        "In `imgvec_pg.embedding.embedder`: [how to plug it in](../howto/models.md#a-model-of-your-own).",
        ("imgvec_pg.embedding.embedder.Embedder", "imgvec_pg.embedding.embedder.SimpleEmbedder"),
    ),
)
ALEMBIC = "imgvec_pg/alembic"


def public_names(module: str) -> list[str]:
    """Return what a module offers, by the modules that define it: `near` is a module too, which would hide the function."""
    imported = importlib.import_module(module)
    offered = [(name, getattr(imported, name)) for name in imported.__all__]
    return [f"{made.__module__}.{name}" for name, made in offered]


def alembic_operations() -> list[str]:
    """Return the methods behind op.create_hnsw_index and the others: class methods that take Alembic's `operations`."""
    found = []
    for path in sorted((ROOT / ALEMBIC).glob("*.py")):
        module = f"{ALEMBIC.replace('/', '.')}.{path.stem}"
        for made in ast.parse(path.read_text()).body:
            if isinstance(made, ast.ClassDef):
                found += [
                    f"{module}.{made.name}.{method.name}"
                    for method in made.body
                    if isinstance(method, ast.FunctionDef)
                    and [argument.arg for argument in method.args.args[:2]] == ["cls", "operations"]
                ]
    return found


def section(heading: str, text: str, names: list[str]) -> str:
    """Return a part of the page."""
    return "\n".join([f"## {heading}\n", f"{text}\n", *(f"::: {name}\n" for name in names)])


def render() -> str:
    """Return the page."""
    operations = section(
        "Alembic operations",
        "In a revision they are `op.create_hnsw_index(…)` and so on, without the first argument: "
        "[how to use them](../howto/sqlalchemy.md#alembic).",
        alembic_operations(),
    )
    return "\n".join(
        [
            "# Python API\n",
            "What applications import. Everything else may change without notice. Errors are under [errors](errors.md); all "
            "derive from `imgvec_pg.errors.ImgvecError`.\n",
            *(section(heading, text, public_names(module)) for heading, text, module in PACKAGES),
            operations,
            *(section(heading, text, list(names)) for heading, text, names in MORE),
            NOTICE,
        ]
    )
