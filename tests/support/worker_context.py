"""The context of a worker that does not run, for tests of one of its parts."""

from imgvec_test_embedder import ColorGrid

from imgvec_pg.backfill.batch.isolation import BatchSize
from imgvec_pg.backfill.context import PipelineOptions, WorkerContext
from imgvec_pg.backfill.leases import QueueCursor
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.store.collection import Collection


def context_of(
    collection: Collection | None, options: PipelineOptions, cursor: QueueCursor | None = None
) -> WorkerContext:
    """Return a context; without a collection for parts that do not ask for it."""
    return WorkerContext(
        dsn="",
        name="" if collection is None else collection.name,
        collection=collection,  # type: ignore[arg-type]
        embedder=ColorGrid(),
        options=options,
        stats=WorkerStats(),
        batch_size=BatchSize(options.batch_size),
        cursor=cursor or QueueCursor(),
    )
