"""What `imgvec collection switch` prints before it asks."""

from collections.abc import Mapping, Sequence

import click
from rich.cells import cell_len

from imgvec_pg.cli.search.print_results import clip, clip_front
from imgvec_pg.search.formatting import show_safely
from imgvec_pg.search.query_types import show_key
from imgvec_pg.search.recall.compare_models import Agreement, Example, Side
from imgvec_pg.text import is_path, size

LINE_COUNT = 5
COLUMN = 34
SHORTEST_LABEL = 4


def print_report(name: str, report: Agreement, labels: Mapping[str, str]) -> None:
    """Print both collections side by side, then a few questions with both answers.

    Args:
        labels: What people call the rows, by their keys as shown.
    """
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
        print_example(example, before.name, after.name, labels)


def print_example(example: Example, before: str, after: str, labels: Mapping[str, str]) -> None:
    """Print one question with the nearest five of both sides; = marks those that both name among their ten."""
    # The words of a question may look like a key.
    is_row = example.question in map(show_key, example.keys[:1])
    question = labelled(example.question, labels, 60) if is_row else example.question
    row(f"nearest to {question}"[:76], before, after, wide=True)
    shared = set(example.before or ()) & set(example.after or ())
    left, right = (_marked(answer, shared, labels) for answer in (example.before, example.after))
    for side, problem in zip((before, after), example.problems, strict=True):
        if problem is not None:
            click.echo(f"    no answer from {side}: {problem}")
    for place in range(LINE_COUNT if left or right else 0):
        click.echo(f"    {place + 1}  {cell(left, place)}{cell(right, place)}".rstrip())


def _marked(answer: Sequence[str] | None, shared: set[str], labels: Mapping[str, str]) -> list[str]:
    if answer is None:
        return []
    return [f"{'=' if key in shared else ' '} {labelled(key, labels, COLUMN - 4)}" for key in answer]


def labelled(key: str, labels: Mapping[str, str], width: int) -> str:
    """Return a key and what people call its row, in so many columns: "143 red shoes", "143 …/2019/beach.jpg"."""
    label = show_safely(labels.get(key, ""))
    room = width - len(key) - 1
    if not label or room < SHORTEST_LABEL:
        return clip(key, width)
    return f"{key} {clip_front(label, room) if is_path(label) else clip(label, room)}"


def cell(lines: Sequence[str], place: int) -> str:
    """Return a line, or nothing where there are fewer, filled up to its column."""
    line = lines[place] if place < len(lines) else ""
    return line + " " * (COLUMN - cell_len(line))


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
