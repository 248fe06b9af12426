"""`imgvec uninstall`: remove imgvec from a database."""

import click

from imgvec_pg.cli.options import dsn_option, lock_timeout_option
from imgvec_pg.cli.output.tables import confirm
from imgvec_pg.database.connect import connect, needing
from imgvec_pg.store.setup.uninstall import installed_collections, remove_everything
from imgvec_pg.store.transactions import locked_schema


@click.command()
@dsn_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--keep-vectors",
    is_flag=True,
    help="Leave keys and vectors as plain tables in the schema imgvec_kept, with nothing of imgvec's on them.",
)
@lock_timeout_option
def uninstall(dsn: str, yes: bool, keep_vectors: bool, lock_timeout_ms: int) -> None:
    """Remove imgvec and all embeddings from a database.

    The application's own tables stay, without imgvec's triggers; the schema is then what it was before. The roles
    imgvec_reader and imgvec_worker go when no other database of the cluster uses them. It is one transaction: all of it
    happens or nothing.

    Dropping triggers takes ACCESS EXCLUSIVE on every source and partition until the end, which takes a moment: readers of
    it wait too. For each of these locks it waits at most --lock-timeout, and those who come meanwhile wait behind it.

    With --keep-vectors the embedding tables stay, without triggers, functions, policies or foreign keys, with their primary
    keys and HNSW indexes; so do what people decided about duplicates, and the extension vector, which their type is of.

    \b
    Example:
      imgvec uninstall --dsn postgresql:///shop
      imgvec uninstall --keep-vectors
    """
    with (
        connect(dsn, application_name="imgvec uninstall") as connection,
        needing(connection, "it must own the schema imgvec and the sources; nothing was changed"),
    ):
        with locked_schema(connection):
            row = connection.execute("SELECT to_regnamespace('imgvec')").fetchone()
            names = [collection.name for collection in installed_collections(connection)]
        if row is None or row[0] is None:
            click.echo(f'database "{connection.info.dbname}" has no schema imgvec; nothing to remove')
            return
        if not yes:
            those = "but not their vectors" if keep_vectors else "with all their embeddings"
            what = f"the collections {', '.join(names)} {those}" if names else "its empty schema"
            confirm(f'Remove imgvec from database "{connection.info.dbname}": {what}?')
        for line in remove_everything(connection, lock_timeout_ms=lock_timeout_ms, keep_vectors=keep_vectors):
            click.echo(line)
