"""Options, key lists and result tables that the search commands share."""

import csv
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from imgvec_pg.cli.options import dsn_option, json_option
from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.cli.search.print_results import fit_lines
from imgvec_pg.database.connect import Connection
from imgvec_pg.search.display_columns import check_columns, default_columns
from imgvec_pg.search.formatting import show_safely
from imgvec_pg.search.rows import find_row, parse_key
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key

MEMORY_UNITS = {"M": 10**6, "G": 10**9}
Command = TypeVar("Command", bound=Callable[..., Any])


def collection_option(command: Command) -> Command:
    """Add --collection as `collection_name`."""
    return click.option(
        "--collection",
        "collection_name",
        metavar="NAME",
        help="Collection or alias  [default: the only one there is]",
    )(command)


def answer_options(command: Command) -> Command:
    """Add -k, --where, --columns, --json and --dsn."""
    options = (
        click.option(
            "-k", "k", type=int, default=10, show_default=True, metavar="N", help="Rows wanted, 1 to 10000."
        ),
        where_option,
        columns_option,
        json_option,
        dsn_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def where_option(command: Command) -> Command:
    """Add --where."""
    return click.option(
        "--where",
        metavar="SQL",
        help="Condition over the source's columns. It runs with your own rights, in a read-only transaction.",
    )(command)


def memory_option(command: Command) -> Command:
    """Add --memory, in bytes."""
    return click.option(
        "--memory",
        callback=parse_memory,
        default="4GB",
        show_default=True,
        metavar="SIZE",
        help="Memory to take. Vectors that would not fit go to a temporary file.",
    )(command)


def parse_memory(context: click.Context, parameter: click.Parameter, text: str) -> int:
    """Turn "800MB" or "4GB" into bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MG])B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise click.BadParameter(f"{text!r} is no size; expected such as 800MB or 4GB", context, parameter)
    return int(float(found[1]) * MEMORY_UNITS[found[2].upper()])


def columns_option(command: Command) -> Command:
    """Add --columns."""
    return click.option(
        "--columns",
        metavar="A,B",
        help="Columns to show; '' for none  [default: the source's first six short ones]",
    )(command)


def choose_columns(connection: Connection, collection: Collection, text: str | None) -> list[str]:
    """Return the columns of --columns, or the source's short ones.

    Raises:
        UsageError: One does not exist.
    """
    if text is None:
        return default_columns(connection, collection)
    names = [name.strip() for name in text.split(",") if name.strip()]
    check_columns(connection, collection, names)
    return names


def find_keys(connection: Connection, collection: Collection, texts: Sequence[str]) -> list[Key]:
    """Return the keys of embedded rows, as typed: "1,2,3"; for keys of several columns one key a text.

    Raises:
        UsageError: A text cannot be a key of the source.
        CollectionError: There is no such row, or it is not embedded yet.
    """
    typed: list[str] = []
    for text in texts:
        is_one = len(collection.key_columns) > 1 or text.lstrip().startswith("{")
        typed += [text] if is_one else next(csv.reader([text], skipinitialspace=True), [])
    return [find_row(connection, collection, parse_key(collection, text)).key for text in typed]


def echo_answer(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table that fits the terminal, or tab-separated lines elsewhere; control characters are escaped."""
    lines = [[show_safely(cell) for cell in line] for line in [header, *rows]]
    if not sys.stdout.isatty():
        for cells in lines:
            click.echo("\t".join(cells))
        return
    clipped = fit_lines(lines, shutil.get_terminal_size().columns)
    echo_table(clipped[0], clipped[1:])
