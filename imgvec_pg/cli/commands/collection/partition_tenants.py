"""`imgvec collection partition`: give large tenants partitions and indexes of their own."""

import dataclasses

import click
from rich.console import Console

from imgvec_pg.cli.options import dsn_option, echo_json, json_option, lock_timeout_option
from imgvec_pg.cli.output.progress import count_progress
from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.database.connect import Connection, connect, require_schema
from imgvec_pg.database.partitioning import small_tenants_table
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.registry import get_collection
from imgvec_pg.tenants.split import Split, TenantSplit
from imgvec_pg.tenants.survey import LARGE_ROWS, Survey, survey
from imgvec_pg.text import counted


@click.command("partition")
@click.argument("name")
@click.option(
    "--rows",
    "least_rows",
    type=click.IntRange(1),
    default=LARGE_ROWS,
    show_default=True,
    metavar="N",
    help="Tenants with so many rows in the source get a partition.",
)
@click.option(
    "--tenant", "named", multiple=True, metavar="VALUE", help="This one too, however large. Can be repeated."
)
@click.option("--dry-run", is_flag=True, help="Change nothing; say which tenants would move.")
@dsn_option
@json_option
@lock_timeout_option
def partition(
    name: str,
    dsn: str,
    least_rows: int,
    named: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    lock_timeout_ms: int,
) -> None:
    """Give large tenants of the collection NAME partitions of their own, each with an HNSW index.

    For collections made with --partition-by COLUMN. Small tenants share one partition and are compared exactly; as one grows, run
    this again, or schedule it. Its rows are copied in batches and indexed while workers and searches go on. Then the copy takes
    their place under a lock that writers of the source, workers and searches of the collection wait for, while PostgreSQL reads
    the shared partition once. Stopped at any moment, the next run goes on from there.

    \b
    Example:
      imgvec collection partition photo_clip --dry-run
      imgvec collection partition photo_clip --rows 20000
      imgvec collection partition photo_clip --tenant 42
    """
    with connect(dsn, application_name="imgvec collection") as connection:
        require_schema(connection)
        item = get_collection(connection, name)
        found = survey(connection, item, least_rows=least_rows, named=named)
        done: list[Split] = []
        if not as_json:
            show(item, found, least_rows)
        if not dry_run:
            done = [
                move(connection, item, found, place, lock_timeout_ms) for place in range(len(found.large))
            ]
    if as_json:
        echo_json({**dataclasses.asdict(found), "moved": [dataclasses.asdict(split) for split in done]})
        return
    for split in done:
        click.echo(
            f"{split.tenant}: imgvec.{split.table} has its {counted(split.rows, 'embedding')}; searches and writers waited "
            f"{1000 * split.locked_seconds:,.0f} ms"
        )
    if dry_run and found.large:
        click.echo("nothing was changed")
    if any(split.rows == 0 for split in done):
        click.echo(f"the index of what is empty yet comes with: imgvec backfill {item.name}")


def show(item: Collection, found: Survey, least_rows: int) -> None:
    """Say which partitions there are and which are to come."""
    shared = f"imgvec.{small_tenants_table(item.embedding_table)}"
    click.echo(
        f"collection {item.name}: {counted(len(found.partitions), 'partition')} of large tenants; all others share {shared}"
    )
    there = [[", ".join(part.tenants), part.rows, f"imgvec.{part.table}"] for part in found.partitions]
    coming = [
        [tenant.tenant, tenant.rows, f"{'goes on to' if tenant.is_begun else 'gets'} imgvec.{tenant.table}"]
        for tenant in found.large
    ]
    if there or coming:
        echo_table([str(item.partition_by), "rows", "partition"], there + coming)
    if not coming:
        click.echo(f"no other tenant has {least_rows:,} rows")


def move(connection: Connection, item: Collection, found: Survey, place: int, lock_timeout_ms: int) -> Split:
    """Move one of the large tenants."""
    tenant = found.large[place]
    what = f"{item.partition_by} {tenant.tenant} ({place + 1} of {len(found.large)})"
    with count_progress(Console(stderr=True), what) as progress:
        return TenantSplit(connection, item, tenant, progress).run(lock_timeout_ms=lock_timeout_ms)
