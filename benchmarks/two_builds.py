"""Is this build as fast as an earlier one? The same benchmark of both checkouts, in turns: medians and the ratio of each figure.

Usage: git worktree add /somewhere COMMIT
       python benchmarks/two_builds.py --rounds 7 /somewhere planning.py --runs 500
Each round runs the earlier checkout's script and this one's, in changing order, each against its own source. Every figure with
a unit (us, ms, s, rows/s) that the script prints is compared; "new/old" is the median of the ratios within the rounds.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
FIGURE = re.compile(r"([A-Za-z_][\w*()', ]*?)\s+([\d,]+(?:\.\d+)?) (us|ms|s|rows/s)\b")


def main() -> int:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("earlier", type=Path, help="a checkout of the earlier build")
    parser.add_argument("script", help="a file of benchmarks/")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the script takes")
    options = parser.parse_args()
    ratios: dict[str, list[float]] = defaultdict(list)
    values: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number in range(options.rounds):
        checkouts = (
            (options.earlier.resolve(), HERE) if number % 2 == 0 else (HERE, options.earlier.resolve())
        )
        found = {checkout: run(checkout, options.script, options.arguments) for checkout in checkouts}
        old, new = found[options.earlier.resolve()], found[HERE]
        for name in old:
            if name in new:
                ratios[name].append(new[name] / old[name])
                values[name].append((old[name], new[name]))
    if not ratios:
        print(f"{options.script} printed no figures that both builds have", file=sys.stderr)
        return 1
    print(f"{options.script}: {options.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    print(f"{'':72}{'old':>12}{'new':>12}{'new/old':>9}  of the rounds")
    for name, all_ratios in ratios.items():
        old, new = (statistics.median(column) for column in zip(*values[name], strict=True))
        spread = f"{min(all_ratios):.3f} to {max(all_ratios):.3f}"
        print(f"{name[-72:]:72}{old:12,.2f}{new:12,.2f}{statistics.median(all_ratios):9.3f}  {spread}")
    return 0


def run(checkout: Path, script: str, arguments: list[str]) -> dict[str, float]:
    """Run a checkout's script against its own source and return its figures by name."""
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}", *arguments],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    figures: dict[str, float] = {}
    label = ""
    for line in done.stdout.splitlines():
        kind, _, rest = line.partition("  ")
        what = rest.strip().split("  ")[0][:24]
        label = f"{label}, processor time" if what.startswith("the same in processor") else f"{kind} {what}"
        for name, value, unit in FIGURE.findall(line):
            figures.setdefault(f"{label}: {name.strip(' ,')} ({unit})", float(value.replace(",", "")))
    return figures


if __name__ == "__main__":
    sys.exit(main())
