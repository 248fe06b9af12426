"""Background worker of a command: does the first fill, then follows changes until the command ends."""

import threading
from types import TracebackType

import click

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.cli.output.messages import say
from imgvec_pg.cli.output.progress import image_progress, index_progress
from imgvec_pg.cli.signals import stop_on_signals
from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.index.ddl import has_valid_index
from imgvec_pg.text import counted

LOOK_SECONDS = 0.3


class BackgroundFill:
    """A worker in a thread for as long as the `with` block lasts; without an embedder it waits for other workers.

    Args:
        options: With `follow`, else the worker would end with the first fill.
    """

    def __init__(
        self, dsn: str, target: Collection, embedder: Embedder | None, options: PipelineOptions
    ) -> None:
        self.target = target
        self._begun = threading.Event()
        self._worker = (
            None
            if embedder is None
            else Worker(dsn, target.name, embedder, options, on_ready=self._begun.set)
        )
        self._errors: list[BaseException] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="imgvec-beside", daemon=True)

    def __enter__(self) -> "BackgroundFill":
        if self._worker is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._worker is not None:
            self._worker.request_stop()
            self._thread.join()

    def _run(self) -> None:
        assert self._worker is not None  # noqa: S101 - only then the thread is started
        try:
            self._worker.run()
        except BaseException as error:
            self._errors.append(error)
        finally:
            self._ended.set()
            self._begun.set()

    def check(self) -> None:
        """Tell of a worker that ended in error: what it refuses must not be switched to.

        Raises:
            Exception: What ended it.
        """
        if self._errors:
            raise self._errors[0]

    def fill(self, connection: Connection) -> int | None:
        """Wait until the first fill is done, then build the index; return the exit code of a signal that came.

        Raises:
            Exception: What ended the worker.
        """
        total = unfilled(connection, self.target)
        if total and self._worker is None:
            click.echo(f"{counted(total, 'row', 'wait')} for workers of {self.target.name}", err=True)
        request_stop = self._ended.set if self._worker is None else self._worker.request_stop
        with image_progress(total) as show, stop_on_signals(request_stop) as stopped:
            if self._worker is not None:
                # Until it has checked its model, nothing to do does not mean that all is well.
                self._begun.wait()
            told = False
            while left := unfilled(connection, self.target):
                told = told or self._tell_who_holds(connection, left)
                if self._ended.wait(LOOK_SECONDS):
                    break
                rate = 0.0 if self._worker is None else self._worker.stats.images_per_second()
                show(max(total - left, 0), rate)
        self.check()
        if stopped.exit_code is None and not has_valid_index(connection, self.target):
            with index_progress() as show_index:
                build_index(connection, self.target, show_index)
        return stopped.exit_code

    def _tell_who_holds(self, connection: Connection, left: int) -> bool:
        """Say once that all that is left is with another worker, which may be gone; return whether it was said."""
        if self._worker is None:
            return False
        values = {"collection_id": self.target.id, "tokens": self._worker.leases.held()}
        row = connection.execute(load_sql("queries/held_by_others.sql"), values).fetchone()
        if row is None or row[0] < left:
            return False
        say(
            f"waiting for {row[0]:,} rows that another worker holds; if it is gone, its lease runs out in {row[1]:.0f} s",
            rows=row[0],
            seconds=round(row[1]),
        )
        return True


def unfilled(connection: Connection, collection: Collection) -> int:
    """Return the keys of the first fill that still wait."""
    row = connection.execute(
        "SELECT coalesce(sum(jsonb_array_length(keys)), 0)::bigint FROM imgvec.job"
        " WHERE collection_id = %s AND version = 0",
        [collection.id],
    ).fetchone()
    return int(row[0]) if row else 0
