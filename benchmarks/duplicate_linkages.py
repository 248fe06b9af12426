"""Ways to group near-duplicates at every threshold, and cross-checked: ours, others that were tried, and immich's chained groups.

Run: python -m benchmarks.duplicate_linkages [--only photographs|drawings]. Pictures and models: benchmarks/duplicate_groups.py,
whose functions tell what is broken, chained and a stranger; immich's way there too. "links 1/N": `links` with another share than
its tenth. Printed, for each set:

1. For each way and number of originals broken at most, the threshold with the best F1 that breaks no more: F1, groups chained,
   strangers, the threshold. So each way has its own threshold, and one is better throughout where its line is.
2. Fitted on half of the originals and half of the alterations, drawn at random 30 times: the threshold with the best F1, and
   what it makes of the other originals in the other alterations; means. Groups are made of all pictures, and judged by those of a
   half. (What is broken, chained or a stranger is counted among these, a quarter of all.)

The table is kept in benchmarks/results/duplicate_linkages.txt.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.duplicate_groups import (
    MODELS,
    Groups,
    drawings,
    embed,
    immich,
    judge,
    ours,
    photographs,
    within,
)
from imgvec_pg.duplicates.groups import ENOUGH, LINKS

Halves = npt.NDArray[np.float16]
Judged = dict[str, float]
THRESHOLDS = {
    "photographs": np.arange(0.5, 0.99, 0.025).round(4).tolist(),
    "drawings": np.arange(0.9625, 0.9951, 0.0025).round(4).tolist(),
}
MOST_BROKEN = range(6)
SPLITS = 30
TRIED = (4, 20, 50)


def enough(share: int, near: int, pairs: int) -> bool:
    """Say whether links join two groups where more than one pair in `share` is near."""
    return near >= min(LINKS, pairs) and share * near > pairs


def ways() -> dict[str, Callable[[Halves, float], Groups]]:
    """Return what groups, by name."""
    for share in TRIED:
        ENOUGH[f"links 1/{share}"] = partial(enough, share)
    found: dict[str, Callable[[Halves, float], Groups]] = {"immich": lambda v, t: immich(v, t)[1]}

    def grouped(linkage: str) -> Callable[[Halves, float], Groups]:
        return lambda vectors, threshold: ours(vectors, threshold, linkage)[1]

    return found | {linkage: grouped(linkage) for linkage in ENOUGH}


def judged(groups: Groups, of: Sequence[int], kept: npt.NDArray[np.bool_] | None = None) -> Judged:
    """Compare groups with what was altered from what; of some pictures where these are given."""
    if kept is None:
        return judge((within(groups), groups), of)
    place = np.cumsum(kept) - 1
    some = [[int(place[row]) for row in group if kept[row]] for group in groups]
    some = [group for group in some if len(group) > 1]
    return judge(
        (within(some), some), [original for original, is_kept in zip(of, kept, strict=True) if is_kept]
    )


def halves(of: Sequence[int]) -> list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """Draw pictures to fit by, and to report: half of the originals in half of the alterations, and the others in the others."""
    numbers = np.array(of)
    kind = np.array([sum(1 for other in of[:row] if other == original) for row, original in enumerate(of)])
    random = np.random.default_rng(11)
    found = []
    for _ in range(SPLITS):
        originals = np.isin(numbers, random.permutation(np.unique(numbers))[::2])
        kinds = np.isin(kind, random.permutation(np.arange(1, kind.max() + 1))[::2])
        fit, rest = originals & (kinds | (kind == 0)), ~originals & (~kinds | (kind == 0))
        found.append((fit, rest))
    return found


def frontier(name: str, results: dict[float, Judged]) -> str:
    """Tell the best F1 that a way reaches with so many broken at most."""
    line = f"{name:<12}"
    for most in MOST_BROKEN:
        allowed = [t for t, r in results.items() if r["broken"] <= most]
        if not allowed:
            line += f"{'-':>24}"
            continue
        best = max(allowed, key=lambda t: results[t]["f1"])
        r = results[best]
        line += f"{r['f1']:>9.3f}{r['chained']:>4.0f}{r['strangers']:>4.0f}{best:>7g}"
    return line


def cross_check(name: str, groups: dict[float, Groups], of: Sequence[int]) -> str:
    """Tell what thresholds chosen by one half make of the other, on average."""
    told: dict[str, list[float]] = {"f1": [], "broken": [], "chained": [], "strangers": []}
    chosen = []
    for fit, rest in halves(of):
        best = max(groups, key=lambda t: judged(groups[t], of, fit)["f1"])
        chosen.append(best)
        result = judged(groups[best], of, rest)
        for column, values in told.items():
            values.append(result[column])
    f1, broken, chained, strangers = (statistics.mean(values) for values in told.values())
    return (
        f"{name:<12}{statistics.median(chosen):>10g}{f1:>9.3f}{broken:>9.2f}{chained:>9.2f}{strangers:>11.2f}"
    )


def compare(name: str, of: Sequence[int], vectors: Halves) -> None:
    """Print both tables of one set of pictures."""
    print(f"\n{name}: {len(of):,} pictures, {len(THRESHOLDS[name])} thresholds from {THRESHOLDS[name][0]:g}")
    print(f"{'':<12}" + "".join(f"{f'broken <= {most}':>24}" for most in MOST_BROKEN))
    print(f"{'way':<12}" + f"{'F1':>9}{'ch':>4}{'str':>4}{'at':>7}" * len(MOST_BROKEN))
    made = {
        way: {threshold: group(vectors, threshold) for threshold in THRESHOLDS[name]}
        for way, group in ways().items()
    }
    for way, groups in made.items():
        print(frontier(way, {t: judged(found, of) for t, found in groups.items()}), flush=True)
    print(f"\n{name}, cross-checked: fitted on a half, reported on the other, means of {SPLITS}")
    print(f"{'way':<12}{'threshold':>10}{'F1':>9}{'broken':>9}{'chained':>9}{'strangers':>11}")
    for way, groups in made.items():
        print(cross_check(way, groups, of), flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--originals", type=int, default=60, help="of the demo's drawings")
    parser.add_argument("--only", choices=sorted(MODELS))
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
    if arguments.only != "drawings":
        pictures, of = photographs()
        compare("photographs", of, embed(pictures, MODELS["photographs"]))
    if arguments.only != "photographs":
        with tempfile.TemporaryDirectory() as folder:
            pictures, of = drawings(arguments.originals, Path(folder))
        compare("drawings", of, embed(pictures, MODELS["drawings"]))


if __name__ == "__main__":
    main()
