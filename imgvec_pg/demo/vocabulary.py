"""Words that the demo's model knows well, to name what a cluster of its pictures shows."""

from collections import Counter

from imgvec_pg.demo.pictures import read_manifest

PICTURES_OF_A_WORD = 6
"""A keyword of fewer names single pictures."""


def demo_words() -> list[str]:
    """Return the keywords that several of the shipped pictures have, the most frequent first."""
    counts = Counter(keyword for picture in read_manifest() for keyword in picture.keywords)
    return [word for word, count in counts.most_common() if count >= PICTURES_OF_A_WORD]
