"""The benchmarks page: the newest figure of each entry of `make bench` on each machine, from benchmarks/history.jsonl."""

from collections.abc import Iterable, Sequence

from benchmarks.ratios.entries import ENTRIES
from benchmarks.ratios.figures import BASE, Entry, Figure
from benchmarks.ratios.history import Run, read_history
from tools.docs.markdown import NOTICE, table

INTRODUCTION = f"""
# Benchmarks

What each figure is held to, what it was on which machine, and when. Every figure is a ratio of two ways that ran within one
run, on the same data, or says its unit; `≤` and `≥` give the target. `make bench` in a checkout measures all of them in at most
25 minutes of two quiet cores, adds a line to `benchmarks/history.jsonl`, and ends with 1 where a target is missed: give your
machine a name with `make bench MACHINE="the shop's server"`. An entry or two again: `make bench ONLY="django sqlalchemy"`.
Beside clip-retrieval, which is installed into a folder of its own (2 GB): `make bench PEERS=DIR`.

"The build {BASE}" is an earlier one of this project: it shows what has become faster, and that nothing has become slower. A
figure of a run that began under load is to be read with care, and on a machine whose neighbours slow it down now and then no
figure says more than "speed varied" in the list of runs: by how much longer the same loop took at its slowest than at its
fastest, between the entries. Larger sizes, what was measured when nothing disturbed, and what was tried, are in
`benchmarks/results/`, to which the how-to pages link.
"""
NO_RUN = "\nNo run is kept yet.\n"


def render() -> str:
    """Return the page."""
    runs = read_history()
    parts = [NOTICE, INTRODUCTION]
    for machine in dict.fromkeys(run.machine for run in reversed(runs)):
        parts.append(_machine(machine, [run for run in runs if run.machine == machine], ENTRIES))
    return "".join(parts) if runs else "".join([*parts, NO_RUN])


def _machine(name: str, runs: Sequence[Run], entries: Iterable[Entry]) -> str:
    """Return a machine's section."""
    rows = [_row(entry, figure, runs) for entry in entries for figure in entry.figures]
    header = ("entry", "what", "beside", "target", "figure", "before", "measured", "")
    listed = [
        (
            run.date,
            f"`{run.commit}`",
            f"{run.load:g}",
            "-" if run.speed_varied is None else f"{run.speed_varied:.0%}",
            f"{run.seconds / 60:.0f}",
            ", ".join(f"{package} {number}" for package, number in sorted(run.versions.items())),
            "; ".join(f"{entry}: {reason}" for entry, reason in run.not_run.items()) or "-",
        )
        for run in reversed(runs)
    ]
    head = ("date (UTC)", "commit", "load before", "speed varied", "minutes", "versions", "not measured")
    return f"\n## {name}\n\n{table(header, rows)}\nRuns, the newest first:\n\n{table(head, listed)}"


def _row(entry: Entry, figure: Figure, runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the line of a figure: its newest value, and the one before that."""
    found = [
        (run, run.figures[entry.name][figure.key])
        for run in runs
        if figure.key in run.figures.get(entry.name, {})
    ]
    newest, before = ([*reversed(found), None, None])[:2]
    value = None if newest is None else newest[1]
    return (
        entry.name,
        figure.what,
        figure.against,
        figure.bound,
        "-" if value is None else f"{value:.4g}",
        "-" if before is None else f"{before[1]:.4g}",
        "-" if newest is None else newest[0].date[:10],
        figure.verdict(value),
    )
