"""mypy and pyright read typed_search.py as an application's own check would; both must find its four mistakes, and no others."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

FILE = Path(__file__).with_name("typed_search.py")
MISTAKES = [
    number for number, line in enumerate(FILE.read_text().splitlines(), 1) if line.endswith("# a mistake")
]


def check(command: list[str], pattern: str) -> list[int]:
    """Run a checker and return the lines that it objects to."""
    outcome = subprocess.run(
        [sys.executable, "-m", *command, str(FILE)], capture_output=True, text=True, cwd=FILE.parents[2]
    )
    if not re.search(r"Found \d+ error|\d+ errors?, ", outcome.stdout):
        pytest.skip(f"{command[0]} does not run here: {(outcome.stderr or outcome.stdout).strip()[-200:]}")
    return sorted({int(line) for line in re.findall(pattern, outcome.stdout)})


@pytest.mark.skipif(sa.__version__ < "2.1", reason="SQLAlchemy 2.0 has no type for a select of any columns")
@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        (["mypy", "--strict", "--follow-imports=silent"], r"typed_search\.py:(\d+): error"),
        (["pyright", "--pythonpath", sys.executable], r"typed_search\.py:(\d+):\d+ - error"),
    ],
    ids=["mypy", "pyright"],
)
def test_a_checker_finds_the_mistakes_and_no_others(command: list[str], pattern: str) -> None:
    assert check(command, pattern) == MISTAKES
