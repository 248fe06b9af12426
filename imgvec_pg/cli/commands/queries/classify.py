"""`imgvec classify`: zero-shot classification of rows."""

import csv
from pathlib import Path

import click

from imgvec_pg.cli.options import dsn_option, echo_json, json_option, model_options
from imgvec_pg.cli.search.shared import (
    choose_columns,
    collection_option,
    columns_option,
    echo_answer,
    where_option,
)
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.search.formatting import plain_value
from imgvec_pg.search.operations.classify import Classified
from imgvec_pg.search.operations.classify import classify as classify_rows
from imgvec_pg.search.query_embedding import ModelOptions
from imgvec_pg.store.registry import get_collection


@click.command()
@click.option("--labels", required=True, metavar="A,B,C", help="Labels that exclude each other, 2 to 1000.")
@collection_option
@where_option
@columns_option
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    metavar="N",
    help="Rows; 0 for all.",
)
@json_option
@dsn_option
@model_options
def classify(
    labels: str,
    collection_name: str | None,
    where: str | None,
    columns: str | None,
    limit: int,
    as_json: bool,
    dsn: str,
    weights: Path | None,
    device: str,
    precision: str,
) -> None:
    """Give each row the label that suits it, without training.

    Probabilities are the model's own: with CLIP the labels compete and add up to 1 even where none fits a
    picture; with SigLIP each label stands for itself. They are as right as the model is: check a sample by eye
    before you rely on a threshold. Rows come in the order of their keys.

    \b
    Example:
      imgvec classify --labels "shoe,bag,hat" --where "category IS NULL" --limit 0
    """
    names = [name.strip() for name in next(csv.reader([labels], skipinitialspace=True), [])]
    with connect(dsn, application_name="imgvec classify") as connection:
        require_schema(connection)
        collection = get_collection(connection, collection_name)
        shown = choose_columns(connection, collection, columns)
        rows = classify_rows(
            connection,
            collection,
            names,
            ModelOptions(weights, device, precision),
            where=where,
            columns=shown,
            limit=limit + 1 if limit else None,
        )
        found = list(rows)
    more = bool(limit) and len(found) > limit
    del found[limit if more else len(found) :]
    if as_json:
        echo_json([as_object(row, names) for row in found])
    elif found:
        beside = [name for name in shown if name not in collection.key_columns]
        echo_answer(
            ["label", "probability", *collection.key_columns, *beside],
            [
                [
                    best(row, names),
                    f"{max(row.probabilities):.3f}",
                    *row.key.values(),
                    *(row.columns[name] for name in beside),
                ]
                for row in found
            ],
        )
    else:
        click.echo("nothing found: no embedded row matches that this role may see", err=True)
    if more:
        click.echo(f"these are the first {limit} rows; --limit 0 gives all", err=True)


def best(row: Classified, labels: list[str]) -> str:
    """Return the most probable label."""
    return max(zip(row.probabilities, labels, strict=True))[1]


def as_object(row: Classified, labels: list[str]) -> dict[str, object]:
    """Return a row as --json prints it."""
    return {
        "key": plain_value(row.key),
        "label": best(row, labels),
        "probabilities": dict(zip(labels, row.probabilities, strict=True)),
        "columns": plain_value(row.columns),
    }
