"""Sizes and names of the package: what keeps a module readable and a path unambiguous."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median

import pytest

import imgvec_pg

PACKAGE = Path(imgvec_pg.__file__).parent
MOST_LINES_OF_A_FUNCTION = 60
MOST_LINES_OF_A_MODULE = 320
MOST_MODULES_OF_A_FOLDER = 20
MEDIAN_LINES = (90, 160)
"""Of all modules but `__init__.py` that hold a docstring alone."""

COMMAND = "a command, and the package that does its work"
FRAMEWORKS = "the same for SQLAlchemy and for Django"
TWINS = {
    "adopt": COMMAND,
    "classify": COMMAND,
    "collection_ops": "operations of a migration, for Alembic and for Django",
    "error_mapping": "database errors to library errors, of psycopg and of SQLAlchemy",
    "executor": FRAMEWORKS,
    "group": "`imgvec collection`, `imgvec index` and `imgvec model`: each a group of commands",
    "multi_collection": COMMAND,
    "photographs": COMMAND,
    "query": FRAMEWORKS,
    "recommend": COMMAND,
    "search": "`imgvec search`, and search() for SQLAlchemy",
    "server": COMMAND,
    "switch": COMMAND,
    "tune": COMMAND,
    "uninstall": COMMAND,
    "verify": COMMAND,
    "worker": COMMAND,
}
"""File names that stand in several folders, and why."""

TABLE = "the table in store/schema.py, and the value that it is read as"
SAME_CLASS_NAMES = {
    "Alias": TABLE,
    "Calibration": TABLE,
    "Command": "Django finds a management command by this name",
    "EmbeddingRequest": TABLE,
    "Job": TABLE,
    "Migration": "Django finds a migration by this name",
}
"""Class names that are defined several times, and why."""


@cache
def modules() -> dict[Path, str]:
    return {path.relative_to(PACKAGE): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}


def definitions() -> Iterator[tuple[Path, ast.AST]]:
    for path, text in modules().items():
        for node in ast.walk(ast.parse(text)):
            yield path, node


def is_marker(path: Path, text: str) -> bool:
    """Whether a module only makes its folder a package."""
    return path.name == "__init__.py" and all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in ast.parse(text).body
    )


def test_no_function_is_too_long_to_read_at_once() -> None:
    lengths = {
        f"{path}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, node in definitions()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(lengths) > 1000
    assert {name: n for name, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION} == {}


def test_modules_are_neither_too_long_nor_too_short() -> None:
    lengths = {
        str(path): len(text.splitlines()) for path, text in modules().items() if not is_marker(path, text)
    }
    assert {path: n for path, n in lengths.items() if n > MOST_LINES_OF_A_MODULE} == {}
    assert MEDIAN_LINES[0] <= median(lengths.values()) <= MEDIAN_LINES[1]


def test_no_folder_holds_too_many_modules() -> None:
    counts = Counter(str(path.parent) for path in modules())
    assert {folder: n for folder, n in counts.items() if n > MOST_MODULES_OF_A_FOLDER} == {}


def test_a_file_name_stands_in_two_folders_for_a_reason_only() -> None:
    folders: dict[str, list[str]] = defaultdict(list)
    for path in modules():
        # Django finds its commands by the file's name.
        if path.name != "__init__.py" and "management" not in path.parts:
            folders[path.stem].append(str(path.parent))
    twins = {name: places for name, places in folders.items() if len(places) > 1}
    assert {name: places for name, places in twins.items() if name not in TWINS} == {}


def test_a_class_name_is_defined_twice_for_a_reason_only() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path, node in definitions():
        if isinstance(node, ast.ClassDef):
            places[node.name].append(str(path))
    twins = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert {name: paths for name, paths in twins.items() if name not in SAME_CLASS_NAMES} == {}


@pytest.mark.parametrize("name", TWINS)
def test_an_allowed_twin_is_one(name: str) -> None:
    assert sum(path.stem == name for path in modules()) > 1, f"take {name} off the list"


@pytest.mark.parametrize("name", SAME_CLASS_NAMES)
def test_an_allowed_class_name_is_defined_twice(name: str) -> None:
    found = [path for path, node in definitions() if isinstance(node, ast.ClassDef) and node.name == name]
    assert len(found) > 1, f"take {name} off the list"
