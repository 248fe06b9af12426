"""Other Pythons on this machine: on the PATH, or kept by pyenv or uv. Nothing is downloaded."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

PROBE = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"


def find_python(version: str) -> Path | None:
    """Return the interpreter of a version such as "3.12"; None where there is none that runs."""
    for command, environment in _candidates(version):
        words = _output([*command, "-c", PROBE], environment)
        # A shim of pyenv is there for versions that are not selected, and fails.
        if words is not None and words.split(" ", 1)[0] == version:
            return Path(words.split(" ", 1)[1].strip())
    return None


def _candidates(version: str) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Yield commands that may be that Python, each with what it takes in the environment."""
    name = f"python{version}"
    if shutil.which(name):
        yield [name], {}
    if shutil.which("pyenv"):
        for found in reversed((_output(["pyenv", "versions", "--bare"]) or "").split()):
            if found.startswith(f"{version}."):
                yield ["pyenv", "exec", name], {"PYENV_VERSION": found}
    if shutil.which("uv"):
        found = _output(["uv", "python", "find", "--no-python-downloads", version])
        if found is not None:
            yield [found.strip()], {}


def _output(command: list[str], environment: dict[str, str] | None = None) -> str | None:
    done = subprocess.run(
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else None
