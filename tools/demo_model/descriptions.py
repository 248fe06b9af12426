"""Phrases written by hand for the pictures, and those of them kept aside to watch the training by."""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from imgvec_pg.demo.pictures import PICTURES_FOLDER, DemoPicture

DESCRIPTIONS_FILE = PICTURES_FOLDER / "descriptions.txt"
# One phrase in so many (of two words or more) is never trained on.
VALIDATION_SHARE = 20


def read_descriptions(path: Path = DESCRIPTIONS_FILE) -> dict[str, list[str]]:
    """Read phrases by name of picture, and by "[kind]" for the phrases of a whole kind.

    Raises:
        ValueError: A line that is neither of these.
    """
    phrases: dict[str, list[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"(\[.+?\](?= )|[^\[:]+(?=:)):? (.+)", line)
        if match is None:
            raise ValueError(f"{path}, line {number}: expected 'name: phrase; phrase', got {line!r}")
        phrases.setdefault(match[1], []).extend(phrase.strip() for phrase in match[2].split(";"))
    return phrases


def describe_pictures(pictures: Sequence[DemoPicture], phrases: dict[str, list[str]]) -> list[list[str]]:
    """Give every picture its own phrases, or else those of the same person without gender and direction."""
    return [
        next((phrases[name] for name in _names_of(picture) if name in phrases), []) for picture in pictures
    ]


def describe_kinds(pictures: Sequence[DemoPicture], phrases: dict[str, list[str]]) -> list[list[str]]:
    """Give every picture the phrases of its kind."""
    return [phrases.get(f"[{picture.kind}]", []) for picture in pictures]


def split_validation(descriptions: Sequence[Sequence[str]]) -> tuple[list[list[str]], list[tuple[str, int]]]:
    """Take some phrases out: what is left for each picture, and the phrases taken with their picture's index.

    A phrase is taken from all pictures that have it, or from none.
    """
    kept = [[phrase for phrase in phrases if not _is_validation(phrase)] for phrases in descriptions]
    taken = [(p, index) for index, phrases in enumerate(descriptions) for p in phrases if _is_validation(p)]
    return kept, taken


def _is_validation(phrase: str) -> bool:
    return " " in phrase and zlib.crc32(phrase.encode()) % VALIDATION_SHARE == 0


def _names_of(picture: DemoPicture) -> list[str]:
    """List the names whose phrases fit, the nearest first: "man farmer" is a "farmer"."""
    plain = picture.name.removesuffix(" facing right")
    without = re.sub(r"^(man|woman|men|women) ", "", plain)
    return [picture.name, plain, f"person {without}", f"people {without}", without]
