"""Words of captions, names and queries."""

import re

from imgvec_pg.demo.pictures import DemoPicture

# fmt: off
STOP_WORDS = frozenset({
    "a", "an", "and", "as", "at", "by", "for", "from", "in", "into", "is", "it", "its",
    "of", "off", "on", "or", "over", "the", "to", "up", "with", "without", "that", "this",
})
# fmt: on


def words_of(text: str) -> list[str]:
    """Split into lower-case words, in order."""
    return re.findall(r"[^\W_]+(?:'[a-z]+)?", text.lower())


def content_words(text: str) -> frozenset[str]:
    """Keep the words that say something, each reduced to its singular."""
    return frozenset(singular(word) for word in words_of(text) if word not in STOP_WORDS)


def singular(word: str) -> str:
    """Cut a plural's ending; crude, but the same for pictures and captions."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def kind_words(picture: DemoPicture) -> str:
    """Turn "food-fruit" into "food fruit"."""
    return picture.kind.replace("-", " ").replace("&", " ").replace("other", "").strip()
