"""`imgvec failures`."""

import json

import click
from psycopg.rows import dict_row

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.tables import echo_table
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.database.sqlfiles import load_sql
from imgvec_pg.store.collections import get_collection


@click.command()
@click.argument("name", required=False)
@dsn_option
@click.option("--code", "codes", multiple=True, help="Only failures with this code; may be repeated.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@json_option
def failures(name: str | None, dsn: str, codes: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List rows that could not be embedded, and why.

    \b
    Example:
      imgvec failures product_clip --code not_found
    """
    with connect(dsn) as connection:
        require_schema(connection)
        collection = get_collection(connection, name, say_which="imgvec failures NAME")
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                load_sql("queries/failures.sql"),
                {"collection_id": collection.id, "codes": list(codes) or None, "limit": limit},
            ).fetchall()
    if as_json:
        echo_json(rows)
        return
    if not rows:
        click.echo(f"{collection.name}: no failures")
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
