"""`imgvec collection create --shards`: on each shard, and the search over them on the coordinator."""

from collections.abc import Callable

import click

from imgvec_pg.adoption.adopt import Adoption
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.shards.coordinator import check_span
from imgvec_pg.shards.create_on_shards import connect_to_shards, create_on_shards
from imgvec_pg.shards.servers import require_shard_tables
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.spec import CollectionSpec
from imgvec_pg.text import counted


def create_over_shards(
    coordinator: Connection,
    spec: CollectionSpec,
    names: str,
    adoption: Adoption | None,
    *,
    lock_timeout_ms: int,
    tell_made: Callable[[Connection, Collection], None],
    enqueue_rows: Callable[[Connection, Collection], int],
    estimate: Callable[[Connection], None] | None,
) -> None:
    """Make the collection on each shard, span them and file the rows of each.

    Args:
        names: Of shards, as typed: "eu,us".
        estimate: In place of that: prints what it would take on one shard.

    Raises:
        UsageError: Vectors are to be adopted, which is done on each shard.
    """
    if adoption is not None:
        raise UsageError(
            "--adopt and --shards were given; adopt the vectors on each shard, and then: imgvec shard span"
        )
    require_shard_tables(coordinator)
    shards = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    check_span(coordinator, spec.name, shards, ())
    with connect_to_shards(coordinator, shards) as connections:
        if estimate is not None:
            for name, connection in connections.items():
                click.echo(f"shard {name}:")
                estimate(connection)
            return
        model, made = create_on_shards(coordinator, spec, connections, lock_timeout_ms=lock_timeout_ms)
        for name, connection in connections.items():
            click.echo(f"shard {name}:")
            tell_made(connection, made[name])
            click.echo(f"  {counted(enqueue_rows(connection, made[name]), 'row')} enqueued")
    click.echo(
        f"{spec.name} spans {', '.join(shards)}; embed the rows of each there: imgvec backfill {spec.name}"
    )
    if model["no_near"] is not None:
        click.echo(f"  no near_{spec.name} to join with: {model['no_near']}", err=True)
