"""What `imgvec collection switch` prints before it asks."""

from collections.abc import Sequence

import click

from imgvec_pg.search.recall.compare_models import Agreement, Example, Side
from imgvec_pg.text import size

LINE_COUNT = 5
COLUMN = 34


def print_report(name: str, report: Agreement) -> None:
    """Print both collections side by side, then a few questions with both answers."""
    before, after = report.before, report.after
    click.echo(f"{name}: {before.model_name} → {after.model_name}")
    row("", before.name, after.name)
    row("dimensions", f"{before.dimensions:,}", f"{after.dimensions:,}")
    row("table", size(before.table_bytes), size(after.table_bytes))
    row("indexes", size(before.index_bytes), size(after.index_bytes))
    row("search, median", milliseconds(before, 50), milliseconds(after, 50))
    row("search, 95 %", milliseconds(before, 95), milliseconds(after, 95))
    agreement = "no row is in both" if report.mean is None else f"{report.mean:.2f} over {report.rows:,} rows"
    click.echo(f"  agreement@10      {agreement}")
    click.echo(
        f"  not in the new    {report.missing.rows:,} rows"
        + (f", {report.missing.failed:,} of them failed there" if report.missing.failed else "")
    )
    for example in report.examples:
        print_example(example, before.name, after.name)


def print_example(example: Example, before: str, after: str) -> None:
    """Print one question with the nearest five of both sides; = marks those that both name among their ten."""
    row(f"nearest to {example.question}"[:60], before, after, wide=True)
    shared = set(example.before or ()) & set(example.after or ())
    left, right = (_marked(answer, shared) for answer in (example.before, example.after))
    for side, problem in zip((before, after), example.problems, strict=True):
        if problem is not None:
            click.echo(f"    no answer from {side}: {problem}")
    for place in range(LINE_COUNT if left or right else 0):
        click.echo(f"    {place + 1}  {cell(left, place):<{COLUMN}}{cell(right, place)}".rstrip())


def _marked(answer: Sequence[str] | None, shared: set[str]) -> list[str]:
    if answer is None:
        return []
    return [f"{'=' if key in shared else ' '} {key}" for key in answer]


def cell(lines: Sequence[str], place: int) -> str:
    """Return a line, or nothing where there are fewer."""
    return lines[place][: COLUMN - 2] if place < len(lines) else ""


def milliseconds(side: Side, percentile: int) -> str:
    """Return one of a side's times."""
    taken = side.p50_ms if percentile == 50 else side.p95_ms
    return "-" if taken is None else f"{taken:.1f} ms"


def row(title: str, before: str, after: str, *, wide: bool = False) -> None:
    """Print one line of the table."""
    if wide:
        click.echo(f"  {title}\n       {before[: COLUMN - 2]:<{COLUMN}}{after}")
    else:
        click.echo(f"  {title:<18}{before:<{COLUMN}}{after}")
