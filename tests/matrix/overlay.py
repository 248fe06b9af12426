"""Other versions of packages, laid over the installed ones by PYTHONPATH: seconds instead of an environment each."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


class NotToBeHadError(Exception):
    """Something an entry needs cannot be had here."""


def install(folder: Path, packages: Sequence[str]) -> Path:
    """Install packages, without what they need, into a folder, once; return it.

    Raises:
        NotToBeHadError: pip cannot get them.
    """
    done = folder / ".installed"
    if done.is_file():
        return folder
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade", "--target", str(folder)]
    outcome = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, *packages], capture_output=True, text=True
    )
    if outcome.returncode:
        last = [line for line in outcome.stderr.splitlines() if line.startswith("ERROR")]
        raise NotToBeHadError(last[-1] if last else f"pip ended with {outcome.returncode}")
    done.touch()
    return folder


def versions(folders: Sequence[Path], packages: Sequence[str]) -> str:
    """Return the versions that a Python with these folders first would import."""
    names = sorted({package.split(">")[0].split("=")[0].split("<")[0] for package in packages})
    code = (
        "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    )
    environment = {"PYTHONPATH": ":".join(map(str, folders))}
    return subprocess.run(
        [sys.executable, "-c", code, *names], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
