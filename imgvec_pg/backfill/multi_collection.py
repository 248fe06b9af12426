"""Backfill several collections in one process: a worker for each, each image of a source decoded once."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from imgvec_pg.backfill.batch.shared_decoding import SharedDecoding
from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.stats import IDLE, WORKING, WorkerStats
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.embedding.embedder import Embedder


class MultiCollectionWorker:
    """Runs a worker for each collection until all queues are empty, or for good with `follow`.

    Args:
        named: Collections or aliases, each with its loaded model.
        on_progress: Called after each written batch, with the sum of all.
        sources: What tells for each collection which others have the same pictures; by default all have.
    """

    def __init__(
        self,
        dsn: str,
        named: Sequence[tuple[str, Embedder]],
        options: PipelineOptions,
        on_progress: Callable[[WorkerStats], None] = lambda stats: None,
        *,
        sources: Sequence[str] | None = None,
    ) -> None:
        sources = sources or [""] * len(named)
        self.pictures = {source: SharedDecoding() for source in sources}
        self.on_progress = on_progress
        self.workers: list[Worker] = []
        self._ended: set[int] = set()
        self._errors: list[BaseException] = []
        for place, (name, embedder) in enumerate(named):
            sharing = self.pictures[sources[place]].join(embedder, partial(self._is_working, place))
            self.workers.append(Worker(dsn, name, cast(Embedder, sharing), options, self._show))

    @property
    def decoded(self) -> int:
        """Pictures decoded."""
        return sum(shared.decoded for shared in self.pictures.values())

    def request_stop(self) -> None:
        """Let each worker finish its batch and return from `run`; safe in a signal handler."""
        for worker in self.workers:
            worker.request_stop()

    def run(self) -> list[WorkerStats]:
        """Work, and return what each worker did, in the order of the collections.

        Raises:
            What ended the first worker that failed; the others have finished their batches.
        """
        threads = [
            threading.Thread(target=self._run, args=(place,), name=f"imgvec-{worker.collection_name}")
            for place, worker in enumerate(self.workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
        return [worker.stats for worker in self.workers]

    def stats(self) -> WorkerStats:
        """Return the sum of all workers' counts."""
        total = WorkerStats(started=min(worker.stats.started for worker in self.workers))
        for worker in self.workers:
            total.embedded += worker.stats.embedded
            total.failed += worker.stats.failed
            total.finished += worker.stats.finished
            total.lost_jobs += worker.stats.lost_jobs
        return total

    def _show(self, _: WorkerStats) -> None:
        self.on_progress(self.stats())

    def _run(self, place: int) -> None:
        try:
            self.workers[place].run()
        except BaseException as error:
            self._errors.append(error)
            self.request_stop()
        finally:
            self._ended.add(place)

    def _is_working(self, place: int) -> bool:
        """Whether a worker will soon ask for images: not one that waits for delayed keys, or is paused."""
        worker = self.workers[place]
        has_begun = worker.stats.finished > 0 or worker.options.follow
        return place not in self._ended and (
            worker.stats.activity == WORKING or (worker.stats.activity == IDLE and not has_begun)
        )
