"""`imgvec worker`: embed rows as they change, until stopped."""

from functools import partial

import click

from imgvec_pg.backfill.metrics import serving_metrics, worker_registry
from imgvec_pg.backfill.startup import StartingWorker
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.backfill.worker import Worker, effective_root
from imgvec_pg.cli.backfill.duplicate_searches import searching_duplicates
from imgvec_pg.cli.backfill.multi_collection import collections_option, follow_together, say_ready
from imgvec_pg.cli.backfill.priority import lower_priority
from imgvec_pg.cli.backfill.run_options import RunOptions, with_run_options
from imgvec_pg.cli.options import (
    dsn_option,
    force_int8_option,
    limit_options,
    log_options,
    metrics_options,
    model_options,
    pipeline_options,
    runtime_option,
)
from imgvec_pg.cli.output.messages import say
from imgvec_pg.cli.output.progress import WorkerLines
from imgvec_pg.cli.signals import stop_on_signals
from imgvec_pg.cli.throttle_options import worker_throttle_options
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.embedding.benchmark import choose_batch_size
from imgvec_pg.embedding.load import check_loadable
from imgvec_pg.store.registry import get_collection


@click.command()
@click.argument("name", required=False)
@dsn_option
@collections_option
@pipeline_options
@worker_throttle_options
@metrics_options
@click.option(
    "--duplicates",
    "duplicates_every_seconds",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Every so many seconds run imgvec duplicates again where it was run before: new rows are compared with all.",
)
@limit_options
@log_options
@model_options
@runtime_option
@force_int8_option
@click.pass_context
@with_run_options
def worker(context: click.Context, name: str | None, options: RunOptions) -> None:
    """Keep embedding what changes, until stopped.

    Follows inserts, updates and deletes of the source within about half a second. SIGTERM or ctrl-C finishes the batch
    in hand and releases the other leases. Run as many as you like, on any machine that reaches the database and the pictures.

    Beside an application it holds back: --server-share and --nice have defaults here. A few new rows are embedded at once; of
    many it writes 2 to 10 a second, and all that it can once nobody else uses the server. To have them sooner run imgvec
    backfill, also while workers run, or give a larger --server-share.

    It waits while the database or the folder with the pictures is away, in the hours of --pause-when, and while a standby
    lags. It follows NAME: when that is dropped and created
    again, or is an alias that is switched, it goes on with the new collection if the model is the same; else it ends with
    exit code 1, as it does 15 minutes after its collection was dropped. Of several (--collections, IMGVEC_COLLECTIONS) it follows
    those that were named as it started: restart it for one that was created since.

    \b
    Example:
      imgvec worker product_clip
      imgvec worker --collections product_clip,product_dino
      imgvec worker product_clip --server-share 100 --nice 0
      imgvec worker product_clip --rate 20 --max-replica-lag 5 --pause-when "mon-fri 09:00-17:30"
      imgvec worker product_clip --duplicates 300
      imgvec worker product_clip --log-format json --metrics-port 9464
    """
    lower_priority(options.nice)
    if options.collections:
        with searching_duplicates(options.dsn, options.collections, options.duplicates_every_seconds):
            together = follow_together(name, options)
        context.exit(together)
    with connect(options.dsn, application_name="imgvec worker") as connection:
        require_schema(connection)
        collection = get_collection(connection, name, say_which="imgvec worker NAME")
    # Before the model is loaded, which takes its time.
    check_loadable(collection.model_name)
    effective_root(collection, options.root)
    # An alias is followed wherever it points.
    followed = name or collection.name
    stats = WorkerStats(watches_queue=options.metrics_port is not None)
    with serving_metrics(
        options.metrics_port,
        options.metrics_host,
        lambda: worker_registry(stats, followed, collection.model_name),
    ) as url:
        if url is not None:
            say(f"metrics at {url}", url=url)
        with StartingWorker(options.dsn, [collection], options.device) as starting:
            embedder = options.load(collection.model_name)
            pipeline = options.pipeline(choose_batch_size(options.batch_size, embedder), follow=True)
            lines = WorkerLines(followed)
            on_ready = partial(say_ready, collection, followed, starting)
            running = Worker(options.dsn, followed, embedder, pipeline, lines.update, stats, on_ready)
            with (
                searching_duplicates(options.dsn, [followed], options.duplicates_every_seconds),
                stop_on_signals(running.request_stop) as stopped,
            ):
                running.run()
        lines.tell(stats)
    if stopped.exit_code is not None:
        context.exit(stopped.exit_code)
