"""mypy and pyright read applications against the installed wheel, as an application's own check would: no checkout, no stubs.

typed_search.py has four mistakes at its end, which both must find; in the documentation's examples they find none.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from applicationenv import ROOT, Environment
from docpages import django_app, sqlalchemy_module

SEARCH = Path(__file__).with_name("typed_search.py")
MISTAKES = [
    number for number, line in enumerate(SEARCH.read_text().splitlines(), 1) if line.endswith("# a mistake")
]
# Django has no types of its own; whatever else is untyped is told.
SETTINGS = "[mypy]\nallow_redefinition = True\nlocal_partial_types = True\n[mypy-django.*]\nignore_missing_imports = True\n"
CHECKERS = {
    "mypy": (["mypy", "--python-executable"], r"^([\w/]+\.py):(\d+): error"),
    "pyright": (["pyright", "--pythonpath"], r"([\w/]+\.py):(\d+):\d+ - error"),
}


def check(name: str, environment: Environment, files: Path, *options: str) -> list[tuple[str, int]]:
    """Run a checker over files in a folder outside the checkout; return file and line of what it objects to."""
    assert not files.is_relative_to(ROOT)
    (files.parent / "mypy.ini").write_text(SETTINGS)
    command, pattern = CHECKERS[name]
    done = subprocess.run(
        [sys.executable, "-m", *command, str(environment.python), *options, files.name],
        cwd=files.parent,
        # A checkout on the import path would answer in the wheel's place.
        env={
            **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")},
            # What it read of an environment's packages serves its next run; what has changed it reads again.
            "MYPY_CACHE_DIR": str(environment.folder.parent / "mypy"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if not re.search(r"Found \d+ error|no issues found|\d+ errors?, ", done.stdout):
        told = f"{name} said neither what is wrong nor that nothing is: {(done.stderr or done.stdout).strip()[-300:]}"
        # pyright's wheel fetches node where there is none, which a machine without a network cannot.
        if name == "pyright" and shutil.which("node") is None:
            pytest.skip(told)
        pytest.fail(told)
    found = re.findall(pattern, done.stdout, re.MULTILINE)
    if found:
        print(done.stdout)
    return sorted({(Path(file).name, int(line)) for file, line in found})


def strict(checker: str) -> list[str]:
    return ["--strict"] if checker == "mypy" else []


@pytest.mark.skipif(sa.__version__ < "2.1", reason="SQLAlchemy 2.0 has no type for a select of any columns")
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_checker_finds_the_mistakes_and_none_in_the_examples_for_sqlalchemy(
    checker: str, plain: Environment, tmp_path: Path
) -> None:
    # Beside each other, since a checker reads SQLAlchemy anew for each of its runs.
    folder = tmp_path / "read"
    folder.mkdir()
    (folder / SEARCH.name).write_text(SEARCH.read_text())
    (folder / "page.py").write_text(sqlalchemy_module())
    assert check(checker, plain, folder, *strict(checker)) == [(SEARCH.name, line) for line in MISTAKES]


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_examples_for_django_are_typed(checker: str, application: Environment, tmp_path: Path) -> None:
    app = django_app(tmp_path)
    options = ["--check-untyped-defs"] if checker == "mypy" else []
    assert check(checker, application, app, *options) == []


def test_a_checker_that_crashes_is_a_failure(
    plain: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "page.py"
    file.write_text("")
    with pytest.raises(pytest.fail.Exception, match="mypy said neither"):
        check("mypy", plain, file, "--no-such-option")
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    with pytest.raises(pytest.fail.Exception, match="pyright said neither"):
        check("pyright", plain, file, "--no-such-option")


def test_a_wheel_without_its_marker_has_no_types(application: Environment, tmp_path: Path) -> None:
    """What the two above would say, had py.typed not come along."""
    app = django_app(tmp_path)
    marker = application.site / "imgvec_pg" / "py.typed"
    marker.rename(marker.with_suffix(".away"))
    try:
        found = check("mypy", application, app, "--check-untyped-defs")
    finally:
        marker.with_suffix(".away").rename(marker)
    assert {file for file, _ in found} >= {"models.py", "admin.py"}
