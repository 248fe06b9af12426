"""Print what `imgvec duplicates --explain` found: a histogram, thresholds, and a page with pictures."""

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from itertools import islice
from pathlib import Path

import click

from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.database.connect import Connection
from imgvec_pg.duplicates.thresholds import Explanation, Level
from imgvec_pg.errors import UsageError
from imgvec_pg.search.contact_sheet import card, fill_page
from imgvec_pg.search.images import read_pictures
from imgvec_pg.search.nearest import Neighbour
from imgvec_pg.store.collection import Collection

BAR_CHARACTERS = 40


def echo_explanation(collection: Collection, found: Explanation, default: str | None) -> None:
    """Print the histogram and the thresholds.

    Args:
        default: What the threshold rests on, where nobody gave one.
    """
    click.echo(
        f"{collection.name}: {found.sample:,} of {found.rows:,} rows; distance of each to the nearest other, among all"
    )
    most = max(count for _, _, count in found.histogram)
    for low, high, count in found.histogram:
        bar = "#" * round(BAR_CHARACTERS * count / max(most, 1))
        click.echo(f"  {low:5.3f} to {high:5.3f}  {count:>6,}  {bar}".rstrip())
    click.echo()
    echo_table(
        ["threshold", "distance", "rows with a neighbour", "pairs, about", "decided the same"],
        [
            [
                f"{level.threshold:.4g}",
                f"{1 - level.threshold:.4g}",
                f"{level.with_neighbour:.1%}",
                f"{level.pairs:,.0f}",
                shown_precision(level),
            ]
            for level in found.levels
        ],
    )
    if default is not None:
        click.echo(f"{default}; look at pairs (--html FILE) and decide some, and the last column tells")


def shown_precision(level: Level) -> str:
    """Return how many of the pairs that people decided are the same, with the interval of that share."""
    told = level.precision
    return "" if told is None else f"{told.same} of {told.decided} ({told.low:.0%} to {told.high:.0%})"


def as_object(collection: Collection, threshold: float, found: Explanation) -> dict[str, object]:
    """Return an explanation for --json."""
    return {"collection": collection.name, "threshold": threshold, **asdict(found)}


def write_examples(
    file: Path, connection: Connection, collection: Collection, found: Explanation, root: Path | None
) -> None:
    """Write a page with pictures of pairs at each threshold.

    Raises:
        UsageError: The file cannot be written.
    """
    keys = [
        key for level in found.levels for example in level.examples for key in (example.key, example.other)
    ]
    pictures = read_pictures(connection, collection, keys, root)
    sections = [
        _section(
            level, [card(Neighbour(*side, {}), next(pictures), collection.bands) for side in _sides(level)]
        )
        for level in found.levels
    ]
    page = fill_page(
        title=f"thresholds · {collection.name}",
        kind="Nearest pairs at five thresholds",
        question=collection.name,
        facts=f"{found.sample:,} of {found.rows:,} rows · model {escape(collection.model_name)} · below each threshold what it "
        "adds to the one above, the furthest first",
        content="\n".join(sections),
    )
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {file}: {error.strerror}; expected a file in an existing folder"
        ) from error
    click.echo(f"pictures: {file}", err=True)


def _sides(level: Level) -> list[tuple[dict[str, object], float]]:
    return [(key, one.distance) for one in level.examples for key in (one.key, one.other)]


def _section(level: Level, cards: Sequence[str]) -> str:
    told = shown_precision(level)
    heading = f"{level.threshold:.4g}: about {level.pairs:,.0f} pairs" + (
        f", decided the same: {told}" if told else ""
    )
    remaining = iter(cards)
    pairs = []
    while pair := list(islice(remaining, 2)):
        style = "display:inline-grid;grid-template-columns:repeat(2,180px);gap:2px;margin-right:24px"
        pairs.append(f'<ol style="{style}">{"".join(pair)}</ol>')
    return f"<h2>{escape(heading)}</h2>\n" + (
        "\n".join(pairs) or '<p class="facts">no pair of the sample lies here</p>'
    )
