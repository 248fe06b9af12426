"""`imgvec collection create`: make a table's pictures searchable."""

from functools import partial
from pathlib import Path

import click
import psycopg
from rich.console import Console

from imgvec_pg.adoption.adopt import Adoption, check_named
from imgvec_pg.cli.commands.collection.adopt import adopt_column, adopt_options, examine_column
from imgvec_pg.cli.commands.collection.create_over_shards import create_over_shards
from imgvec_pg.cli.commands.collection.spec_options import spec_options
from imgvec_pg.cli.options import dsn_option, lock_timeout_option
from imgvec_pg.cli.output.progress import count_progress
from imgvec_pg.database.connect import Connection, connect, one_line, require_schema
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.estimate import Estimate, estimate_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.source import describe_source
from imgvec_pg.store.spec import CollectionSpec
from imgvec_pg.text import counted, size


@click.command()
@dsn_option
@spec_options
@adopt_options
@click.option("--dry-run", is_flag=True, help="Change nothing; say what it would take.")
@click.option(
    "--shards",
    metavar="NAME,NAME",
    help="On a coordinator: make it on each of these shards, over its own part of the source, and span them; from this machine.",
)
@lock_timeout_option
def create(
    spec: CollectionSpec,
    dsn: str,
    adoption: Adoption | None,
    left_out: Path | None,
    dry_run: bool,
    shards: str | None,
    lock_timeout_ms: int,
) -> None:
    """Create the collection NAME: its embedding table, triggers and search functions.

    On a live table: SHARE ROW EXCLUSIVE is taken on the source for a moment (reading goes on, writes wait), and given
    up after --lock-timeout. The foreign key makes TRUNCATE and DROP of the source need CASCADE; --no-fk keeps them as
    they are and leaves deletions to triggers and `imgvec collection reconcile`. Then every row is enqueued to be embedded
    by `imgvec backfill`, without locking.

    --adopt takes over vectors that the application has already, once a sample of them, embedded again, has shown that the
    model made them; the rest is enqueued. Stopped, the same command goes on.

    \b
    Example:
      imgvec collection create product_clip --source shop.product --image photo_path \\
          --root /srv/photos --model ViT-B-32/laion2b_s34b_b79k
      imgvec collection create image --library --model demo
      imgvec collection create item_clip --source public.item --image photo --adopt public.item.embedding --model auto
    """
    if adoption is None:
        check_named(spec)
    with connect(dsn, application_name="imgvec collection") as connection:
        require_schema(connection)
        if shards is not None:
            create_over_shards(
                connection,
                spec,
                shards,
                adoption,
                lock_timeout_ms=lock_timeout_ms,
                tell_made=tell_made,
                enqueue_rows=enqueue_rows,
                estimate=partial(show_estimate, spec=spec) if dry_run else None,
            )
            return
        if adoption is not None:
            found = examine_column(connection, spec, adoption)
            if dry_run:
                click.echo(f"collection {spec.name}: nothing was changed")
                return
            adopt_column(connection, found, adoption, left_out, lock_timeout_ms, tell_made, enqueue_rows)
            return
        if dry_run:
            show_estimate(connection, spec)
            return
        made = create_collection(connection, spec, lock_timeout_ms=lock_timeout_ms)
        tell_made(connection, made)
        enqueued = enqueue_rows(connection, made)
    click.echo(f"  {counted(enqueued, 'row')} enqueued; embed them with: imgvec backfill {made.name}")


def tell_made(connection: Connection, made: Collection) -> None:
    """Say what was made, and what it means for the source."""
    click.echo(
        f"collection {made.name}: {made.shown_source} by {made.model_name} ({made.dimensions} dimensions)"
    )
    if made.forgets_by_key:
        click.echo(f"  TRUNCATE and DROP of {made.shown_source} now need CASCADE (--no-fk avoids that)")
    warn_blind_spots(connection, made)


def enqueue_rows(connection: Connection, made: Collection) -> int:
    """File all rows of the source and return how many.

    Raises:
        CollectionError: The collection is made, its rows are not enqueued.
    """
    try:
        with count_progress(Console(stderr=True), "filing rows") as progress:
            return list_source(connection, made, progress)
    except psycopg.errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"collection {made.name} is made, but its rows are not enqueued yet ({one_line(error)}): the role needs SELECT "
            f"on {made.shown_source}, and BYPASSRLS where policies hide rows; then run: imgvec backfill {made.name}"
        ) from error


def warn_blind_spots(connection: Connection, made: Collection) -> None:
    """Say which changes of the source no trigger will see, and when its pictures are elsewhere."""
    if made.root is not None and not Path(made.root).is_dir():
        click.echo(f"  the folder {made.root} is not on this machine; workers need it, or --root", err=True)
    source = describe_source(connection, made.source.as_string(connection), made.key_columns)
    if not source.can_have_triggers:
        click.echo(
            f"  a {source.kind} tells nobody of its changes: schedule imgvec collection reconcile {made.name}",
            err=True,
        )
    elif source.kind == "partitioned table":
        click.echo(
            f"  partitions of {made.shown_source} are dropped, detached and truncated as before, no foreign key is in the "
            "way: TRUNCATE forgets their embeddings at once; after DROP or DETACH a running worker does within a minute, or: "
            f"imgvec collection reconcile {made.name}",
            err=True,
        )
        click.echo(f"  after attaching a partition run: imgvec collection reconcile {made.name}", err=True)


def show_estimate(connection: Connection, spec: CollectionSpec) -> None:
    """Say what creating and filling a collection would take in this database."""
    print_estimate(estimate_collection(connection, spec), spec)


def print_estimate(estimate: Estimate, spec: CollectionSpec) -> None:
    """Say what creating and filling a collection would take."""
    click.echo(f"collection {spec.name} over {estimate.source}: nothing was changed")
    click.echo(
        f"  rows with a picture   {estimate.rows:,}{' (planner estimate)' if estimate.is_estimated else ''}"
    )
    click.echo(f"  embedding table       {size(estimate.table_bytes)}")
    click.echo(f"  HNSW index            {size(estimate.index_bytes)}")
    if estimate.hours is None:
        click.echo(f"  time to fill          unknown: no worker has run {spec.model} on this database yet")
    else:
        click.echo(
            f"  time to fill          {estimate.hours:.1f} h at the {estimate.images_per_second:.1f} images/s "
            f"measured here for {spec.model}"
        )
    click.echo(
        f"  locks                 SHARE ROW EXCLUSIVE on {estimate.source} for a moment: reading goes on, writes wait"
    )
