"""`imgvec failures` and `imgvec retry`: list failed rows, enqueue them again."""

import json

import click

from imgvec_pg.cli.options import codes_option, dsn_option, echo_json, json_option
from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.store.queue.jobs import retry_failures
from imgvec_pg.store.queue.queue_stats import count_failures, list_failures, shown_counts
from imgvec_pg.store.registry import get_collection
from imgvec_pg.text import counted


@click.command()
@click.argument("name", required=False)
@dsn_option
@codes_option
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@json_option
def failures(name: str | None, dsn: str, codes: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List rows that could not be embedded, and why.

    Newest first; where there are more than --limit, their number by code stands below. In SQL: imgvec.failures. A role
    sees the failures of the rows that it may see in the source.

    \b
    Example:
      imgvec failures product_clip --code not_found
    """
    with connect(dsn) as connection:
        require_schema(connection)
        collection = get_collection(connection, name, say_which="imgvec failures NAME")
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


@click.command()
@click.argument("name", required=False)
@dsn_option
@codes_option
@json_option
def retry(name: str | None, dsn: str, codes: tuple[str, ...], as_json: bool) -> None:
    """Enqueue failed rows again.

    All of them, or those with one of the codes given: after fixing what the code says, such as a folder that was not mounted.

    \b
    Example:
      imgvec retry product_clip --code not_found
    """
    with connect(dsn, application_name="imgvec retry") as connection:
        require_schema(connection)
        collection = get_collection(connection, name, say_which="imgvec retry NAME")
        enqueued = retry_failures(connection, collection.id, list(codes) or None)
        left = count_failures(connection, collection.name)
    if as_json:
        echo_json({"collection": collection.name, "enqueued": enqueued, "failed": left})
    elif enqueued:
        click.echo(
            f"{collection.name}: {counted(enqueued, 'row')} enqueued again; embed them with: imgvec backfill {collection.name}"
        )
    else:
        with_codes = f" with the code {' or '.join(codes)}" if codes else ""
        others = f"; there are: {shown_counts(left)}" if left else ""
        click.echo(f"{collection.name}: no failure{with_codes}{others}")
