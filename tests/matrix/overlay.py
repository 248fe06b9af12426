"""Other versions of packages, laid over the installed ones by PYTHONPATH: seconds instead of an environment each.

Another Python takes an environment of its own.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from interpreters import find_python

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(sys.executable)


class NotToBeHadError(Exception):
    """Something an entry needs cannot be had here."""


def install(folder: Path, packages: Sequence[str], python: Path = HERE) -> Path:
    """Install packages for a Python, without what they need, into a folder, once; return it.

    Raises:
        NotToBeHadError: pip cannot get them.
    """
    done = folder / ".installed"
    if done.is_file():
        return folder
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade", "--target", str(folder)]
    pip_install(python, *options, *packages)
    done.touch()
    return folder


def make_environment(folder: Path, version: str, extras: str) -> Path:
    """Make a venv of another Python with this checkout and its extras in it, once; return its interpreter.

    Raises:
        NotToBeHadError: There is no such Python here, or pip cannot get what it takes.
    """
    python = folder / "bin" / "python"
    done = folder / f".installed-{extras}"
    if done.is_file():
        return python
    found = find_python(version)
    if found is None:
        raise NotToBeHadError(f"there is no Python {version} on the PATH, in pyenv or in uv")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([found, "-m", "venv", folder], check=True)
    options = ["--quiet", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
    pip_install(python, *options, "-e", f"{ROOT}[{extras}]")
    done.touch()
    return python


def pip_install(python: Path, *arguments: str) -> None:
    """Run pip install.

    Raises:
        NotToBeHadError: It fails.
    """
    outcome = subprocess.run([python, "-m", "pip", "install", *arguments], capture_output=True, text=True)
    if outcome.returncode:
        last = [line for line in outcome.stderr.splitlines() if line.startswith("ERROR")]
        raise NotToBeHadError(last[-1] if last else f"pip ended with {outcome.returncode}")


def versions(folders: Sequence[Path], packages: Sequence[str], python: Path = HERE) -> str:
    """Return the versions that a Python with these folders first would import."""
    names = sorted({package.split(">")[0].split("=")[0].split("<")[0] for package in packages})
    code = (
        "import sys, importlib.metadata as m;"
        "print('Python ' + sys.version.split()[0], *(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
    )
    environment = {"PYTHONPATH": ":".join(map(str, folders))}
    return subprocess.run(
        [python, "-c", code, *names], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
