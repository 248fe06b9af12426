"""Print search results: a table, tab-separated lines, JSON or a contact sheet."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.cells import cell_len, set_cell_size

from imgvec_pg.cli.options import echo_json
from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.search.contact_sheet import Sheet
from imgvec_pg.search.formatting import plain_value, show_safely, times
from imgvec_pg.search.images import read_pictures
from imgvec_pg.search.nearest import Neighbours
from imgvec_pg.search.query_types import SearchQuery
from imgvec_pg.store.collection import Collection
from imgvec_pg.text import counted, is_path

SEPARATOR = "  "
SHORTEST_COLUMN = 8
"""A terminal too narrow for columns of this width wraps its lines."""


def print_json(found: Neighbours) -> None:
    """Print a list of objects: key, distance, similarity, rows with the picture, columns, and the way they were found."""
    echo_json(
        [
            {
                "key": plain_value(row.key),
                "distance": row.distance,
                "similarity": row.similarity,
                "copies": row.copies,
                "columns": plain_value(row.columns),
                "strategy": found.strategy,
            }
            for row in found.rows
        ]
    )


def print_table(
    collection: Collection,
    question: SearchQuery,
    found: Neighbours,
    *,
    hides_empty: bool = False,
    counts_copies: bool = False,
) -> None:
    """Print a table on a terminal, tab-separated lines with a header elsewhere.

    Args:
        hides_empty: Leave out columns that are NULL in all rows; on a terminal only, since programs count columns.
        counts_copies: Tell how many rows have each picture: in a last column, on a terminal behind the distance, as "× 12" and
            only where one has several.
    """
    is_terminal = sys.stdout.isatty()
    shown = [name for name in found.rows[0].columns if name not in collection.key_columns]
    if hides_empty and is_terminal:
        shown = [name for name in shown if any(row.columns[name] is not None for row in found.rows)]
    header = ["distance", *map(show_safely, [*collection.key_columns, *shown])]
    rows = [
        [
            f"{row.distance:.4f}",
            *(show_safely(row.key[name]) for name in collection.key_columns),
            *(show_safely(row.columns[name]) for name in shown),
        ]
        for row in found.rows
    ]
    if not is_terminal:
        if counts_copies:
            header.append("copies")
            rows = [[*cells, str(row.copies)] for cells, row in zip(rows, found.rows, strict=True)]
        for cells in [header, *rows]:
            click.echo("\t".join(cells))
        return
    if counts_copies and any(row.copies > 1 for row in found.rows):
        header.insert(1, "copies")
        rows = [
            [cells[0], times(row.copies), *cells[1:]] for cells, row in zip(rows, found.rows, strict=True)
        ]
    click.secho(_title(collection, question, found, is_rows=not counts_copies), bold=True)
    click.echo()
    clipped = fit_lines([header, *rows], shutil.get_terminal_size().columns)
    echo_table(clipped[0], clipped[1:])


def _title(collection: Collection, question: SearchQuery, found: Neighbours, *, is_rows: bool) -> str:
    way = {
        "index": "by the index",
        "index, wider": "by the index, wider for a burst of near copies",
        "exact": "by exact search",
    }.get(found.strategy, "by exact search after the index")
    count = counted(len(found.rows), "row" if is_rows else "picture")
    return f"{show_safely(question.shown)} · {collection.name} · {count} {way}"


def fit_lines(lines: Sequence[Sequence[str]], available: int) -> list[list[str]]:
    """Cut cells so that lines, the first of them a header, fit a terminal: of paths the beginning, of all else the end."""
    widths = fit_widths(lines, available)
    paths = [all(is_path(cell) for cell in column if cell) for column in zip(*lines[1:], strict=True)]
    return [
        [
            clip_front(cell, width) if place and holds_paths else clip(cell, width)
            for cell, width, holds_paths in zip(line, widths, paths or [False] * len(widths), strict=True)
        ]
        for place, line in enumerate(lines)
    ]


def fit_widths(lines: Sequence[Sequence[str]], available: int) -> list[int]:
    """Return column widths that fit a terminal, in cells: the widest columns give way first."""
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    spaces = len(SEPARATOR) * (len(widths) - 1)
    while sum(widths) + spaces > available and max(widths) > SHORTEST_COLUMN:
        widths[widths.index(max(widths))] -= 1
    return widths


def clip(cell: str, width: int) -> str:
    """Return a cell of at most this width, with an ellipsis where it was cut."""
    return cell if cell_len(cell) <= width else set_cell_size(cell, width - 1).rstrip() + "…"


def clip_front(cell: str, width: int) -> str:
    """Return the end of a cell, of at most this width, after an ellipsis where it was cut."""
    if cell_len(cell) <= width:
        return cell
    end = cell[-width:]
    while cell_len(end) > width - 1:
        end = end[1:]
    return "…" + end


def write_sheet(file: Path, sheet: Sheet, connection: Connection, root: Path | None) -> None:
    """Write a contact sheet and say where it is.

    Raises:
        UsageError: The file cannot be written.
    """
    pictures = read_pictures(connection, sheet.collection, [row.key for row in sheet.found.rows], root)
    page = sheet.html(pictures)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {file}: {error.strerror}; expected a file in an existing folder"
        ) from error
    click.echo(f"contact sheet: {file}", err=True)
