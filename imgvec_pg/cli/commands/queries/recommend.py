"""`imgvec recommend`: rows near those liked and far from those disliked, or near the mean of a group."""

import click

from imgvec_pg.cli.search.print_results import print_json, print_table
from imgvec_pg.cli.search.shared import answer_options, choose_columns, collection_option, find_keys
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.errors import UsageError
from imgvec_pg.search.display_columns import why_empty
from imgvec_pg.search.nearest import NearestOptions
from imgvec_pg.search.operations.recommend import find_others, mean_vector, preference_vector
from imgvec_pg.search.query_types import SearchQuery
from imgvec_pg.store.registry import get_collection


@click.command()
@click.option(
    "--liked", multiple=True, metavar="KEYS", help="Rows liked: 1,2; may be repeated, one key each time."
)
@click.option("--disliked", multiple=True, metavar="KEYS", help="Rows disliked: their mean is subtracted.")
@click.option(
    "--disliked-weight",
    type=float,
    default=0.25,
    show_default=True,
    metavar="W",
    help="Weight of the rows disliked, 0 to 1; that of the rows liked is 1.",
)
@click.option(
    "--mean-of",
    metavar="SQL",
    help="Instead of rows liked, the mean of all rows that match this condition: for somebody still unknown.",
)
@collection_option
@answer_options
def recommend(
    liked: tuple[str, ...],
    disliked: tuple[str, ...],
    disliked_weight: float,
    mean_of: str | None,
    collection_name: str | None,
    k: int,
    where: str | None,
    columns: str | None,
    as_json: bool,
    dsn: str,
) -> None:
    """Find what somebody may like, from what they liked.

    The question is the mean of the rows liked, less a quarter of the mean of those disliked; those rows are not in the
    answer. No model is loaded. With --mean-of the rows themselves may be in the answer.

    \b
    Example:
      imgvec recommend --liked 17,42 --disliked 5 --where "in_stock"
      imgvec recommend --mean-of "category = 'Shoes'" -k 20
    """
    if bool(liked) == (mean_of is not None):
        raise UsageError("expected either --liked KEYS or --mean-of SQL")
    if mean_of is not None and disliked:
        raise UsageError("--disliked was given with --mean-of; expected it with --liked")
    with connect(dsn, application_name="imgvec recommend") as connection:
        require_schema(connection)
        collection = get_collection(connection, collection_name)
        options = NearestOptions(k, where, choose_columns(connection, collection, columns))
        likes, dislikes = (find_keys(connection, collection, texts) for texts in (liked, disliked))
        if mean_of is not None:
            vector = mean_vector(connection, collection, mean_of)
        else:
            vector = preference_vector(connection, collection, likes, dislikes, disliked_weight)
        found = find_others(connection, collection, vector, [*likes, *dislikes], options)
        empty = None if found.rows else why_empty(connection, collection, vector, options)
        if as_json:
            print_json(found)
        elif found.rows:
            shown = f"mean of {mean_of}" if mean_of is not None else f"liked {', '.join(liked)}"
            print_table(collection, SearchQuery("recommendation", shown, vector), found)
    if empty is not None:
        click.echo(f"nothing found: {empty}", err=True)
