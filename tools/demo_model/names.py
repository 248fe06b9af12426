"""Where the demo's pictures get their words from: PyPI `emoji` and Debian's unicode-cldr-core."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

CLDR_FOLDER = Path("/usr/share/unicode/cldr/common")
VARIATION_SELECTOR = "\N{VARIATION SELECTOR-16}"
SKIN_TONES = frozenset(chr(c) for c in range(0x1F3FB, 0x1F400))

# Emoji 14 stands outside the order of CLDR 41 and Emoji 15 is not in it: their subgroups by hand.
# So are those of two vehicles that labels.txt calls persons.
NEWER_KINDS = {
    ("Smileys & People", "face-neutral"): "🥹🫠🫡🫢🫣🫤🫥🫨",
    ("Smileys & People", "person-fantasy"): "🧌",
    ("Smileys & People", "person-role"): "🫃🫄🫅",
    ("Smileys & People", "body"): "🫦🫰🫱🫲🫳🫴🫵🫶🫷🫸",
    ("Smileys & People", "emotion"): "🩶🩵🩷",
    ("Smileys & People", "clothing"): "🪭🪮",
    ("Animals & Nature", "animal-mammal"): "🫏🫎",
    ("Animals & Nature", "animal-bird"): "🪹🪺🪿🪽",
    ("Animals & Nature", "animal-marine"): "🪸🪼",
    ("Animals & Nature", "plant-flower"): "🪷🪻",
    ("Food & Drink", "food-vegetable"): "🫘🫚🫛",
    ("Food & Drink", "drink"): "🫗",
    ("Travel & Places", "place-other"): "🛝",
    ("Travel & Places", "transport-ground"): "🛞🏎🏍",
    ("Travel & Places", "transport-water"): "🛟",
    ("Objects", "medical"): "🩻🩼",
    ("Objects", "musical-instrument"): "🪈🪇",
    ("Objects", "household"): "🫙🫧🪫🪪",
    ("Objects", "other-object"): "🪩🪬",
    ("Symbols", "religion"): "🪯",
    ("Symbols", "other-symbol"): "🟰🛜",
}


@dataclass(frozen=True)
class Wording:
    """The words for one emoji sequence."""

    sequence: str
    name: str
    category: str
    kind: str
    keywords: tuple[str, ...]


def read_annotations(cldr_folder: Path) -> dict[str, tuple[str, ...]]:
    """Read CLDR's English keywords per sequence (without variation selectors), in CLDR's order of emoji."""
    keywords: dict[str, tuple[str, ...]] = {}
    for part in ("annotations", "annotationsDerived"):
        # The file is Debian's own, so the parser's weakness against hostile XML does not matter.
        tree = ElementTree.parse(cldr_folder / part / "en.xml")  # noqa: S314
        for element in tree.iter("annotation"):
            words = tuple(word.strip() for word in (element.text or "").split("|"))
            cp = element.attrib["cp"]
            if element.get("type") == "tts":
                words = tuple(w.replace(":", "") for w in words)
            keywords[cp] = tuple(dict.fromkeys(keywords.get(cp, ()) + words))
    return keywords


def read_kinds(cldr_folder: Path) -> dict[str, tuple[str, str]]:
    """Read CLDR's group and subgroup per sequence from labels.txt."""
    kinds: dict[str, tuple[str, str]] = {}
    for line in (cldr_folder / "properties" / "labels.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("["):
            continue
        characters, category, kind = (part.strip() for part in line.split(";"))
        for sequence in re.findall(r"\{(.+?)\}", characters):
            kinds[sequence.replace(VARIATION_SELECTOR, "")] = (category, kind)
        singles = re.sub(r"\{.+?\}", "", characters).strip("[]")
        for first, last in re.findall(r"(.)(?:-(.))?", singles):
            for code in range(ord(first), ord(last or first) + 1):
                kinds[chr(code)] = (category, kind)
    return kinds


def read_wordings(cldr_folder: Path = CLDR_FOLDER) -> list[Wording]:
    """Collect name, group and keywords of every emoji without skin tone, in Unicode's order."""
    import emoji

    annotations = read_annotations(cldr_folder)
    kinds = _fill_kinds(read_kinds(cldr_folder), list(annotations))
    wordings = []
    for sequence, data in emoji.EMOJI_DATA.items():
        bare = sequence.replace(VARIATION_SELECTOR, "")
        if data["status"] != emoji.STATUS["fully_qualified"] or SKIN_TONES & set(sequence):
            continue
        category, kind = kinds.get(bare) or kinds.get(bare[0]) or _kind_of_new_flag(bare)
        name, aliases = _plain(data["en"]), [_plain(alias) for alias in data.get("alias", [])]
        if kind in ("country-flag", "subdivision-flag") and "flag" not in name.lower():
            name = f"flag of {name}"
        words = dict.fromkeys([*annotations.get(bare, ()), *aliases])
        words.pop(name, None)
        if name.startswith("flag of "):
            country = name.removeprefix("flag of ")
            words = dict.fromkeys(["flag", country, *(word for word in words if country not in word)])
        wordings.append(Wording(sequence, name, category, kind, _useful(words)))
    order = {cp: position for position, cp in enumerate(annotations)}
    return sorted(wordings, key=lambda w: order.get(w.sequence.replace(VARIATION_SELECTOR, ""), len(order)))


def _useful(words: Collection[str]) -> tuple[str, ...]:
    # Aliases such as "tiger2" and "cn" are chat codes, not words.
    by_spelling = {word.lower(): word for word in reversed(list(words))}
    spelled = [word for word in words if by_spelling[word.lower()] == word]
    return tuple(word for word in spelled if len(word) > 2 and not re.search(r"[a-z]\d$", word))


def _kind_of_new_flag(bare: str) -> tuple[str, str]:
    is_flag = "\N{REGIONAL INDICATOR SYMBOL LETTER A}" <= bare[0] <= "\N{REGIONAL INDICATOR SYMBOL LETTER Z}"
    return ("Flags", "country-flag") if is_flag else ("Symbols", "other-symbol")


def _plain(code: str) -> str:
    return code.strip(":").replace("_", " ").replace("’", "'")


def _fill_kinds(kinds: dict[str, tuple[str, str]], order: list[str]) -> dict[str, tuple[str, str]]:
    """Give newer emoji, which CLDR 41's labels lack, the group of their predecessor in CLDR's order."""
    filled = dict(kinds)
    filled.update({character: kind for kind, characters in NEWER_KINDS.items() for character in characters})
    previous: tuple[str, str] | None = None
    for cp in order:
        if cp in kinds:
            previous = kinds[cp]
        elif previous and cp not in filled and len(cp) == 1 and ord(cp) >= 0x1F000:
            filled[cp] = previous
    return filled
