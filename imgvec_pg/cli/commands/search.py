"""`imgvec search`: nearest neighbours of words, an image or a row."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from imgvec_pg.cli.options import dsn_option, json_option, model_options
from imgvec_pg.cli.search.answer_of_shards import answer_of_shards, refuse_options
from imgvec_pg.cli.search.embed_query import ask, check_query
from imgvec_pg.cli.search.print_results import print_json, print_table, write_sheet
from imgvec_pg.cli.search.query_options import add_parts, combine_options, distance_limit, find_answer
from imgvec_pg.database.connect import Connection, connect, require_schema
from imgvec_pg.search.contact_sheet import Sheet
from imgvec_pg.search.display_columns import check_columns, default_columns, why_empty
from imgvec_pg.search.nearest import NearestOptions
from imgvec_pg.search.query_embedding import ModelOptions
from imgvec_pg.search.query_types import SearchQuery
from imgvec_pg.search.rows import ask_with_row
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.registry import find_span, get_collection


@click.command()
@click.argument("words", nargs=-1)
@click.option(
    "--image", type=click.Path(path_type=Path), metavar="FILE", help="Search with a picture instead of words."
)
@click.option(
    "--like",
    metavar="KEY",
    help="Search with a row that is embedded: 7; for a key of several columns 3,7 or "
    '\'{"tenant": 3, "id": 7}\'.',
)
@click.option(
    "--collection",
    "collection_name",
    metavar="NAME",
    help="Collection or alias  [default: the only one there is]",
)
@click.option(
    "-k", "k", type=int, default=10, show_default=True, metavar="N", help="Pictures wanted, 1 to 10000."
)
@click.option(
    "--where",
    metavar="SQL",
    help="Condition over the source's columns. It runs with your own rights, in a read-only transaction.",
)
@click.option(
    "--max-distance", type=float, metavar="D", help="Leave out rows further away than this, 0 to 2."
)
@combine_options
@click.option("--all-rows", is_flag=True, help="Each row by itself, also those with the same picture.")
@click.option(
    "--columns",
    metavar="A,B",
    help="Columns to show; '' for none  [default: the source's first six short ones]",
)
@json_option
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write a contact sheet with thumbnails, one file that needs no other.",
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the pictures of the contact sheet lie on this machine  [default: the collection's root]",
)
@dsn_option
@model_options
def search(
    words: tuple[str, ...],
    image: Path | None,
    like: str | None,
    collection_name: str | None,
    k: int,
    where: str | None,
    max_distance: float | None,
    max_percentile: float | None,
    weight: float | None,
    plus: tuple[tuple[float, str], ...],
    minus: tuple[tuple[float, str], ...],
    all_rows: bool,
    columns: str | None,
    as_json: bool,
    html_file: Path | None,
    root: Path | None,
    dsn: str,
    **of_model: Any,  # noqa: ANN401 - the values of model_options
) -> None:
    """Find the nearest pictures to words, a picture or a row.

    Distance is cosine distance, 0 to 2, lower is nearer. There are never fewer than -k pictures while more match.
    A picture comes once, by the smallest key of the rows that match and have it; "copies" says how many they are.
    On a terminal the answer is a table; into a pipe or file it is tab-separated lines under a line of column names, with
    tabs, line breaks and other control characters escaped as \\t, \\n and so on. On a coordinator: keys and distances.

    \b
    Example:
      imgvec search "red leather shoes" --where "price < 50 AND in_stock"
      imgvec search --image photo.jpg -k 30 --html found.html
      imgvec search --like 1042 --columns name,price --json
      imgvec search --like 1042 --weight 0.6 --plus 0.4 "in red" --minus 0.2 "on a white ground"
    """
    check_query(words, image, like)
    options = NearestOptions(k, where, max_distance=max_distance, distinct=not all_rows)
    model = ModelOptions(**of_model)
    with connect(dsn, application_name="imgvec search") as connection:
        require_schema(connection)
        if ask_shards(connection, click.get_current_context().params):
            return
        collection = get_collection(connection, collection_name)
        options = with_columns(connection, collection, options, columns)
        question = embed(
            connection, collection, words, image, like, root, model, with_picture=bool(html_file)
        )
        options = distance_limit(connection, collection, question, options, max_percentile)
        asked, question = question, add_parts(connection, collection, question, weight, plus, minus, model)
        found = find_answer(connection, collection, asked, question, options)
        empty = None if found.rows else why_empty(connection, collection, question.target, options)
        if as_json:
            print_json(found)
        elif found.rows:
            print_table(collection, question, found, hides_empty=columns is None, counts_copies=not all_rows)
        if html_file is not None:
            sheet = Sheet(question, collection, found, where, empty, is_rows=all_rows)
            write_sheet(html_file, sheet, connection, root)
    if empty is not None:
        click.echo(f"nothing found: {empty}", err=True)


def embed(
    connection: Connection,
    collection: Collection,
    words: tuple[str, ...],
    image: Path | None,
    like: str | None,
    root: Path | None,
    model: ModelOptions,
    *,
    with_picture: bool,
) -> SearchQuery:
    """Make a query of the one that is given: words, a picture file, or a row's key and, for a contact sheet, its picture."""
    if like is None:
        return ask(connection, collection, " ".join(words), image, model)
    return ask_with_row(connection, collection, like, root, with_picture=with_picture)


def ask_shards(connection: Connection, given: dict[str, Any]) -> bool:
    """Answer the command, by its parameters, where the collection spans shards; return whether it does.

    Raises:
        UsageError: An option needs the source's rows.
    """
    span = find_span(connection, given["collection_name"])
    if span is None:
        return False
    of_the_source = ["where", "columns", "html_file", "root", "plus", "minus", "weight", "max_percentile"]
    refuse_options(
        span, {f"--{name.removesuffix('_file').replace('_', '-')}": given[name] for name in of_the_source}
    )
    answer_of_shards(
        connection,
        span,
        " ".join(given["words"]),
        given["image"],
        given["like"],
        k=given["k"],
        distinct=not given["all_rows"],
        max_distance=given["max_distance"],
        as_json=given["as_json"],
    )
    return True


def with_columns(
    connection: Connection, collection: Collection, options: NearestOptions, columns: str | None
) -> NearestOptions:
    """Return the options with the columns asked for, "a, b", or the source's short ones where none were."""
    if columns is None:
        names = default_columns(connection, collection)
    else:
        names = [name.strip() for name in columns.split(",") if name.strip()]
        check_columns(connection, collection, names)
    return replace(options, columns=names)
