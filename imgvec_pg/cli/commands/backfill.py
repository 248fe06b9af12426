"""`imgvec backfill`."""

import signal
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import cast

import click
from psycopg import sql

from imgvec_pg.backfill.metrics import serving_metrics, worker_registry
from imgvec_pg.backfill.pipeline import PipelineOptions
from imgvec_pg.backfill.quiet_hours import Hours
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.backfill.throttle import Allowance
from imgvec_pg.backfill.worker import Worker, effective_root
from imgvec_pg.cli.backfill.multi_collection import backfill_together, collections_option
from imgvec_pg.cli.backfill.processes import WorkerProcesses, run_processes
from imgvec_pg.cli.backfill.summary import BackfillSummary, report_dry_run
from imgvec_pg.cli.exit_codes import SomeRowsFailed
from imgvec_pg.cli.options import (
    dsn_option,
    json_option,
    log_options,
    metrics_options,
    model_options,
    pipeline_options,
    throttle_options,
)
from imgvec_pg.cli.output.messages import complain, say
from imgvec_pg.cli.output.progress import image_progress
from imgvec_pg.cli.signals import stop_on_signals
from imgvec_pg.database.connect import Connection, connect, require_schema
from imgvec_pg.database.local_server.launcher import die_with
from imgvec_pg.database.sql_templates import render
from imgvec_pg.embedding.benchmark import choose_batch_size
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import ImgvecError, UsageError
from imgvec_pg.settings import lease_seconds
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.key_change import follow_key, may_change_key
from imgvec_pg.store.queue.jobs import queue_depth
from imgvec_pg.store.registry import get_collection, require_same_collection
from imgvec_pg.store.transactions import flush_commits


@click.command()
@click.argument("name", required=False)
@dsn_option
@collections_option
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes on this machine."
)
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many rows.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what waits.")
@click.option("--no-index", is_flag=True, help="Do not build the HNSW index at the end.")
@click.option("--parent", type=int, hidden=True, help="End with this process: for those of --workers.")
@pipeline_options
@throttle_options
@metrics_options
@log_options
@model_options
@json_option
@click.pass_context
def backfill(
    context: click.Context,
    name: str | None,
    dsn: str,
    collections: tuple[str, ...],
    batch_size: int,
    workers: int,
    decode_threads: int,
    limit: int | None,
    root: Path | None,
    rate: float | None,
    max_replica_lag_seconds: float | None,
    pause_when: tuple[Hours, ...],
    metrics_port: int | None,
    metrics_host: str,
    dry_run: bool,
    no_index: bool,
    parent: int | None,
    weights: Path | None,
    device: str,
    precision: str,
    as_json: bool,
) -> None:
    """Embed all rows that wait, then build the index.

    NAME may be left out when there is one collection. Rows are claimed in small jobs and each batch commits alone: stop
    it at any moment, run it again, start it on more machines. The HNSW index is built once, after the first fill, beside
    running writes; it takes the owner of the schema imgvec, and a role that only fills is told so, at no error.

    Exit code 4 says that some rows failed: see imgvec failures. A folder of pictures that goes away meanwhile ends the
    command with 1 and is charged to no row.

    \b
    Example:
      imgvec backfill product_clip
      imgvec backfill product_clip --device cuda --batch-size 256
      imgvec backfill --collections product_clip,product_dino
      imgvec backfill product_clip --rate 20 --pause-when "mon-fri 09:00-17:30"
    """
    if workers > 1 and metrics_port is not None:
        raise UsageError(
            "--metrics-port serves one process, --workers starts several; start a backfill for each port"
        )
    if collections:
        context.exit(backfill_together(name, collections, context.params))
    # Behind a pooler the next statement may be another session's: nothing is prepared.
    with connect(dsn, application_name="imgvec backfill", prepare_threshold=None) as connection:
        require_schema(connection)
        collection = get_collection(connection, name, say_which="imgvec backfill NAME")
        if dry_run:
            report_dry_run(connection, collection, limit, as_json)
            return
        # Before the model is loaded, which takes its time.
        effective_root(collection, root)
        collection = follow_where_allowed(connection, collection)
        # A listing that was interrupted goes on before the queue is worked off.
        list_source(connection, collection)
        waiting = queue_depth(connection, collection.id).waiting
        began = database_time(connection)
    # No connection of this command's own stays open for the hours that follow: it would not live through a restart.
    expected = waiting if limit is None else min(waiting, limit)
    fleet: WorkerProcesses | None = None
    stats = WorkerStats()
    if waiting and workers > 1:
        fleet = run_processes(context, collection, workers, expected)
        stats = fleet.stats
    elif waiting:
        stats = run_worker(context, collection, expected)
    stats.finish()
    with connect(dsn, application_name="imgvec backfill", prepare_threshold=None) as connection:
        require_same_collection(connection, collection.name, collection)
        if fleet is not None and fleet.died:
            stats = count_done(connection, collection, began, stats)
        flush_commits(connection)
        filling = BackfillSummary(collection.name, stats, queue_depth(connection, collection.id).waiting)
        try:
            if not no_index:
                filling.complete_index(connection, collection)
        finally:
            # Whatever became of the index, what was embedded stays embedded.
            filling.report(as_json)
    if filling.index_problem is not None:
        complain(filling.index_problem)
    if fleet is not None and fleet.first_error is not None:
        say(f"a worker process ended in error: {fleet.complaint}")
        if filling.waiting:
            context.exit(fleet.first_error)
    if stats.failed:
        raise SomeRowsFailed


def follow_where_allowed(connection: Connection, collection: Collection) -> Collection:
    """Let a collection's key become as wide as its source's; a role that only fills leaves that to the owner."""
    if not collection.has_other_key_types or not may_change_key(connection, collection):
        return collection
    try:
        changed = follow_key(connection, collection)
    except ImgvecError as error:
        # Keys that do not fit fail alone until then.
        complain(str(error))
        return collection
    say(
        f"the key of {collection.name} is {', '.join(changed.key_types)} now, as that of {collection.shown_source}"
    )
    return changed


def run_worker(context: click.Context, collection: Collection, expected: int) -> WorkerStats:
    """Embed what waits in this process, showing progress; leave the command where a signal came."""
    options = context.params
    if options["parent"] is not None:
        die_with(options["parent"], signal.SIGTERM)
    stats = WorkerStats(watches_queue=options["metrics_port"] is not None)
    with serving_metrics(
        options["metrics_port"],
        options["metrics_host"],
        lambda: worker_registry(stats, collection.name, collection.model_name),
    ) as url:
        if url is not None:
            say(f"metrics at {url}", url=url)
        return work(context, collection, expected, stats)


def work(context: click.Context, collection: Collection, expected: int, stats: WorkerStats) -> WorkerStats:
    """Load the model and embed what waits."""
    options = context.params
    embedder = load_embedder(
        collection.model_name,
        weights=options["weights"],
        device=options["device"],
        precision=options["precision"],
    )
    pipeline = PipelineOptions(
        batch_size=choose_batch_size(options["batch_size"], embedder),
        decode_threads=options["decode_threads"],
        limit=options["limit"],
        root=options["root"],
        lease_seconds=lease_seconds(),
        allowance=Allowance(options["rate"], options["max_replica_lag_seconds"], options["pause_when"]),
    )
    worker = Worker(options["dsn"], collection.name, embedder, pipeline, stats=stats)
    with image_progress(expected) as show, stop_on_signals(worker.request_stop) as stopped:
        worker.on_progress = lambda stats: show(stats.finished, stats.images_per_second())
        stats = worker.run()
    if stopped.exit_code is not None:
        say(
            f"stopped after {stats.embedded:,} images; run the same command to go on", embedded=stats.embedded
        )
        context.exit(stopped.exit_code)
    return stats


def database_time(connection: Connection) -> datetime:
    """Return the database's own time, which rows are stamped with."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101 - always one row
    return cast(datetime, row[0])


def count_done(
    connection: Connection, collection: Collection, began: datetime, stats: WorkerStats
) -> WorkerStats:
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
    return replace(stats, embedded=row[0], failed=row[1])
