"""`imgvec retry`."""

import click

from imgvec_pg.cli.options import codes_option, dsn_option, echo_json, json_option
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.doctor.finding import counted
from imgvec_pg.store.ddl import get_collection
from imgvec_pg.store.failures import count_failures, shown_counts
from imgvec_pg.store.queue.jobs import retry_failures


@click.command()
@click.argument("name", required=False)
@dsn_option
@codes_option
@json_option
def retry(name: str | None, dsn: str, codes: tuple[str, ...], as_json: bool) -> None:
    """File failed rows again.

    All of them, or those with one of the codes given: after mending what the code says, a folder that was not mounted, say.

    \b
    Example:
      imgvec retry product_clip --code not_found
    """
    with connect(dsn, application_name="imgvec retry") as connection:
        require_schema(connection)
        collection = get_collection(connection, name, say_which="imgvec retry NAME")
        filed = retry_failures(connection, collection.id, list(codes) or None)
        left = count_failures(connection, collection.name)
    if as_json:
        echo_json({"collection": collection.name, "filed": filed, "failed": left})
    elif filed:
        click.echo(
            f"{collection.name}: {counted(filed, 'row')} filed again; embed them with: imgvec backfill {collection.name}"
        )
    else:
        with_codes = f" with the code {' or '.join(codes)}" if codes else ""
        others = f"; there are: {shown_counts(left)}" if left else ""
        click.echo(f"{collection.name}: no failure{with_codes}{others}")
