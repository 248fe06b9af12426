"""One actor of `imgvec backfill --engine ray`: the worker that every other process runs, on the same queue."""

import os
import threading
from dataclasses import dataclass

from imgvec_pg import __version__
from imgvec_pg.backfill.startup import StartingWorker
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.cli.backfill.run_options import RunOptions
from imgvec_pg.database.connect import one_line
from imgvec_pg.embedding.benchmark import choose_batch_size
from imgvec_pg.errors import ImgvecError, UsageError
from imgvec_pg.store.collection import Collection


@dataclass(frozen=True)
class ActorEnd:
    """How an actor's work ended.

    Attributes:
        exit_code: 0, or that of the error which ended it.
        complaint: What the error says, in one line.
    """

    exit_code: int = 0
    complaint: str = ""


class RayWorker:
    """Embeds what waits, from construction to the return of `run`; `stop` may be called meanwhile, from another thread.

    Args:
        version: That of the command which starts it; a node with another one is refused.
        environment: Variables of the command that decide about pictures, set here too.
    """

    def __init__(
        self, version: str, collection: Collection, options: RunOptions, environment: dict[str, str]
    ) -> None:
        self._version = version
        self._collection = collection
        self._options = options
        self._environment = environment
        self._stopped = threading.Event()
        self._worker: Worker | None = None

    def process_id(self) -> int:
        """Return the process id; an answer says that the actor has found its place in the cluster."""
        return os.getpid()

    def run(self) -> ActorEnd:
        """Work until the queue is empty, the limit is reached or `stop` is called.

        An error is told, not raised: not every exception can be carried from one process to another.
        """
        try:
            if self._version != __version__:
                raise UsageError(
                    f"a node has imgvec-pg {__version__}, this command is {self._version}: install the same everywhere"
                )
            os.environ.update(self._environment)
            self._work()
        except ImgvecError as error:
            return ActorEnd(error.exit_code, str(error))
        except Exception as error:
            return ActorEnd(1, f"{type(error).__name__}: {one_line(error)}")
        return ActorEnd()

    def _work(self) -> None:
        options, collection = self._options, self._collection
        with StartingWorker(options.dsn, [collection], options.device) as starting:
            embedder = options.load(collection.model_name)
            pipeline = options.pipeline(
                choose_batch_size(options.batch_size, embedder), follow=False, share=options.actors
            )
            self._worker = Worker(options.dsn, collection.name, embedder, pipeline, on_ready=starting.ready)
            if self._stopped.is_set():
                return
            self._worker.run()

    def stop(self) -> None:
        """Finish the batch in hand and return from `run`."""
        self._stopped.set()
        if self._worker is not None:
            self._worker.request_stop()
