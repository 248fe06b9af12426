"""`imgvec backfill`."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import cast

import click
from psycopg import sql

from imgvec_pg.backfill.pipeline import PipelineOptions
from imgvec_pg.backfill.tally import Tally
from imgvec_pg.backfill.worker import Worker, effective_root
from imgvec_pg.cli.options import dsn_option, echo_json, json_option, model_options, pipeline_options
from imgvec_pg.cli.outcome import SomeRowsFailed
from imgvec_pg.cli.processes import Fleet, run_processes
from imgvec_pg.cli.progress import clock, image_progress, index_progress
from imgvec_pg.cli.stopping import stop_on_signals
from imgvec_pg.database.connect import Connection, connect, require_schema
from imgvec_pg.database.sqlfiles import render
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.settings import lease_seconds
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collections import get_collection
from imgvec_pg.store.indexbuild import build_index
from imgvec_pg.store.indexes import has_valid_index
from imgvec_pg.store.jobs import queue_depth
from imgvec_pg.store.reconcile import count_missing, list_source


@click.command()
@click.argument("name", required=False)
@dsn_option
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes on this machine."
)
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many rows.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what waits.")
@click.option("--no-index", is_flag=True, help="Do not build the HNSW index at the end.")
@pipeline_options
@model_options
@json_option
@click.pass_context
def backfill(
    context: click.Context,
    name: str | None,
    dsn: str,
    batch_size: int,
    workers: int,
    decode_threads: int,
    limit: int | None,
    root: Path | None,
    dry_run: bool,
    no_index: bool,
    weights: Path | None,
    device: str,
    precision: str,
    as_json: bool,
) -> None:
    """Embed all rows that wait, then build the index.

    NAME may be left out when there is one collection. Rows are claimed in small jobs and each batch commits alone: stop
    it at any moment, run it again, start it on more machines. The HNSW index is built once, after the first fill, beside
    running writes. Exit code 4 says that some rows failed: see imgvec failures.

    \b
    Example:
      imgvec backfill product_clip
      imgvec backfill product_clip --device cuda --batch-size 256
    """
    with connect(dsn, application_name="imgvec backfill") as connection:
        require_schema(connection)
        collection = get_collection(connection, name)
        if dry_run:
            report_dry_run(connection, collection, limit, as_json)
            return
        root = effective_root(collection, root)
        # A listing that was interrupted goes on before the queue is worked off.
        list_source(connection, collection)
        waiting = queue_depth(connection, collection.id).waiting
        began = database_time(connection)
    # No connection of this command's own stays open for the hours that follow: it would not live through a restart.
    expected = waiting if limit is None else min(waiting, limit)
    tally = Tally()
    fleet: Fleet | None = None
    if waiting and workers > 1:
        fleet = run_processes(context, collection, workers, expected)
        tally = fleet.tally
    elif waiting:
        embedder = load_embedder(collection.model_name, weights=weights, device=device, precision=precision)
        options = PipelineOptions(
            batch_size=batch_size,
            decode_threads=decode_threads,
            limit=limit,
            root=root,
            lease_seconds=lease_seconds(),
        )
        worker = Worker(dsn, collection.name, embedder, options)
        with image_progress(expected) as show, stop_on_signals(worker.request_stop) as stopped:
            worker.on_progress = lambda tally: show(tally.settled, tally.images_per_second())
            tally = worker.run()
        if stopped.exit_code is not None:
            click.echo(f"stopped after {tally.embedded:,} images; run the same command to go on", err=True)
            context.exit(stopped.exit_code)
    seconds = tally.seconds()
    with connect(dsn, application_name="imgvec backfill") as connection:
        if fleet is not None and fleet.died:
            tally = count_done(connection, collection, began, tally)
        left = queue_depth(connection, collection.id).waiting
        built = False
        if not no_index and left == 0 and not has_valid_index(connection, collection):
            with index_progress() as show_index:
                built = build_index(connection, collection, show_index)
    summary = {
        "collection": collection.name,
        "embedded": tally.embedded,
        "failed": tally.failed,
        "waiting": left,
        "seconds": round(seconds, 1),
        "images_per_second": round(tally.images_per_second(), 1),
        "index_built": built,
    }
    if as_json:
        echo_json(summary)
    else:
        click.echo(
            f"{collection.name}: {tally.embedded:,} images embedded in {clock(seconds)} ({tally.images_per_second():.1f}/s), "
            f"{tally.failed:,} failed, {left:,} waiting{', index built' if built else ''}"
        )
        if tally.failed:
            click.echo(f"see why with: imgvec failures {collection.name}", err=True)
    if fleet is not None and fleet.first_error is not None and left:
        context.exit(fleet.first_error)
    if tally.failed:
        raise SomeRowsFailed


def database_time(connection: Connection) -> datetime:
    """Return the database's own time, which rows are stamped with."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101 - always one row
    return cast(datetime, row[0])


def count_done(connection: Connection, collection: Collection, began: datetime, tally: Tally) -> Tally:
    """Count in the database what was done since `began`: processes that died took their own counts along."""
    row = connection.execute(
        render(
            "collection/count_done.sql",
            embedding_table=sql.Identifier(collection.embedding_table),
            collection_id=sql.Literal(collection.id),
        ),
        {"began": began},
    ).fetchone()
    assert row is not None  # noqa: S101 - always one row
    return replace(tally, embedded=row[0], failed=row[1])


def report_dry_run(connection: Connection, collection: Collection, limit: int | None, as_json: bool) -> None:
    """Say what a run would do."""
    waiting = queue_depth(connection, collection.id).waiting
    if not collection.is_listed:
        waiting = max(waiting, count_missing(connection, collection))
    if limit is not None:
        waiting = min(waiting, limit)
    row = connection.execute(
        "SELECT images_per_second FROM imgvec.model WHERE id = %s", [collection.model_id]
    ).fetchone()
    rate = float(row[0]) if row and row[0] else None
    seconds = waiting / rate if rate else None
    if as_json:
        echo_json({"collection": collection.name, "waiting": waiting, "seconds": seconds})
        return
    needed = (
        "time unknown until a first run"
        if seconds is None
        else f"about {clock(seconds)} at {rate:.1f} images/s"
    )
    index = (
        "the index is there"
        if has_valid_index(connection, collection)
        else "the index would be built at the end"
    )
    click.echo(
        f"{collection.name}: {waiting:,} rows would be embedded, {needed}; {index}; nothing was changed"
    )
