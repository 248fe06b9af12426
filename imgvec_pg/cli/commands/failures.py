"""`imgvec failures`: list failed rows, or embedded ones of whose picture something is noted."""

import json
from typing import Any

import click

from imgvec_pg.cli.options import codes_option, dsn_option, echo_json, json_option
from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.images.rendering.picture_note import BLANK_CODE
from imgvec_pg.store.queue.queue_stats import count_failures, list_failures, list_noted, shown_counts
from imgvec_pg.store.registry import get_collection


@click.command()
@click.argument("name", required=False)
@dsn_option
@codes_option
@click.option(
    "--blank",
    is_flag=True,
    help="List the rows whose picture is one single colour; they are embedded all the same.",
)
@click.option(
    "--noted",
    is_flag=True,
    help="Those, and rows whose colour profile or end marker is broken or missing; embedded all the same.",
)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@json_option
def failures(
    name: str | None,
    dsn: str,
    codes: tuple[str, ...],
    blank: bool,
    noted: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List rows that could not be embedded, and why.

    Newest first; where there are more than --limit, their number by code stands below. In SQL: imgvec.failures. A role
    sees the failures of the rows that it may see in the source.

    --blank lists pictures of one single colour, such as a shop's white placeholder; --noted those too whose file is odd. They did
    not fail; in SQL: imgvec.noted_pictures.

    \b
    Example:
      imgvec failures product_clip --code not_found
      imgvec failures product_clip --blank
    """
    if (blank or noted) and codes:
        raise click.UsageError("--blank and --noted list rows that did not fail; leave out --code")
    with connect(dsn) as connection:
        require_schema(connection)
        collection = get_collection(connection, name, say_which="imgvec failures NAME")
        if blank or noted:
            code = None if noted else BLANK_CODE
            show_noted(
                collection.name, *list_noted(connection, collection.name, code, limit), as_json=as_json
            )
            return
        rows = list_failures(connection, collection.name, codes, limit)
        counts = count_failures(connection, collection.name)
    if as_json:
        echo_json(rows)
        return
    if not rows:
        others = f" of {', '.join(codes)}; there are: {shown_counts(counts)}" if codes and counts else ""
        click.echo(f"{collection.name}: no failures{others}")
        return
    table = [
        [
            json.dumps(row["key"]),
            row["code"],
            row["attempts"],
            f"{row['failed_at']:%Y-%m-%d %H:%M}",
            row["message"],
        ]
        for row in rows
    ]
    echo_table(["key", "code", "tries", "failed at", "reason"], table)
    if len(rows) == limit and limit < sum(counts.values()):
        click.echo(f"{limit:,} shown; in all: {shown_counts(counts)}", err=True)


def show_noted(name: str, rows: list[dict[str, Any]], total: int, *, as_json: bool) -> None:
    """Print the rows of whose picture something is noted."""
    if as_json:
        echo_json(rows)
        return
    if not rows:
        click.echo(f"{name}: no such picture")
        return
    table = [
        [json.dumps(row["key"]), row["code"], f"{row['embedded_at']:%Y-%m-%d %H:%M}", row["message"]]
        for row in rows
    ]
    echo_table(["key", "code", "embedded at", "picture"], table)
    if len(rows) < total:
        click.echo(f"{len(rows):,} shown; in all: {total:,}", err=True)
