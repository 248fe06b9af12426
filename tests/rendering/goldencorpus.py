"""The corpus: every golden picture, in the order of the table in benchmarks/results/pictures.txt."""

from functools import cache

from golden import Golden
from goldenanimations import animations
from goldenhdr import hdr_pictures
from goldenplain import plain
from goldenpngs import pngs
from goldenprofiles import profiles
from goldentiffs import tiffs


@cache
def corpus() -> tuple[Golden, ...]:
    """Return all golden pictures; made anew in each process, the same each time."""
    return (*plain(), *profiles(), *hdr_pictures(), *tiffs(), *pngs(), *animations())
