"""Damage real pictures at random and send them through the decoding children: python tests/fuzz/mutate.py SECONDS [SEED]."""

import random
import sys
import time
from collections import Counter

from judge import Surprise, judge, require_good_one, seeds

INTERESTING = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
)


def damage(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """Change a few places of a picture."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        # Headers are where the decisions are.
        reach = len(changed) if draw.random() < 0.5 else min(len(changed), 200)
        place = draw.randrange(max(reach, 1))
        what = draw.randrange(6)
        if what == 0:
            changed[place : place + 1] = bytes([draw.randrange(256)])
        elif what == 1:
            piece = draw.choice(INTERESTING)
            changed[place : place + len(piece)] = piece
        elif what == 2:
            del changed[place : place + draw.randrange(1, 40)]
        elif what == 3:
            changed[place:place] = changed[place : place + draw.randrange(1, 200)] * draw.randrange(1, 20)
        elif what == 4:
            del changed[place:]
        else:
            other = draw.choice(others)
            start = draw.randrange(len(other))
            changed[place:] = other[start:]
    return bytes(changed)


def main() -> int:
    """Fuzz for so many seconds; return 0 when nothing surprised."""
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(10**9)
    draw = random.Random(seed)
    pictures = seeds()
    counts: Counter[str] = Counter()
    deadline = time.monotonic() + seconds
    tries = 0
    while time.monotonic() < deadline:
        data = damage(draw.choice(pictures), draw, pictures)
        tries += 1
        try:
            judge(data, counts)
        except Surprise as surprise:
            print(f"mutate: seed {seed}, try {tries}: {surprise}\n{data[:400]!r}")
            return 1
    require_good_one()
    told = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    print(f"mutate: {tries} damaged pictures in {seconds:.0f} s (seed {seed}): {told}; 0 surprises")
    return 0


if __name__ == "__main__":
    sys.exit(main())
