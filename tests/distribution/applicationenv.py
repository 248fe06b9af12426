"""An application's environment: the built wheel and what it requires, without the extra `models` and without this checkout.

The packages are the ones installed here, found by the wheel's own metadata and linked into an empty venv: what the wheel
forgets to require is not there. With IMGVEC_TEST_PIP=1 (`make wheel-check`) pip installs them anew, from its index.
"""

import importlib.metadata
import os
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
MODELS = ("torch", "torchvision", "open_clip", "timm", "safetensors", "huggingface_hub", "transformers")
"""Modules that an application's environment must not have."""


@dataclass(frozen=True)
class Environment:
    """A venv."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        return next((self.folder / "lib").glob("python*/site-packages"))

    def run(
        self, *arguments: str, cwd: Path, code: int | None = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python, which sees none of this process's import path."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "IMGVEC"))
        }
        done = subprocess.run(
            [self.python, *arguments],
            cwd=cwd,
            env={**kept, **variables},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    def megabytes(self) -> float:
        """Return the disk space of its files in MiB, as pip lays them: links followed, compiled modules left out."""
        options = ["--summarize", "--dereference", "--block-size=1K", "--exclude=__pycache__"]
        done = subprocess.run(
            ["du", *options, str(self.folder / "lib")], capture_output=True, text=True, check=True
        )
        return int(done.stdout.split()[0]) / 1024


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it; return both."""
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [sdist] = folder.glob("*.tar.gz")
    [wheel] = folder.glob("*.whl")
    return sdist, wheel


def make_environment(folder: Path, wheel: Path, extras: Sequence[str] = ()) -> Environment:
    """Make a venv of the wheel and what it requires with these extras."""
    venv.create(folder, with_pip=False, symlinks=True)
    made = Environment(folder)
    pip = [sys.executable, "-m", "pip", "--python", str(made.python), "install"]
    options = ["--quiet", "--disable-pip-version-check", "--no-compile"]
    if os.environ.get("IMGVEC_TEST_PIP"):
        named = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
        constraints = ["-c", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *options, *constraints, named], check=True)
        return made
    subprocess.run([*pip, *options, "--no-index", "--no-deps", str(wheel)], check=True)
    [metadata] = made.site.glob("imgvec_pg-*.dist-info")
    wanted = importlib.metadata.Distribution.at(metadata).requires or []
    for name in _closure(wanted, tuple(extras)):
        _link(importlib.metadata.distribution(name), made.site)
    return made


def _closure(requirements: Iterable[str], extras: tuple[str, ...]) -> set[str]:
    """Return the distributions that requirements bring, transitively."""
    found: set[tuple[str, str]] = set()
    waiting = [(text, extra) for text in requirements for extra in (*extras, "")]
    while waiting:
        text, extra = waiting.pop()
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        for inner in (*requirement.extras, ""):
            key = (requirement.name.lower(), inner)
            if key not in found:
                found.add(key)
                needs = importlib.metadata.distribution(requirement.name).requires or []
                waiting += [(need, inner) for need in needs]
    return {name for name, _ in found if name != "imgvec-pg"}


def _link(distribution: importlib.metadata.Distribution, site: Path) -> None:
    """Link what a distribution installed at the top of its site-packages."""
    for top in _tops(distribution):
        target = Path(str(distribution.locate_file(top)))
        link = site / top
        if target.exists() and not link.exists():
            link.symlink_to(target)


def _tops(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    for top in sorted({file.parts[0] for file in distribution.files or ()}):
        if top not in ("..", "__pycache__"):
            yield top
