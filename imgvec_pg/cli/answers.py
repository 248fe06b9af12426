"""Printing what a search found: a table, tab-separated lines, JSON or a contact sheet."""

import sys
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgvec_pg.cli.options import echo_json
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.search.contactsheet import Sheet
from imgvec_pg.search.nearest import Neighbours
from imgvec_pg.search.pictures import read_pictures
from imgvec_pg.search.question import Question
from imgvec_pg.search.values import plain_value, show_safely
from imgvec_pg.store.collection import Collection


def print_json(found: Neighbours) -> None:
    """Print a list of objects: key, distance, similarity, columns, and the way they were found."""
    echo_json(
        [
            {
                "key": plain_value(row.key),
                "distance": row.distance,
                "similarity": row.similarity,
                "columns": plain_value(row.columns),
                "way": found.way,
            }
            for row in found.rows
        ]
    )


def print_table(collection: Collection, question: Question, found: Neighbours) -> None:
    """Print a table on a terminal, tab-separated lines with a header elsewhere."""
    shown = [name for name in found.rows[0].columns if name not in collection.key_columns]
    header = ["distance", *collection.key_columns, *shown]
    rows = [
        [
            f"{row.distance:.4f}",
            *(show_safely(row.key[name]) for name in collection.key_columns),
            *(show_safely(row.columns[name]) for name in shown),
        ]
        for row in found.rows
    ]
    if not sys.stdout.isatty():
        for cells in [[show_safely(name) for name in header], *rows]:
            click.echo("\t".join(cells))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(header):
        numbers = position == 0 or all(_is_number(cells[position]) for cells in rows)
        table.add_column(Text(show_safely(name)), justify="right" if numbers else "left", overflow="ellipsis")
    for cells in rows:
        table.add_row(*map(Text, cells))
    console = Console(highlight=False)
    count = f"{len(rows):,} {'row' if len(rows) == 1 else 'rows'}"
    way = "by the index" if found.way == "index" else "by exact search"
    console.print(Text(f"{show_safely(question.shown)} · {collection.name} · {count} {way}", style="bold"))
    console.print(table)


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


def _is_number(cell: str) -> bool:
    return not cell or cell.replace("-", "", 1).replace(".", "", 1).isdigit()
