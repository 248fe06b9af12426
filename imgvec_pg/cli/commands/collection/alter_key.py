"""`imgvec collection alter-key`: follow a source whose key became wider."""

import click

from imgvec_pg.cli.options import dsn_option, lock_timeout_option
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.store.index.ddl import has_valid_index
from imgvec_pg.store.key_change import follow_key
from imgvec_pg.store.registry import get_collection


@click.command("alter-key")
@click.argument("name")
@dsn_option
@lock_timeout_option
def alter_key(name: str, dsn: str, lock_timeout_ms: int) -> None:
    """Give the collection NAME the types that its source's key has now.

    After ALTER TABLE … ALTER COLUMN id TYPE bigint (from integer), text (from varchar) and the like. Embeddings stay; the
    embedding table is locked and, for bigint, written anew, and its HNSW index built again by the next backfill. A key that does
    not fit the old type fails alone until then. `imgvec backfill` does the same where its role owns the collection.

    \b
    Example:
      imgvec collection alter-key product_clip
    """
    with connect(dsn, application_name="imgvec collection") as connection:
        require_schema(connection)
        before = get_collection(connection, name)
        had_index = has_valid_index(connection, before)
        after = follow_key(connection, before, lock_timeout_ms=lock_timeout_ms)
        types = ", ".join(after.key_types)
        if list(before.key_types) == list(after.key_types):
            click.echo(
                f"the key of {after.name} is {types}, as that of {after.shown_source}: nothing was changed"
            )
            return
        click.echo(
            f"the key of {after.name} is {types} now; rows that failed: imgvec retry {after.name} --code key_does_not_fit"
        )
        if had_index and not has_valid_index(connection, after):
            click.echo(f"  build its index again: imgvec index create {after.name}")
        if before.has_radius_index:
            click.echo(f"  make its radius index again: imgvec index create {after.name} --radius")
