"""`--collections a,b`: several collections in one process, each model loaded and each image of a source decoded once."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import click

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.multi_collection import MultiCollectionWorker
from imgvec_pg.backfill.startup import StartingWorker
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.backfill.worker import effective_root
from imgvec_pg.cli.backfill.fill_profile import tell_profile
from imgvec_pg.cli.backfill.run_options import RunOptions
from imgvec_pg.cli.backfill.summary import BackfillSummary
from imgvec_pg.cli.options import echo_json
from imgvec_pg.cli.output.messages import complain, say
from imgvec_pg.cli.output.progress import WorkerLines, image_progress
from imgvec_pg.cli.signals import stop_on_signals
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.embedding.benchmark import USUAL_BATCH
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import check_loadable
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.queue.jobs import queue_depth
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.transactions import flush_commits

Command = TypeVar("Command", bound=Callable[..., Any])
SOME_FAILED = 4


def split_names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Turn "a,b" into names."""
    return tuple(re.findall(r"[^,\s]+", value)) if value else ()


def collections_option(command: Command) -> Command:
    """Add --collections."""
    return click.option(
        "--collections",
        metavar="NAME,NAME",
        callback=split_names,
        help="Several collections in one process: each model is loaded once, each image decoded once for those of its source.",
    )(command)


def find_together(name: str | None, options: RunOptions) -> list[Collection]:
    """Return the collections, after checking that they belong together.

    Raises:
        UsageError: NAME is given too, one is given twice, or an option is for a single model or source.
        CollectionNotFoundError: One does not exist.
    """
    names = options.collections
    if name is not None:
        raise UsageError(f"name collections once: {name} or --collections {','.join(names)}")
    for option in ("weights", "limit", "metrics_port"):
        if getattr(options, option) is not None:
            raise UsageError(
                f"--{option.replace('_', '-')} is for one collection; leave it out, or name one of {', '.join(names)}"
            )
    if options.workers > 1:
        raise UsageError("--workers is for one collection; start the command several times instead")
    with connect(options.dsn, application_name="imgvec backfill", prepare_threshold=None) as connection:
        require_schema(connection)
        found = [get_collection(connection, each) for each in names]
        if len({collection.id for collection in found}) < len(found):
            raise UsageError(f"--collections {','.join(names)} names a collection twice")
        sources = sorted({collection.shown_source for collection in found})
        if len(sources) > 1 and options.root is not None:
            raise UsageError(
                f"--root is for one source, these collections are of {', '.join(sources)}; run a command for each"
            )
        for collection in found:
            check_loadable(collection.model_name)
            effective_root(collection, options.root)
            list_source(connection, collection)
    return found


def load_all(found: Sequence[Collection], options: RunOptions) -> list[Embedder]:
    """Load the models, each once where two collections share one."""
    loaded: dict[str, Embedder] = {}
    for collection in found:
        if collection.model_name not in loaded:
            loaded[collection.model_name] = options.load(collection.model_name)
    return [loaded[collection.model_name] for collection in found]


def pipeline_of(options: RunOptions, *, follow: bool) -> PipelineOptions:
    """Return how the worker of each collection works: the device is theirs in turn, the rate theirs together."""
    return options.pipeline(options.batch_size or USUAL_BATCH, follow=follow, share=len(options.collections))


def follow_together(name: str | None, options: RunOptions) -> int:
    """Keep several collections in step until stopped, and return the exit code."""
    names, found = options.collections, find_together(name, options)
    lines = WorkerLines(", ".join(names))
    with StartingWorker(options.dsn, found, options.device) as starting:
        embedders = load_all(found, options)
        together = MultiCollectionWorker(
            options.dsn,
            list(zip(names, embedders, strict=True)),
            pipeline_of(options, follow=True),
            lines.update,
            sources=[collection.shown_source for collection in found],
        )
        for worker, collection in zip(together.workers, found, strict=True):
            worker.on_ready = partial(say_ready, collection, collection.name, starting)
        with stop_on_signals(together.request_stop) as stopped:
            together.run()
    lines.tell(together.stats())
    return stopped.exit_code or 0


def say_ready(collection: Collection, followed: str, starting: StartingWorker) -> None:
    """Say that a worker has checked its model and works, in the database too.

    Args:
        followed: The collection's name, or the alias that the worker was started with.
    """
    starting.ready()
    say(
        f"worker for {collection.name} ({collection.model_name}) is ready",
        collection=followed,
        model=collection.model_name,
    )


def backfill_together(name: str | None, options: RunOptions) -> int:
    """Fill several collections, build their indexes, and return the exit code."""
    if options.dry_run:
        raise UsageError(f"--dry-run is for one collection; name one of {', '.join(options.collections)}")
    found = find_together(name, options)
    dsn = options.dsn
    with connect(dsn, application_name="imgvec backfill", prepare_threshold=None) as connection:
        waiting = sum(queue_depth(connection, collection.id).waiting for collection in found)
    all_stats = [WorkerStats() for _ in found]
    if waiting:
        named = [
            (collection.name, embedder)
            for collection, embedder in zip(found, load_all(found, options), strict=True)
        ]
        sources = [collection.shown_source for collection in found]
        together = MultiCollectionWorker(dsn, named, pipeline_of(options, follow=False), sources=sources)
        with image_progress(waiting) as show, stop_on_signals(together.request_stop) as stopped:
            together.on_progress = lambda stats: show(stats.finished, stats.images_per_second())
            all_stats = together.run()
        if stopped.exit_code is not None:
            click.echo("stopped; run the same command to go on", err=True)
            return stopped.exit_code
        click.echo(
            f"{together.decoded:,} pictures decoded for {together.stats().embedded:,} embeddings",
            err=True,
        )
    summaries = []
    with connect(dsn, application_name="imgvec backfill", prepare_threshold=None) as connection:
        flush_commits(connection)
        for collection, stats in zip(found, all_stats, strict=True):
            stats.finish()
            if options.profile:
                tell_profile(collection, options, stats)
            filling = BackfillSummary(collection.name, stats, queue_depth(connection, collection.id).waiting)
            if not options.no_index:
                filling.complete_index(connection, collection)
            summaries.append(filling)
            if not options.as_json:
                filling.report(as_json=False)
            if filling.index_problem is not None:
                complain(filling.index_problem)
    if options.as_json:
        echo_json([filling.summary() for filling in summaries])
    return SOME_FAILED if any(stats.failed for stats in all_stats) else 0
