"""Names of parts in the order of their numbers: part_2 before part_10."""

import re
from collections.abc import Iterable
from pathlib import Path

NUMBER = re.compile(r"(\d+)")


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Return what paths are sorted by: numbers in them as numbers."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in NUMBER.split(str(path))]


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Return paths in natural order, without hidden and partial files."""
    return sorted((path for path in paths if not path.name.startswith((".", "_"))), key=natural_key)


def last_number(path: Path) -> int | None:
    """Return the last number in a file's name, by which parts belong together; None without one."""
    numbers = NUMBER.findall(path.stem)
    return int(numbers[-1]) if numbers else None
