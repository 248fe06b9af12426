"""Run `imgvec` from a framework's command line, on the framework's database."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

FILLING = ("worker", "backfill")
"""Commands that work all collections of an application where none is named."""


def environment_for(
    dsn: str, command: str, collections: Sequence[str] = (), more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment in which `imgvec` works on a database and imports what this process can import.

    Args:
        dsn: By the environment, since arguments are there for every user to read.
        command: How it is typed here, for its hints.
        collections: The application's own.
    """
    path = os.pathsep.join(entry or os.curdir for entry in sys.path)
    own = {"IMGVEC_DSN": dsn, "IMGVEC_COMMAND": command, "PYTHONPATH": path}
    if collections:
        own["IMGVEC_COLLECTIONS"] = ",".join(collections)
    return {**os.environ, **own, **(more or {})}


def become_imgvec(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Replace this process by `imgvec ARGUMENTS`: signals, terminal and exit code are the command's own."""
    sys.stdout.flush()
    os.execve(sys.executable, [*_command(), *arguments], dict(environment))  # noqa: S606


def run_imgvec(
    arguments: Sequence[str], environment: Mapping[str, str], *, captures: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Run `imgvec ARGUMENTS` beside this process; what it printed is in the result where it is captured."""
    return subprocess.run(
        [*_command(), *arguments], env=dict(environment), capture_output=captures, text=True, check=False
    )


def _command() -> list[str]:
    return [sys.executable, "-m", "imgvec_pg"]
