"""`--collections a,b`: several models over one source in one process, each picture decoded once."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import click

from imgvec_pg.backfill.multi_collection import Together
from imgvec_pg.backfill.pipeline import PipelineOptions
from imgvec_pg.backfill.stats import Tally
from imgvec_pg.backfill.throttle import Allowance
from imgvec_pg.backfill.worker import effective_root
from imgvec_pg.cli.backfill.summary import Filling
from imgvec_pg.cli.options import echo_json
from imgvec_pg.cli.output.messages import complain, say
from imgvec_pg.cli.output.progress import WorkerLines, image_progress
from imgvec_pg.cli.signals import stop_on_signals
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.embedding.benchmark import USUAL_BATCH
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import check_loadable, load_embedder
from imgvec_pg.errors import UsageError
from imgvec_pg.settings import lease_seconds
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
        help="Several collections of one source at once, such as one for words and one for likeness: decoded once for all.",
    )(command)


def find_together(name: str | None, names: Sequence[str], options: dict[str, Any]) -> list[Collection]:
    """Return the collections, after checking that they belong together.

    Raises:
        UsageError: NAME is given too, one is given twice, or an option is for a single model.
        CollectionNotFoundError: One does not exist.
    """
    if name is not None:
        raise UsageError(f"name collections once: {name} or --collections {','.join(names)}")
    for option in ("weights", "limit", "metrics_port"):
        if options.get(option) is not None:
            raise UsageError(
                f"--{option.replace('_', '-')} is for one collection; leave it out, or leave out --collections"
            )
    if options.get("workers", 1) > 1:
        raise UsageError("--workers is for one collection; start the command several times instead")
    with connect(options["dsn"], application_name="imgvec backfill", prepare_threshold=None) as connection:
        require_schema(connection)
        found = [get_collection(connection, each) for each in names]
        if len({collection.id for collection in found}) < len(found):
            raise UsageError(f"--collections {','.join(names)} names a collection twice")
        sources = {collection.shown_source for collection in found}
        if len(sources) > 1:
            raise UsageError(
                f"--collections takes collections of one source, these are of {', '.join(sorted(sources))}; "
                "run a command for each"
            )
        for collection in found:
            check_loadable(collection.model_name)
            effective_root(collection, options["root"])
            list_source(connection, collection)
    return found


def load_all(found: Sequence[Collection], options: dict[str, Any]) -> list[Embedder]:
    """Load the models, each once where two collections share one."""
    loaded: dict[str, Embedder] = {}
    for collection in found:
        if collection.model_name not in loaded:
            loaded[collection.model_name] = load_embedder(
                collection.model_name, device=options["device"], precision=options["precision"]
            )
    return [loaded[collection.model_name] for collection in found]


def pipeline_of(options: dict[str, Any], *, share: int, follow: bool) -> PipelineOptions:
    """Return how each of so many workers works; the rate is theirs together."""
    rate = options["rate"]
    return PipelineOptions(
        allowance=Allowance(
            rate=None if rate is None else rate / share,
            max_replica_lag_seconds=options["max_replica_lag_seconds"],
            pause_when=options["pause_when"],
        ),
        batch_size=options["batch_size"] or USUAL_BATCH,  # several models: the device is theirs in turn
        decode_threads=options["decode_threads"],
        follow=follow,
        root=options["root"],
        lease_seconds=lease_seconds(),
    )


def follow_together(name: str | None, names: Sequence[str], options: dict[str, Any]) -> int:
    """Keep several collections in step until stopped, and return the exit code."""
    found = find_together(name, names, options)
    lines = WorkerLines(", ".join(names))
    embedders = load_all(found, options)
    together = Together(
        options["dsn"],
        list(zip(names, embedders, strict=True)),
        pipeline_of(options, share=len(names), follow=True),
        lines.update,
    )
    for worker, collection in zip(together.workers, found, strict=True):
        worker.on_ready = partial(say_ready, collection, collection.name)
    with stop_on_signals(together.request_stop) as stopped:
        together.run()
    lines.tell(together.tally())
    return stopped.exit_code or 0


def say_ready(collection: Collection, followed: str) -> None:
    """Say that a worker has checked its model and works.

    Args:
        followed: The collection's name, or the alias that the worker was started with.
    """
    say(
        f"worker for {collection.name} ({collection.model_name}) is ready",
        collection=followed,
        model=collection.model_name,
    )


def backfill_together(name: str | None, names: Sequence[str], options: dict[str, Any]) -> int:
    """Fill several collections, build their indexes, and return the exit code."""
    if options["dry_run"]:
        raise UsageError("--dry-run is for one collection; leave out --collections")
    found = find_together(name, names, options)
    dsn = options["dsn"]
    with connect(dsn, application_name="imgvec backfill", prepare_threshold=None) as connection:
        waiting = sum(queue_depth(connection, collection.id).waiting for collection in found)
    tallies = [Tally() for _ in found]
    if waiting:
        named = [
            (collection.name, embedder)
            for collection, embedder in zip(found, load_all(found, options), strict=True)
        ]
        together = Together(dsn, named, pipeline_of(options, share=len(named), follow=False))
        with image_progress(waiting) as show, stop_on_signals(together.request_stop) as stopped:
            together.on_progress = lambda tally: show(tally.settled, tally.images_per_second())
            tallies = together.run()
        if stopped.exit_code is not None:
            click.echo("stopped; run the same command to go on", err=True)
            return stopped.exit_code
        click.echo(
            f"{together.pictures.decoded:,} pictures decoded for {together.tally().embedded:,} embeddings",
            err=True,
        )
    summaries = []
    with connect(dsn, application_name="imgvec backfill", prepare_threshold=None) as connection:
        flush_commits(connection)
        for collection, tally in zip(found, tallies, strict=True):
            tally.finish()
            filling = Filling(collection.name, tally, queue_depth(connection, collection.id).waiting)
            if not options["no_index"]:
                filling.complete_index(connection, collection)
            summaries.append(filling)
            if not options["as_json"]:
                filling.report(as_json=False)
            if filling.index_problem is not None:
                complain(filling.index_problem)
    if options["as_json"]:
        echo_json([filling.summary() for filling in summaries])
    return SOME_FAILED if any(tally.failed for tally in tallies) else 0
