"""`imgvec status`: progress, queue and workers of each collection."""

from collections.abc import Sequence
from typing import Any

import click
from psycopg.rows import dict_row

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.cli.span_reports import span_states
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.store.registry import get_collection, none_yet

COLUMNS = "collection source model embedded waiting delayed failed blank index workers images/s time_left"


@click.command()
@click.argument("name", required=False)
@dsn_option
@json_option
@click.pass_context
def status(context: click.Context, name: str | None, dsn: str, as_json: bool) -> None:
    """Show progress, queue and workers of each collection.

    It prints the view imgvec.status, whose comment in sql/views explains each column. Of a source that row-level
    security hides rows of, the role gets no numbers.
    On a coordinator each shard has a line; where one does not answer, the exit code is 1.

    \b
    Example:
      imgvec status
    """
    with connect(dsn) as connection:
        require_schema(connection)
        of_shards, away = span_states(connection, name)
        only = None if name is None or of_shards or away else get_collection(connection, name).name
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(load_sql("queries/status.sql"), {"name": only}).fetchall()
        if name is not None and only is None:
            rows = []
        rows += of_shards
        none = None if rows or away else none_yet(connection)
    for problem in away:
        click.echo(problem, err=True)
    if as_json:
        echo_json(rows)
    elif rows or none:
        print_states(rows, none)
    if away:
        context.exit(1)


def print_states(rows: Sequence[dict[str, Any]], none: str | None) -> None:
    """Print a line a collection, or what there is in place of any; then what a person has to do."""
    if none is not None:
        click.echo(none)
        return
    table = [
        [
            row["collection"] + (f" on {row['shard']}" if "shard" in row else ""),
            row["source"],
            row["model"],
            shown(row["embedded"]),
            shown(row["waiting"]) + ("" if row["is_listed"] else " (being listed)"),
            shown(row["delayed"]),
            shown(row["failed"]),
            shown(row["blank"]),
            row["index"],
            row["workers"],
            f"{row['images_per_second']:.1f}",
            row["time_left"] or "",
        ]
        for row in rows
    ]
    echo_table([column.replace("_", " ") for column in COLUMNS.split()], table)
    for row in rows:
        # The schema of an earlier release has no such column.
        if row.get("unseen") is not None:
            name = row["collection"]
            click.echo(
                f"{name}: changes of its source were not seen ({' '.join(row['unseen'].split())}); imgvec doctor says "
                f"what to mend, then: imgvec collection reconcile {name}",
                err=True,
            )


def shown(count: int | None) -> str:
    """Return a number of rows, "-" where this role may not see all."""
    return "-" if count is None else f"{count:,}"
