"""`imgvec fuse`: two collections' answers as one."""

from collections.abc import Sequence
from pathlib import Path

import click

from imgvec_pg.cli.options import echo_json, model_options
from imgvec_pg.cli.search.embed_query import check_query, embed_query
from imgvec_pg.cli.search.shared import answer_options, choose_columns, echo_answer
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.errors import UsageError
from imgvec_pg.search.formatting import plain_value
from imgvec_pg.search.nearest import MAX_K, NearestOptions, find_nearest
from imgvec_pg.search.operations.rank_fusion import RANK_CONSTANT, Fused, fuse_answers, require_same_source
from imgvec_pg.search.query_embedding import ModelOptions
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.registry import get_collection


@click.command()
@click.argument("words", nargs=-1)
@click.option(
    "--image", type=click.Path(path_type=Path), metavar="FILE", help="Search with a picture instead of words."
)
@click.option("--like", metavar="KEY", help="Search with a row that is embedded in both collections.")
@click.option("--collections", required=True, metavar="A,B", help="Two collections of the same table.")
@click.option(
    "--depth",
    type=click.IntRange(1, MAX_K),
    default=100,
    show_default=True,
    metavar="N",
    help="Rows taken from each collection's answer.",
)
@click.option(
    "--rank-constant",
    type=click.IntRange(min=0),
    default=RANK_CONSTANT,
    show_default=True,
    help="A smaller one favours the first ranks.",
)
@answer_options
@model_options
def fuse(
    words: tuple[str, ...],
    image: Path | None,
    like: str | None,
    collections: str,
    depth: int,
    rank_constant: int,
    k: int,
    where: str | None,
    columns: str | None,
    as_json: bool,
    dsn: str,
    weights: Path | None,
    device: str,
    precision: str,
) -> None:
    """Ask two collections of one table and fuse their answers.

    Distances of two models cannot be compared, ranks can: a row scores 1 / (60 + rank) in each answer that has it
    (reciprocal rank fusion).

    \b
    Example:
      imgvec fuse "red leather shoes" --collections product_clip,product_siglip --where "in_stock"
    """
    check_query(words, image, like)
    names = [name.strip() for name in collections.split(",")]
    if len(names) != 2:
        raise UsageError(f"--collections is {collections!r}; expected two names: product_clip,product_siglip")
    model = ModelOptions(weights, device, precision)
    with connect(dsn, application_name="imgvec fuse") as connection:
        require_schema(connection)
        first, second = (get_collection(connection, name) for name in names)
        require_same_source(first, second)
        shown = choose_columns(connection, first, columns)
        options = NearestOptions(max(depth, k), where, shown)
        answers = []
        for collection in (first, second):
            query = embed_query(connection, collection, words, image, like, model)
            answers.append(find_nearest(connection, collection, query.target, options))
        rows = fuse_answers(connection, first, (answers[0], answers[1]), k, rank_constant)
    if as_json:
        _print_json(rows, names)
    elif rows:
        _print_table(rows, names, first, shown)
    else:
        click.echo("nothing found: no embedded row matches that this role may see", err=True)


def _print_json(rows: Sequence[Fused], names: Sequence[str]) -> None:
    echo_json(
        [
            {
                "key": plain_value(row.key),
                "score": row.score,
                "ranks": dict(zip(names, row.ranks, strict=True)),
                "columns": plain_value(row.columns),
            }
            for row in rows
        ]
    )


def _print_table(
    rows: Sequence[Fused], names: Sequence[str], collection: Collection, columns: Sequence[str]
) -> None:
    others = [name for name in columns if name not in collection.key_columns]
    echo_answer(
        ["score", *names, *collection.key_columns, *others],
        [
            [f"{row.score:.5f}", *row.ranks, *row.key.values(), *(row.columns[name] for name in others)]
            for row in rows
        ],
    )
