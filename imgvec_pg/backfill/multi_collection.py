"""Several collections of one source worked by one process: a worker for each, one decoded picture for all."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from imgvec_pg.backfill.pipeline import PipelineOptions
from imgvec_pg.backfill.shared_decoding import SharedPictures
from imgvec_pg.backfill.stats import IDLE, WORKING, Tally
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.embedding.embedder import Embedder


class Together:
    """Runs a worker for each collection until all queues are empty, or for good with `follow`.

    Args:
        named: Collections or aliases, each with its loaded model.
        on_progress: Called after each written batch, with the sum of all.
    """

    def __init__(
        self,
        dsn: str,
        named: Sequence[tuple[str, Embedder]],
        options: PipelineOptions,
        on_progress: Callable[[Tally], None] = lambda tally: None,
    ) -> None:
        self.pictures = SharedPictures()
        self.on_progress = on_progress
        self.workers: list[Worker] = []
        self._ended: set[int] = set()
        self._errors: list[BaseException] = []
        for place, (name, embedder) in enumerate(named):
            sharing = self.pictures.join(embedder, partial(self._is_working, place))
            self.workers.append(Worker(dsn, name, cast(Embedder, sharing), options, self._show))

    def request_stop(self) -> None:
        """Let each worker finish its batch and return from `run`; safe in a signal handler."""
        for worker in self.workers:
            worker.request_stop()

    def run(self) -> list[Tally]:
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
        return [worker.tally for worker in self.workers]

    def tally(self) -> Tally:
        """Return the sum of all workers' counts."""
        total = Tally(started=min(worker.tally.started for worker in self.workers))
        for worker in self.workers:
            total.embedded += worker.tally.embedded
            total.failed += worker.tally.failed
            total.settled += worker.tally.settled
            total.lost_jobs += worker.tally.lost_jobs
        return total

    def _show(self, _: Tally) -> None:
        self.on_progress(self.tally())

    def _run(self, place: int) -> None:
        try:
            self.workers[place].run()
        except BaseException as error:
            self._errors.append(error)
            self.request_stop()
        finally:
            self._ended.add(place)

    def _is_working(self, place: int) -> bool:
        """Whether a worker will soon ask for pictures: not one that waits for keys put off, or is told to pause."""
        worker = self.workers[place]
        has_begun = worker.tally.settled > 0 or worker.options.follow
        return place not in self._ended and (
            worker.tally.activity == WORKING or (worker.tally.activity == IDLE and not has_begun)
        )
