"""Filling, beside what a user would take instead and beside an earlier build: ratios within one run, each with its target.

Usage: python benchmarks/fill.py [--base CHECKOUT] [--clip-retrieval DIR] [--only 1 7 …] [--share 0.3] [--rows 50000]
[--no-large] [--json FILE] [--out FILE]. CHECKOUT is one of the build before (`git worktree add CHECKOUT d784fbe`), for rows 3,
4 and 9. DIR is an environment with clip-retrieval 2.45.0, for row 2; it is made there where it is missing (2 GB, some minutes).
--share takes that part of the pictures and rows that the table names; --rows are those of row 8. A part takes about three
minutes at most on two quiet cores. Exit code 1 says that a target is missed; what cannot be had here is named as not measured.
Weights are seeded: the speed is the same.

"ratio" is by the clock, whole processes with their start, commits and index; "cpu" is the same of the processor time of all
processes, the server's included, which a busy machine changes less.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from filling import against_base, against_loop, against_stages, peer_retrieval, writing
from filling.result import Result
from filling.setting import Setting, ShortError, running_server

PACKAGES = (
    "torch",
    "open_clip_torch",
    "onnxruntime",
    "openvino",
    "faiss-cpu",
    "pillow",
    "numpy",
    "psycopg",
    "pgvector",
)


def shown_versions() -> str:
    """Return the versions of what was measured, and what it ran on."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} -")
    cpus = len(os.sched_getaffinity(0))
    return f"{', '.join(found)}; Python {platform.python_version()}, {cpus} CPUs, load {os.getloadavg()[0]:.1f} before"


def keep(options: argparse.Namespace, lines: list[str], results: list[Result]) -> None:
    """Write what is measured so far into the files asked for."""
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")
    if options.json:
        shown = [{**asdict(each), "is_met": each.is_met} for each in results]
        options.json.write_text(json.dumps({"versions": lines[0], "results": shown}, indent=2) + "\n")


def main() -> int:
    """Measure, print the table, and say whether a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--base", type=Path, help="a checkout of the build before")
    parser.add_argument("--only", nargs="+", type=int, choices=range(1, 10))
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument(
        "--clip-retrieval", type=Path, metavar="DIR", help="its environment, made there if missing"
    )
    parser.add_argument("--no-large", action="store_true", help="row 4 without ViT-L-14: 3 GB, four minutes")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    parts: dict[int, Callable[[Setting], Iterator[Result]]] = {
        1: against_loop.usual_loop,
        2: peer_retrieval.clip_retrieval,
        3: against_base.convolutional,
        4: lambda setting: against_base.transformers(setting, has_large=not options.no_large),
        5: against_stages.own_stages,
        6: against_stages.two_processes,
        7: writing.write_and_copy,
        8: lambda setting: writing.growth(setting, options.rows),
        9: against_loop.start,
    }
    lines = [
        shown_versions(),
        f"{'row':>3}  {'what':106} {'ours, beside':>26} {'ratio':>8} {'cpu':>8}  target",
    ]
    print("\n".join(lines), flush=True)
    results: list[Result] = []
    base = None if options.base is None else options.base.resolve()
    with tempfile.TemporaryDirectory(prefix="imgvec-fill-") as folder, running_server() as server:
        peer = None if options.clip_retrieval is None else options.clip_retrieval.resolve()
        setting = Setting(Path(folder), server, base, options.share, peer)
        for number, part in parts.items():
            if options.only and number not in options.only:
                continue
            began = time.monotonic()
            try:
                for result in part(setting):
                    results.append(result)
                    lines.append(result.line())
                    print(lines[-1], flush=True)
            except (Exception, SystemExit) as error:  # one row's fault is not the others'
                if not isinstance(error, ShortError):
                    traceback.print_exc()
                reason = str(error) if isinstance(error, ShortError) else f"ended with {error!r}"
                results.append(Result.missing(number, "this row", reason))
                lines.append(results[-1].line())
                print(lines[-1], flush=True)
            keep(options, lines, results)
            print(f"     row {number} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    failed = any(each.is_met is False or "ended with" in each.reason for each in results)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
