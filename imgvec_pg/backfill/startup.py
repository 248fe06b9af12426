"""The row that says a worker is starting: it loads its model, and answers nobody yet."""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Sequence
from types import TracebackType

import psycopg

from imgvec_pg.backfill.connections import connect_worker
from imgvec_pg.backfill.stats import STARTING
from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.errors import ConnectionFailedError
from imgvec_pg.store.collection import Collection

log = logging.getLogger(__name__)

BEAT_SECONDS = 15.0
"""As often as a worker at work; who has not been seen for a minute is taken for gone."""


class StartingWorker:
    """Keeps a row in imgvec.worker for each collection until `ready`, or for as long as its `with` block lasts.

    Nothing depends on it: a database that cannot be written to now is left to the worker itself.
    """

    def __init__(self, dsn: str, collections: Sequence[Collection], device: str) -> None:
        self.dsn = dsn
        self.device = device
        self._rows = {uuid.uuid4(): collection.id for collection in collections}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="imgvec-starting")

    def __enter__(self) -> "StartingWorker":
        self._tell()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.ready()

    def ready(self) -> None:
        """Take the rows away: the worker has some of its own now, or will not come."""
        if self._done.is_set():
            return
        self._done.set()
        self._thread.join()
        try:
            with connect_worker(self.dsn, "start") as connection:
                connection.execute("DELETE FROM imgvec.worker WHERE id = ANY (%s)", [list(self._rows)])
        except (psycopg.Error, ConnectionFailedError) as error:
            log.info("the row of a starting worker is left to run out: %s", one_line(error))

    def _beat(self) -> None:
        while not self._done.wait(BEAT_SECONDS):
            self._tell()

    def _tell(self) -> None:
        try:
            with connect_worker(self.dsn, "start") as connection:
                for worker_id, collection_id in self._rows.items():
                    self._write(connection, worker_id, collection_id)
        except (psycopg.Error, ConnectionFailedError) as error:
            log.info("nobody is told that a worker starts: %s", one_line(error))

    def _write(self, connection: Connection, worker_id: uuid.UUID, collection_id: int) -> None:
        connection.execute(
            load_sql("queries/worker_seen.sql"),
            {
                "id": worker_id,
                "collection_id": collection_id,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "device": self.device,
                "activity": STARTING,
                "images_done": 0,
                "images_per_second": 0.0,
            },
        )
