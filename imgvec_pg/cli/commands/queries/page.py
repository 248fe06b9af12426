"""`imgvec page`: a long answer page by page."""

from collections.abc import Sequence
from pathlib import Path

import click

from imgvec_pg.cli.options import echo_json, model_options
from imgvec_pg.cli.search.embed_query import check_query, embed_query
from imgvec_pg.cli.search.shared import answer_options, choose_columns, collection_option, echo_answer
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.search.formatting import plain_value
from imgvec_pg.search.nearest import NearestOptions, Neighbour
from imgvec_pg.search.operations.paginate import PagePosition, parse_place, read_page
from imgvec_pg.search.operations.weighted_query import row_vector
from imgvec_pg.search.query_embedding import ModelOptions
from imgvec_pg.search.query_types import RowKey
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.registry import get_collection


@click.command()
@click.argument("words", nargs=-1)
@click.option(
    "--image", type=click.Path(path_type=Path), metavar="FILE", help="Search with a picture instead of words."
)
@click.option("--like", metavar="KEY", help="Search with a row that is embedded; it comes first itself.")
@click.option("--after", metavar="PLACE", help="Where the page before ended, as it said.")
@collection_option
@answer_options
@model_options
def page(
    words: tuple[str, ...],
    image: Path | None,
    like: str | None,
    after: str | None,
    collection_name: str | None,
    k: int,
    where: str | None,
    columns: str | None,
    as_json: bool,
    dsn: str,
    weights: Path | None,
    device: str,
    precision: str,
) -> None:
    """Read a long answer page by page, exactly.

    Rows come by distance, then by key; the pages neither repeat nor skip a row that stays as it is between them.
    Each page compares all rows, so for the first rows alone imgvec search is quicker.

    \b
    Example:
      imgvec page "red leather shoes" -k 50
      imgvec page "red leather shoes" -k 50 --after '{"distance": 0.713, "key": {"id": 1042}}'
    """
    check_query(words, image, like)
    with connect(dsn, application_name="imgvec page") as connection:
        require_schema(connection)
        collection = get_collection(connection, collection_name)
        place = None if after is None else parse_place(collection, after)
        shown = choose_columns(connection, collection, columns)
        query = embed_query(
            connection, collection, words, image, like, ModelOptions(weights, device, precision)
        )
        target = query.target
        vector = row_vector(connection, collection, target) if isinstance(target, RowKey) else target
        rows = read_page(connection, collection, vector, NearestOptions(k, where, shown), place)
    end = PagePosition(rows[-1].distance, rows[-1].key).text() if len(rows) == k else None
    if as_json:
        _print_json(rows, end)
    else:
        _print_table(rows, end, collection, shown)


def _print_json(rows: Sequence[Neighbour], end: str | None) -> None:
    shown = [
        {"key": plain_value(row.key), "distance": row.distance, "columns": plain_value(row.columns)}
        for row in rows
    ]
    echo_json({"rows": shown, "after": end})


def _print_table(
    rows: Sequence[Neighbour], end: str | None, collection: Collection, columns: Sequence[str]
) -> None:
    others = [name for name in columns if name not in collection.key_columns]
    if rows:
        echo_answer(
            ["distance", *collection.key_columns, *others],
            [
                [f"{row.distance:.4f}", *row.key.values(), *(row.columns[name] for name in others)]
                for row in rows
            ],
        )
    click.echo(f"next page: --after '{end}'" if end else "this was the last page", err=True)
