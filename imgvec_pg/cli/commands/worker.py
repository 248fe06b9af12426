"""`imgvec worker`."""

from functools import partial
from pathlib import Path

import click

from imgvec_pg.backfill.metrics import serving_metrics, worker_registry
from imgvec_pg.backfill.pipeline import PipelineOptions
from imgvec_pg.backfill.quiet_hours import Hours
from imgvec_pg.backfill.stats import Tally
from imgvec_pg.backfill.throttle import Allowance
from imgvec_pg.backfill.worker import Worker, effective_root
from imgvec_pg.cli.backfill.multi_collection import collections_option, follow_together, say_ready
from imgvec_pg.cli.options import (
    dsn_option,
    log_options,
    metrics_options,
    model_options,
    pipeline_options,
    throttle_options,
)
from imgvec_pg.cli.output.messages import say
from imgvec_pg.cli.output.progress import WorkerLines
from imgvec_pg.cli.signals import stop_on_signals
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.embedding.benchmark import choose_batch_size
from imgvec_pg.embedding.load import check_loadable, load_embedder
from imgvec_pg.settings import lease_seconds
from imgvec_pg.store.registry import get_collection


@click.command()
@click.argument("name", required=False)
@dsn_option
@collections_option
@pipeline_options
@throttle_options
@metrics_options
@log_options
@model_options
@click.pass_context
def worker(
    context: click.Context,
    name: str | None,
    dsn: str,
    collections: tuple[str, ...],
    batch_size: int,
    decode_threads: int,
    root: Path | None,
    rate: float | None,
    max_replica_lag_seconds: float | None,
    pause_when: tuple[Hours, ...],
    metrics_port: int | None,
    metrics_host: str,
    weights: Path | None,
    device: str,
    precision: str,
) -> None:
    """Keep embedding what changes, until stopped.

    Follows inserts, updates and deletes of the source within about half a second. SIGTERM or ctrl-C finishes the batch
    in hand and gives back the rest. Run as many as you like, on any machine that reaches the database and the pictures.

    It waits while the database or the folder with the pictures is away, in the hours of --pause-when, and while a standby
    lags. It follows NAME: when that is dropped and created
    again, or is an alias that is switched, it goes on with the new collection if the model is the same; else it ends with
    exit code 1, as it does 15 minutes after its collection was dropped.

    \b
    Example:
      imgvec worker product_clip
      imgvec worker --collections product_clip,product_dino
      imgvec worker product_clip --rate 20 --max-replica-lag 5 --pause-when "mon-fri 09:00-17:30"
      imgvec worker product_clip --log-format json --metrics-port 9464
    """
    if collections:
        context.exit(follow_together(name, collections, context.params))
    with connect(dsn, application_name="imgvec worker") as connection:
        require_schema(connection)
        collection = get_collection(connection, name, say_which="imgvec worker NAME")
    # Before the model is loaded, which takes its time.
    check_loadable(collection.model_name)
    effective_root(collection, root)
    # An alias is followed wherever it points.
    followed = name or collection.name
    tally = Tally(watches_queue=metrics_port is not None)
    with serving_metrics(
        metrics_port, metrics_host, lambda: worker_registry(tally, followed, collection.model_name)
    ) as url:
        if url is not None:
            say(f"metrics at {url}", url=url)
        embedder = load_embedder(collection.model_name, weights=weights, device=device, precision=precision)
        options = PipelineOptions(
            batch_size=choose_batch_size(batch_size, embedder),
            decode_threads=decode_threads,
            follow=True,
            root=root,
            lease_seconds=lease_seconds(),
            allowance=Allowance(rate, max_replica_lag_seconds, pause_when),
        )
        lines = WorkerLines(followed)
        running = Worker(
            dsn, followed, embedder, options, lines.update, tally, partial(say_ready, collection, followed)
        )
        with stop_on_signals(running.request_stop) as stopped:
            running.run()
        lines.tell(tally)
    if stopped.exit_code is not None:
        context.exit(stopped.exit_code)
