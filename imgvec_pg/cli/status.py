"""`imgvec status`."""

import click
from psycopg import sql
from psycopg.rows import dict_row

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.tables import echo_table
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.database.sqlfiles import load_sql
from imgvec_pg.store.collections import get_collection
from imgvec_pg.store.indexes import index_states


@click.command()
@click.argument("name", required=False)
@dsn_option
@json_option
def status(name: str | None, dsn: str, as_json: bool) -> None:
    """Show how far each collection is and who works on it.

    \b
    Example:
      imgvec status
    """
    with connect(dsn) as connection:
        require_schema(connection)
        only = None if name is None else get_collection(connection, name).name
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(load_sql("queries/status.sql"), {"name": only}).fetchall()
        for row in rows:
            collection = get_collection(connection, row["name"])
            counted = connection.execute(
                sql.SQL("SELECT count(*) FROM imgvec.{}").format(sql.Identifier(collection.embedding_table))
            ).fetchone()
            row["embedded"] = counted[0] if counted else 0
            states = index_states(connection, collection)
            built = all(state.is_valid for state in states)
            broken = any(state.index_name and not state.is_valid for state in states)
            row["index"] = "ready" if built else "INVALID" if broken else "none"
            del row["id"]
    if as_json:
        echo_json(rows)
        return
    if not rows:
        click.echo("no collection yet; make one with: imgvec collection create")
        return
    columns = (
        "name",
        "source",
        "model",
        "embedded",
        "waiting",
        "put_off",
        "failed",
        "index",
        "workers",
        "images/s",
    )
    table = [
        [
            row["name"],
            row["source"],
            row["model"],
            f"{row['embedded']:,}",
            f"{row['waiting']:,}" + ("" if row["is_listed"] else " (being listed)"),
            f"{row['put_off']:,}",
            f"{row['failed']:,}",
            row["index"],
            row["workers"],
            f"{row['images_per_second']:.1f}",
        ]
        for row in rows
    ]
    echo_table([column.replace("_", " ") for column in columns], table)
