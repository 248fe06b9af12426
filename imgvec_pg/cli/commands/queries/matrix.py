"""`imgvec matrix`: cosine similarity of each row with each other row."""

import csv
import sys
from pathlib import Path

import click

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.search.shared import collection_option, echo_answer, find_keys, where_option
from imgvec_pg.cli.search.write_matrix import check_readable, picture_matrix, write_matrix
from imgvec_pg.database.connect import Connection, connect, require_schema
from imgvec_pg.errors import UsageError
from imgvec_pg.search.formatting import plain_value
from imgvec_pg.search.operations.similarity_matrix import (
    find_embedded_keys,
    order_by_likeness,
    similarity_matrix,
)
from imgvec_pg.search.query_types import Float32Array, show_key
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.registry import get_collection

DEFAULT_LIMIT = 60


@click.command()
@click.argument("keys", nargs=-1, metavar="[KEYS]...")
@collection_option
@where_option
@click.option(
    "--limit",
    type=click.IntRange(1, 500),
    metavar="N",
    help=f"With --where: so many rows at most, the first by their key  [default: {DEFAULT_LIMIT}]",
)
@click.option(
    "--order",
    type=click.Choice(["likeness", "given"]),
    help="Rows that are alike beside each other, or as they were given  "
    "[default: likeness with --where, --html and --png, else given]",
)
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values, in full precision.")
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write a page with the pictures, one file that needs no other; up to 100 rows.",
)
@click.option(
    "--png",
    "png_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also draw it with the pictures, for a report; up to 100 rows.",
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the pictures lie on this machine  [default: the collection's root]",
)
@dsn_option
def matrix(
    keys: tuple[str, ...],
    collection_name: str | None,
    where: str | None,
    limit: int | None,
    order: str | None,
    as_json: bool,
    as_csv: bool,
    html_file: Path | None,
    png_file: Path | None,
    root: Path | None,
    dsn: str,
) -> None:
    """Show how alike some rows are among each other.

    Cosine similarity, 1 to -1, of each of up to 500 rows with each.

    \b
    Example:
      imgvec matrix 7,12,30
      imgvec matrix 7,12,30 --csv > alike.csv
      imgvec matrix --where "category = 'Fruit'" --html alike.html --png alike.png
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv were given; expected one of them")
    if bool(keys) == (where is not None):
        raise UsageError(
            f"{'both were' if keys else 'neither was'} given; expected either KEYS or --where SQL"
        )
    if limit is not None and where is None:
        raise UsageError("--limit was given without --where; expected both, as keys are all taken")
    is_shown = html_file is not None or png_file is not None
    by_likeness = (order or ("likeness" if is_shown or where is not None else "given")) == "likeness"
    with connect(dsn, application_name="imgvec matrix") as connection:
        require_schema(connection)
        collection = get_collection(connection, collection_name)
        if where is None:
            found = find_keys(connection, collection, keys)
        elif not (found := find_some(connection, collection, where, limit or DEFAULT_LIMIT)):
            click.echo("nothing found: no embedded row matches that this role may see", err=True)
            if as_json:
                echo_json({"keys": [], "similarities": []})
            return
        if is_shown:
            check_readable(len(found))
        similarities = similarity_matrix(connection, collection, found)
        if by_likeness:
            places = order_by_likeness(similarities)
            found, similarities = [found[place] for place in places], similarities[places][:, places]
        if is_shown:
            facts = [f"where {where}"] if where is not None else []
            facts += ["ordered by likeness"] if by_likeness else []
            shown = picture_matrix(connection, collection, found, similarities, facts, root)
            write_matrix(shown, html_file, png_file)
    print_matrix(found, similarities, as_json=as_json, as_csv=as_csv)


def find_some(connection: Connection, collection: Collection, where: str, limit: int) -> list[Key]:
    """Return the keys of rows that meet a condition, and tell where there are more."""
    found = find_embedded_keys(connection, collection, where, limit + 1)
    if len(found) > limit:
        click.echo(f"these are the first {limit} rows; --limit takes up to 500", err=True)
    return found[:limit]


def print_matrix(keys: list[Key], similarities: Float32Array, *, as_json: bool, as_csv: bool) -> None:
    """Print a matrix as a table, as JSON or as CSV."""
    names, lines = [show_key(key) for key in keys], similarities.tolist()
    if as_json:
        echo_json({"keys": [plain_value(key) for key in keys], "similarities": lines})
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["", *names])
        writer.writerows([name, *line] for name, line in zip(names, lines, strict=True))
    else:
        shown = [[name, *(f"{value:.3f}" for value in line)] for name, line in zip(names, lines, strict=True)]
        echo_answer(["", *names], shown)
