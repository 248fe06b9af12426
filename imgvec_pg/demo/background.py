"""Background worker thread of the demo: the main thread shows progress, notices a dead server and hears ctrl-C."""

import shutil
import threading
from types import TracebackType
from typing import Self

from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.local_server.server_process import first_complaint
from imgvec_pg.errors import ServerError

FULL_BYTES = 1_000_000
"""A worker takes a full disk for a database that went away, and waits for it."""
STARTED_SECONDS = 5.0


class BackgroundWorker:
    """Runs a worker inside a `with` block; leaving the block lets it finish its batch and joins it.

    Args:
        server: The server it works with, which a worker alone would wait for when it dies.
    """

    def __init__(self, worker: Worker, server: LocalServer) -> None:
        self._worker = worker
        self._server = server
        self._log_start = server.log_file.stat().st_size
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="imgvec-demo-worker", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._thread.start()
        except BaseException:
            # Ctrl-C while it starts: then nobody calls __exit__, and perhaps there is no thread.
            self._worker.request_stop()
            self._ended.wait(STARTED_SECONDS)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._worker.request_stop()
        self._ended.wait()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._worker.run()
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    def is_working(self, wait_seconds: float) -> bool:
        """Wait for it, at most so long, and tell whether it goes on.

        Raises:
            ServerError: The server died.
            Exception: What ended the worker.
        """
        # Thread.join, once interrupted, takes the thread for dead (Python 3.11 threading.py, bpo-45274).
        has_ended = self._ended.wait(wait_seconds)
        if self._error is not None and self._server.status().running:
            raise self._error
        if shutil.disk_usage(self._server.directory).free < FULL_BYTES:
            raise ServerError(f"the disk of {self._server.directory} is full: make room, then run it again")
        if not self._server.status().running:
            with self._server.log_file.open(errors="replace") as log:
                log.seek(self._log_start)
                complaint = first_complaint(log.read())
            raise ServerError(
                f"PostgreSQL stopped while the demo ran: {complaint} (see {self._server.log_file})"
            )
        return not has_ended
