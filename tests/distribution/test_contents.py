"""What the sdist and the wheel hold, and what installing them gives."""

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from applicationenv import MODELS, ROOT, Environment

from imgvec_pg.embedding.runtime import MODELS_EXTRA
from tools.packaging.readme_links import absolute_links

SIZE_LIMIT_MB = 150
"""MiB of `pip install --no-compile imgvec-pg`; a framework, which the application has anyway, comes on top."""
MODULES_OF = {"open_clip": "open-clip-torch", "huggingface_hub": "huggingface-hub"}


@pytest.fixture(scope="module")
def in_wheel(distributions: Any) -> set[str]:
    with zipfile.ZipFile(distributions.wheel) as opened:
        return set(opened.namelist())


@pytest.fixture(scope="module")
def metadata(distributions: Any) -> Any:
    with zipfile.ZipFile(distributions.wheel) as opened:
        [name] = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(opened.read(name))


def tracked(*folders: str) -> set[str]:
    done = subprocess.run(
        ["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a checkout of git, which knows the files that belong to it")
    return set(done.stdout.split())


def test_the_wheel_holds_the_package_with_its_sql_and_migrations_and_nothing_else(in_wheel: set[str]) -> None:
    expected = tracked("imgvec_pg") | {f"imgvec_pg/{name}" for name in tracked("sql", "migrations")}
    found = {name for name in in_wheel if ".dist-info/" not in name}
    assert found == expected - tracked("imgvec_pg/demo/licenses")
    for needed in (
        "imgvec_pg/py.typed",
        "imgvec_pg/sql/collection/near.sql",
        "imgvec_pg/migrations/env.py",
        "imgvec_pg/demo/model/open_clip_model.safetensors",
        "imgvec_pg/demo/pictures/pictures.zip",
        "imgvec_pg/django/templates/admin/imgvec_pg/similar.html",
        "imgvec_pg/pages/browse/static/browse.css",
        "imgvec_pg/pages/review/static/review.js",
        "imgvec_pg/pages/static/tokens.css",
        "imgvec_pg/pages/templates/pages/base.html",
        "imgvec_pg/search/contact_sheet.html",
        "imgvec_pg/search/similarity_page.html",
    ):
        assert needed in found


def test_the_sdist_holds_what_building_and_testing_take(distributions: Any) -> None:
    with tarfile.open(distributions.sdist) as opened:
        found = {name.partition("/")[2] for name in opened.getnames()}
    missing = tracked() - found
    assert not missing
    assert not [name for name in found if name.startswith((".venv", ".git/", "dist/"))]


def test_the_checkers_of_distributions_find_nothing(distributions: Any) -> None:
    files = [str(distributions.sdist), str(distributions.wheel)]
    commands = (
        ["twine", "check", "--strict", *files],
        ["check_wheel_contents", str(distributions.wheel)],
    )
    for command in commands:
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_metadata_names_pythons_places_and_licences(metadata: Any) -> None:
    assert metadata["Requires-Python"] == ">=3.11"
    classifiers = metadata.get_all("Classifier")
    assert [c for c in classifiers if re.search(r"Python :: 3\.\d+$", c)] == [
        f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14)
    ]
    places = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL"))
    assert places.keys() == {"Documentation", "Source", "Issues", "Changelog"}
    assert len({re.match(r"https://github\.com/[\w-]+/[\w-]+", place)[0] for place in places.values()}) == 1  # type: ignore[index]
    assert len(metadata.get_all("License-File")) == 4


def test_the_description_has_no_link_that_a_package_index_could_not_follow(metadata: Any) -> None:
    source = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL"))["Source"]
    text = metadata.get_payload()
    links = re.findall(r"(!?)\[[^]]*]\(([^)#]+)", text)
    assert len(links) > 20 and [target for _, target in links if not target.startswith("https://")] == []
    ours = [
        (mark, *re.fullmatch(rf"{source}/(\w+)/main/(.+)", target).groups())  # type: ignore[union-attr]
        for mark, target in links
        if target.startswith(source)
    ]
    assert {name for _, _, name in ours} == set(
        re.findall(r"]\((?!https:)([^)#]+)", (ROOT / "README.md").read_text())
    )
    for mark, kind, name in ours:
        assert (ROOT / name).exists()
        assert kind == ("raw" if mark else "tree" if (ROOT / name).is_dir() else "blob")


def test_a_link_of_the_readme_that_leads_nowhere_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"README\.md links to docs/gone\.md#here, which does not exist"):
        absolute_links("[x](docs/gone.md#here)", "https://github.com/o/n", tmp_path)
    (tmp_path / "a.md").touch()
    kept = "[x](#here) [y](https://example.com)"
    assert absolute_links(f"{kept} [z](a.md#b)", "https://github.com/o/n", tmp_path) == (
        f"{kept} [z](https://github.com/o/n/blob/main/a.md#b)"
    )


def test_the_extra_models_brings_each_module_that_its_error_looks_for(metadata: Any) -> None:
    required = {
        re.match(r"[\w.-]+", line)[0]  # type: ignore[index]
        for line in metadata.get_all("Requires-Dist")
        if line.endswith("extra == 'models'")
    }
    assert required == {MODULES_OF.get(name, name) for name in MODELS_EXTRA}


def test_a_plain_installation_has_no_torch_and_is_small(plain: Environment, application: Environment) -> None:
    code = f"import importlib.util as u; print([n for n in {MODELS!r} if u.find_spec(n) is not None])"
    assert plain.run("-c", code, cwd=plain.folder).stdout.strip() == "[]"
    size = plain.megabytes()
    print(f"{size:.0f} MiB without torch; with Django and Flask {application.megabytes():.0f} MiB")
    assert size < SIZE_LIMIT_MB


def test_a_plain_installation_runs_the_command(plain: Environment) -> None:
    help_text = plain.run("-m", "imgvec_pg", "--help", cwd=plain.folder).stdout
    assert "backfill" in help_text
    assert (
        "CREATE TABLE imgvec.collection"
        in plain.run("-m", "imgvec_pg", "migrate", "--sql", cwd=plain.folder).stdout
    )


@pytest.mark.parametrize("lost", ["sql", "sql/tables", "migrations"])
def test_a_wheel_without_files_of_its_own_says_so_in_one_line(
    lost: str, distributions: Any, tmp_path: Path, plain: Environment
) -> None:
    with zipfile.ZipFile(distributions.wheel) as opened:
        kept = [name for name in opened.namelist() if not name.startswith(f"imgvec_pg/{lost}")]
        opened.extractall(tmp_path, kept)  # noqa: S202 - our own
    # `-m` looks into the working directory first, and so finds the incomplete one.
    done = plain.run("-m", "imgvec_pg", "migrate", "--sql", cwd=tmp_path, code=1)
    [line] = done.stderr.strip().splitlines()
    assert "this installation is incomplete: " in line and f"{tmp_path}/imgvec_pg/{lost}" in line
    assert "pip install --force-reinstall --no-deps imgvec-pg" in line
