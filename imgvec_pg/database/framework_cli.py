"""Run `imgvec` from a framework's command line, on the framework's database."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence


def environment_for(dsn: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment in which `imgvec` works on a database and imports what this process can import.

    Args:
        dsn: By the environment, since arguments are there for every user to read.
    """
    path = os.pathsep.join(entry or os.curdir for entry in sys.path)
    return {**os.environ, "IMGVEC_DSN": dsn, "PYTHONPATH": path, **(more or {})}


def become_imgvec(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Replace this process by `imgvec ARGUMENTS`: signals, terminal and exit code are the command's own."""
    sys.stdout.flush()
    os.execve(sys.executable, [*_command(), *arguments], dict(environment))  # noqa: S606


def run_imgvec(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `imgvec ARGUMENTS` beside this process and return its exit code."""
    return subprocess.run([*_command(), *arguments], env=dict(environment), check=False).returncode


def _command() -> list[str]:
    return [sys.executable, "-m", "imgvec_pg"]
