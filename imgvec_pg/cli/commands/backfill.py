"""`imgvec backfill`: embed all rows in the queue, then build the index."""

import signal
from datetime import datetime
from typing import cast

import click
from psycopg import sql

from imgvec_pg.backfill.metrics import serving_metrics, worker_registry
from imgvec_pg.backfill.startup import StartingWorker
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.backfill.worker import Worker, effective_root
from imgvec_pg.cli.backfill.fill_profile import tell_profile
from imgvec_pg.cli.backfill.index_during_fill import IndexDuringFill
from imgvec_pg.cli.backfill.multi_collection import backfill_together, collections_option
from imgvec_pg.cli.backfill.processes import WorkerProcesses, run_processes
from imgvec_pg.cli.backfill.ray_engine import RayActors, run_actors
from imgvec_pg.cli.backfill.run_options import (
    RunOptions,
    engine_options,
    require_one_engine,
    with_run_options,
)
from imgvec_pg.cli.backfill.summary import BackfillSummary, report_dry_run
from imgvec_pg.cli.exit_codes import SomeRowsFailed
from imgvec_pg.cli.options import (
    dsn_option,
    force_int8_option,
    json_option,
    limit_options,
    log_options,
    metrics_options,
    model_options,
    pipeline_options,
    runtime_option,
)
from imgvec_pg.cli.output.messages import complain, say
from imgvec_pg.cli.output.progress import image_progress
from imgvec_pg.cli.signals import stop_on_signals
from imgvec_pg.cli.throttle_options import throttle_options
from imgvec_pg.database.connect import Connection, connect, require_schema
from imgvec_pg.database.local_server.launcher import die_with
from imgvec_pg.database.sql_templates import render
from imgvec_pg.embedding.benchmark import choose_batch_size
from imgvec_pg.embedding.load import check_loadable
from imgvec_pg.errors import ImgvecError
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
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Embed at most N rows.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Change nothing; print how many rows are in the queue and the time they take.",
)
@click.option("--no-index", is_flag=True, help="Do not build the HNSW index at the end.")
@click.option(
    "--index",
    type=click.Choice(["auto", "live", "after"]),
    default="auto",
    show_default=True,
    help="Where many rows come to an index: add them to it, or drop it and build it anew after them. auto goes by their share.",
)
@click.option(
    "--profile",
    is_flag=True,
    help="Print how busy each stage was, which one held the others up, and what would help.",
)
@click.option("--parent", type=int, hidden=True, help="End with this process: for those of --workers.")
@engine_options
@pipeline_options
@throttle_options
@metrics_options
@limit_options
@log_options
@model_options
@runtime_option
@force_int8_option
@json_option
@click.pass_context
@with_run_options
def backfill(context: click.Context, name: str | None, options: RunOptions) -> None:
    """Embed all rows in the queue, then build the index.

    NAME may be left out when there is one collection. Rows are claimed in small jobs and each batch commits alone: stop
    it at any moment, run it again, start it on more machines. The HNSW index is built once, after the first fill, while
    writes go on; that takes the owner of the schema imgvec: another role is told so, which is no error.

    Exit code 4 says that some rows failed: see imgvec failures. A folder of pictures that goes away meanwhile ends the
    command with 1 and is charged to no row.

    \b
    Example:
      imgvec backfill product_clip
      imgvec backfill product_clip --device cuda --batch-size 256
      imgvec backfill --collections product_clip,product_dino
      imgvec backfill product_clip --engine ray --address auto --actors 8 --gpus-per-actor 1
      imgvec backfill product_clip --rate 20 --pause-when "mon-fri 09:00-17:30"
      imgvec backfill product_clip --server-share 2
      imgvec backfill product_clip --limit 1000 --profile
      imgvec backfill product_clip --index after
    """
    require_one_engine(context, options)
    if options.collections:
        context.exit(backfill_together(name, options))
    # Behind a pooler the next statement may be another session's: nothing is prepared.
    with connect(options.dsn, application_name="imgvec backfill", prepare_threshold=None) as connection:
        require_schema(connection)
        collection = get_collection(connection, name, say_which="imgvec backfill NAME")
        if options.dry_run:
            report_dry_run(connection, collection, options.limit, options.as_json)
            return
        # Before the model is loaded, which takes its time.
        check_loadable(collection.model_name)
        effective_root(collection, options.root)
        collection = follow_where_allowed(connection, collection)
        # A listing that was interrupted goes on before the queue is worked off.
        list_source(connection, collection)
        waiting = queue_depth(connection, collection.id).waiting
        expected = waiting if options.limit is None else min(waiting, options.limit)
        index = IndexDuringFill(options.dsn, collection)
        if waiting and not options.no_index:
            index.plan(connection, expected, options.index)
        began = database_time(connection)
    # No connection of this command's own stays open for the hours that follow: it would not live through a restart.
    stats, fleet = WorkerStats(), None
    with index.told_when_missing():
        if waiting:
            stats, fleet = fill(context, collection, options, expected, index)
        stats.finish()
        if options.profile:
            tell_profile(collection, options, stats)
        still_waiting = conclude(collection, options, stats, fleet, began, index)
    if fleet is not None and fleet.first_error is not None:
        say(
            f"{'an actor' if options.engine == 'ray' else 'a worker process'} ended in error: {fleet.complaint}"
        )
        if still_waiting:
            context.exit(fleet.first_error)
    if stats.failed:
        raise SomeRowsFailed


def fill(
    context: click.Context,
    collection: Collection,
    options: RunOptions,
    expected: int,
    index: IndexDuringFill,
) -> tuple[WorkerStats, WorkerProcesses | RayActors | None]:
    """Embed what waits, in this process, in several or on a cluster; return the counts, and the several."""
    fleet: WorkerProcesses | RayActors
    if options.engine == "ray":
        fleet = run_actors(context, collection, options, expected, index.begin)
    elif options.workers > 1:
        fleet = run_processes(context, collection, options, expected, index.begin)
    else:
        return run_worker(context, collection, options, expected, index), None
    return fleet.stats, fleet


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


def conclude(
    collection: Collection,
    options: RunOptions,
    stats: WorkerStats,
    fleet: WorkerProcesses | RayActors | None,
    began: datetime,
    index: IndexDuringFill,
) -> int:
    """Build the index, report, and return how many keys still wait. `stats` are corrected for processes that died."""
    with connect(options.dsn, application_name="imgvec backfill", prepare_threshold=None) as connection:
        require_same_collection(connection, collection.name, collection)
        if fleet is not None and fleet.counts_are_lost:
            stats.embedded, stats.failed = count_done(connection, collection, began)
        flush_commits(connection)
        summary = BackfillSummary(collection.name, stats, queue_depth(connection, collection.id).waiting)
        summary.knows_computed = fleet is None or not fleet.counts_are_lost
        try:
            if not options.no_index:
                summary.complete_index(connection, collection, is_dropped=index.is_dropped)
                index.is_dropped = False
        finally:
            # Whatever became of the index, what was embedded stays embedded.
            summary.report(options.as_json)
    if summary.index_problem is not None:
        complain(summary.index_problem)
    return summary.waiting


def run_worker(
    context: click.Context,
    collection: Collection,
    options: RunOptions,
    expected: int,
    index: IndexDuringFill,
) -> WorkerStats:
    """Embed what waits in this process, showing progress; leave the command where a signal came."""
    if options.parent is not None:
        die_with(options.parent, signal.SIGTERM)
    stats = WorkerStats(watches_queue=options.metrics_port is not None)
    with serving_metrics(
        options.metrics_port,
        options.metrics_host,
        lambda: worker_registry(stats, collection.name, collection.model_name),
    ) as url:
        if url is not None:
            say(f"metrics at {url}", url=url)
        return work(context, collection, options, expected, stats, index)


def work(
    context: click.Context,
    collection: Collection,
    options: RunOptions,
    expected: int,
    stats: WorkerStats,
    index: IndexDuringFill,
) -> WorkerStats:
    """Load the model and embed what waits."""
    with StartingWorker(options.dsn, [collection], options.device) as starting:
        embedder = options.load(collection.model_name, expected)
        pipeline = options.pipeline(choose_batch_size(options.batch_size, embedder), follow=False)

        def begin() -> None:
            starting.ready()
            # Not before: a model that cannot be loaded would leave the collection without an index.
            index.begin(worker.stop.is_set)

        worker = Worker(options.dsn, collection.name, embedder, pipeline, stats=stats, on_ready=begin)
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


def count_done(connection: Connection, collection: Collection, began: datetime) -> tuple[int, int]:
    """Count in the database what was embedded and failed since `began`: processes that died took their counts along."""
    row = connection.execute(
        render(
            "collection/count_done.sql",
            embedding_table=sql.Identifier(collection.embedding_table),
            collection_id=sql.Literal(collection.id),
        ),
        {"began": began},
    ).fetchone()
    assert row is not None  # noqa: S101 - always one row
    return row[0], row[1]
