"""An older Python is told in one line: by pip, by make and by the command itself."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from applicationenv import ROOT
from interpreters import find_python

from imgvec_pg.cli import OLDEST_PYTHON


@pytest.fixture
def old_python() -> Path:
    """Give the newest interpreter that is too old."""
    python = find_python(f"3.{OLDEST_PYTHON[1] - 1}")
    if python is None:
        pytest.skip("no older Python is to be had here")
    return python


def test_pip_refuses_an_older_python(distributions: Any, old_python: Path, tmp_path: Path) -> None:
    options = ["--disable-pip-version-check", "--no-index", "--no-deps", "--target", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", old_python, "install", *options, str(distributions.wheel)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    assert "requires a different Python: 3.10" in line and "not in '>=3.11'" in line
    assert not list(tmp_path.iterdir())


def make(python: Path | str, folder: Path) -> list[str]:
    """Run `make demo` by that Python with an environment of its own; return what it says."""
    command = ["make", "--no-print-directory", f"PYTHON={python}", f"VENV={folder / 'venv'}", "demo"]
    # Within `make test` it would call itself make[1].
    kept = {name: value for name, value in os.environ.items() if name not in {"MAKELEVEL", "MAKEFLAGS"}}
    done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and not (folder / "venv").exists()
    return [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]


def test_make_refuses_an_older_python_and_one_that_is_not_there(tmp_path: Path) -> None:
    # Answers as one does in which `sys.version_info < (3, 11)`.
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    asked = "Try: make PYTHON=python3.11 demo"
    assert make(old, tmp_path) == [f"imgvec-pg needs Python 3.11 or newer; '{old}' is older. {asked}"]
    [line] = make("no-such-python", tmp_path)
    assert line.startswith("there is no 'no-such-python' here") and line.endswith(asked)


def test_make_and_the_command_refuse_a_real_one(old_python: Path, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command: list[str | Path] = [old_python, "-m", "imgvec_pg", "status"]
    done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "imgvec: Python 3.10 is too old; imgvec-pg needs 3.11 or newer\n"
    assert make(old_python, tmp_path)[0].startswith("imgvec-pg needs Python 3.11 or newer; ")
