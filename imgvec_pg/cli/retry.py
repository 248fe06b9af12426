"""`imgvec retry`."""

import click

from imgvec_pg.cli.options import dsn_option
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.store.collections import get_collection
from imgvec_pg.store.jobs import retry_failures


@click.command()
@click.argument("name", required=False)
@dsn_option
@click.option("--code", "codes", multiple=True, help="Only failures with this code; may be repeated.")
def retry(name: str | None, dsn: str, codes: tuple[str, ...]) -> None:
    """File failed rows again.

    \b
    Example:
      imgvec retry product_clip --code not_found
    """
    with connect(dsn, application_name="imgvec retry") as connection:
        require_schema(connection)
        collection = get_collection(connection, name, say_which="imgvec retry NAME")
        filed = retry_failures(connection, collection.id, list(codes) or None)
    click.echo(
        f"{collection.name}: {filed:,} rows filed again; embed them with: imgvec backfill {collection.name}"
    )
