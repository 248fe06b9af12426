"""Write the pages that are made from the code, or tables of them: `python -m tools.docs.generate`, or `make docs`.

With --check nothing is written: a page that differs is named, with the first line that does, and the exit code is 1.
"""

import sys
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

from tools.docs import benchmarks, commands, errors, python_api, scale, settings

ROOT = Path(__file__).parents[2]
PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/commands.md": commands.render,
    "docs/reference/settings.md": settings.render,
    "docs/reference/errors.md": errors.render,
    "docs/reference/python.md": python_api.render,
    "docs/reference/benchmarks.md": benchmarks.render,
    "docs/howto/scale.md": scale.render,
}


def difference(name: str, written: str, expected: str) -> str | None:
    """Return one line about the first line in which a page differs from the code; None where it does not."""
    pairs = zip_longest(written.splitlines(), expected.splitlines())
    for number, (old, new) in enumerate(pairs, 1):
        if old != new:
            return f"{name}:{number}: has {old!r}, the code says {new!r}; run make docs"
    return None


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them, and return the exit code."""
    differing = 0
    for name, render in PAGES.items():
        path = ROOT / name
        expected = render().rstrip("\n") + "\n"
        if "--check" in arguments:
            found = difference(name, path.read_text() if path.exists() else "", expected)
            if found is not None:
                differing += 1
                print(found, file=sys.stderr)
        else:
            path.write_text(expected)
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
