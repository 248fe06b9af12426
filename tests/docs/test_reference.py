"""The generated reference pages are the code's, and nothing of the code is left out."""

import re

import click
import pytest
from pageblocks import DOCS, ROOT

from imgvec_pg.cli.main import cli
from tools.docs import errors, generate, python_api, settings
from tools.docs.commands import walk


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    expected = generate.PAGES[name]().rstrip("\n") + "\n"
    told = generate.difference(name, (ROOT / name).read_text(), expected)
    assert told is None, told


def test_a_difference_is_one_line_that_names_page_line_and_command() -> None:
    told = generate.difference("docs/page.md", "a\nold\n", "a\nnew\n")
    assert told == "docs/page.md:2: has 'old', the code says 'new'; run make docs"
    assert generate.difference("docs/page.md", "a\n", "a\n") is None


def test_every_command_and_option_is_there() -> None:
    text = (DOCS / "reference" / "commands.md").read_text()
    sections = dict(re.findall(r"^##+ `(imgvec [a-z -]+)`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    commands = dict(walk(cli, "imgvec"))
    assert set(sections) == set(commands) - {"imgvec"} and len(commands) > 40
    for path, command in commands.items():
        options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
        missing = [
            name for p in options for name in p.opts if path != "imgvec" and f"`{name}`" not in sections[path]
        ]
        assert not missing, (path, missing)


def test_every_variable_of_the_package_is_there() -> None:
    """Looks for the names itself, not as the generator does."""
    found = {
        word
        for path in (ROOT / "imgvec_pg").rglob("*.py")
        for word in re.split(r"[^A-Z_]+", path.read_text())
        if word.startswith("IMGVEC_") and len(word) > len("IMGVEC_")
    }
    text = (DOCS / "reference" / "settings.md").read_text()
    assert len(found) > 10
    assert not [name for name in sorted(found) if f"| `{name}` |" not in text]


def test_a_name_without_description_is_refused_and_named() -> None:
    with pytest.raises(
        ValueError, match=r"variables without a description: IMGVEC_NEW; .* IMGVEC_OLD; correct there"
    ):
        settings.compare_names("variables", {"IMGVEC_OLD": ""}, {"IMGVEC_NEW"}, "there")


def test_every_failure_code_that_is_written_or_compared_is_there() -> None:
    codes = errors.failure_codes()
    assert len(codes) > 18
    text = (DOCS / "reference" / "errors.md").read_text().split("## Failure codes")[1].split("##")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)) == codes
    # Retrying and reporting code names some of them again: none that the page lacks.
    named = re.findall(
        r'\bcode (?:==|!=) "([a-z_]+)"', "".join(p.read_text() for p in (ROOT / "imgvec_pg").rglob("*.py"))
    )
    assert set(named) <= codes


def test_every_sqlstate_is_one_of_postgresql() -> None:
    assert errors.sqlstate("invalid_parameter_value") == "22023"
    with pytest.raises(ValueError, match="no condition of PostgreSQL"):
        errors.sqlstate("no_such_condition")


def test_every_public_name_is_there() -> None:
    text = (DOCS / "reference" / "python.md").read_text()
    names = [name for _, _, module in python_api.PACKAGES for name in python_api.public_names(module)]
    operations = [name.rpartition(".")[2] for name in python_api.alembic_operations()]
    assert {"imgvec_pg.sqlalchemy.near.near", "imgvec_pg.sqlalchemy.search.search"} <= set(names)
    assert {"create_hnsw_index", "replace_hnsw_index", "drop_hnsw_index", "create_collection"} <= set(
        operations
    )
    assert not [name for name in [*names, *python_api.alembic_operations()] if f"::: {name}\n" not in text]


def test_names_of_the_package_on_the_pages_are_there() -> None:
    """The dotted names that generators do not write: a module that moves leaves its old path on a page."""
    pages = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
    found = {
        (page.name, name)
        for page in pages
        for name in re.findall(r"\bimgvec_pg((?:\.[a-z]\w*)+)", page.read_text())
    }
    assert len(found) > 20
    # A group of entry points, which is no module.
    missing = sorted(
        f"{page}: imgvec_pg{name}" for page, name in found if name != ".embedders" and not is_there(name)
    )
    assert missing == []


def is_there(name: str) -> bool:
    """Whether a dotted path below imgvec_pg is a module, or a name in one. Imports no framework."""
    place = ROOT / "imgvec_pg"
    for part in name.strip(".").split("."):
        if (place / part).is_dir():
            place /= part
            continue
        if (place / f"{part}.py").is_file():
            place /= f"{part}.py"
            continue
        module = place if place.is_file() else place / "__init__.py"
        return re.search(rf"\b{part}\b", module.read_text()) is not None
    return True
