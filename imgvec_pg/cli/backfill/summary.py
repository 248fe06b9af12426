"""Summary and dry run of `imgvec backfill`: counts, rate, and whether the index was built."""

from dataclasses import dataclass

import click

from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.cli.options import echo_json
from imgvec_pg.cli.output.messages import say
from imgvec_pg.cli.output.progress import index_progress
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import DatabaseError, NotOwnerError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.index.ddl import has_valid_index
from imgvec_pg.store.integrity.reconcile import count_missing
from imgvec_pg.store.queue.jobs import queue_depth
from imgvec_pg.text import clock, counted


@dataclass
class BackfillSummary:
    """Result of a backfill, printed as text or JSON.

    Attributes:
        waiting: Keys still in the queue.
        index_problem: Why the index was not built, None where it was or need not be.
        knows_computed: False where processes that died took the number of computed pictures along.
    """

    collection_name: str
    stats: WorkerStats
    waiting: int
    index_built: bool = False
    index_problem: str | None = None
    knows_computed: bool = True

    def complete_index(
        self, connection: Connection, collection: Collection, *, is_dropped: bool = False
    ) -> None:
        """Build the index once nothing waits, if it is not there.

        Args:
            is_dropped: It was dropped for this fill, and is built whatever waits.

        Raises:
            DatabaseError: The build was cancelled or refused, other than for want of ownership.
        """
        if (self.waiting and not is_dropped) or has_valid_index(connection, collection):
            return
        try:
            with index_progress() as show:
                self.index_built = build_index(connection, collection, show)
        except NotOwnerError as error:
            self.index_problem = str(error)
        except DatabaseError as error:
            self.index_problem = str(error)
            raise

    def summary(self) -> dict[str, object]:
        """Return what --json prints."""
        stats = self.stats
        return {
            "collection": self.collection_name,
            "embedded": stats.embedded,
            "computed": stats.computed if self.knows_computed else None,
            "failed": stats.failed,
            "waiting": self.waiting,
            "seconds": round(stats.seconds(), 1),
            "images_per_second": round(stats.images_per_second(), 1),
            "index_built": self.index_built,
            "index_problem": self.index_problem,
        }

    def report(self, as_json: bool) -> None:
        """Print the summary, and on stderr what to do next."""
        stats, seconds = self.stats, self.stats.seconds()
        if as_json:
            echo_json(self.summary())
        else:
            mean, steady = stats.images_per_second(), stats.steady.per_second()
            after_start = f", {steady:.1f}/s after the start" if steady and steady > 1.1 * mean else ""
            tells = self.knows_computed and stats.computed < stats.embedded
            shared = f", {stats.computed:,} of them computed" if tells else ""
            click.echo(
                f"{self.collection_name}: {stats.embedded:,} images embedded in {clock(seconds)} "
                f"({mean:.1f}/s{after_start}){shared}, {stats.failed:,} failed, {self.waiting:,} waiting"
                + (", index built" if self.index_built else "")
            )
            if stats.failed:
                say(f"see why with: imgvec failures {self.collection_name}")


def report_dry_run(connection: Connection, collection: Collection, limit: int | None, as_json: bool) -> None:
    """Say what a run would do."""
    waiting = queue_depth(connection, collection.id).waiting
    if not collection.is_listed:
        waiting = max(waiting, count_missing(connection, collection))
    if limit is not None:
        waiting = min(waiting, limit)
    row = connection.execute(
        "SELECT images_per_second FROM imgvec.model WHERE id = %s", [collection.model_id]
    ).fetchone()
    rate = float(row[0]) if row and row[0] else None
    seconds = waiting / rate if rate else None
    if as_json:
        echo_json({"collection": collection.name, "waiting": waiting, "seconds": seconds})
        return
    needed = (
        "time unknown until a first run"
        if seconds is None
        else f"about {clock(seconds)} at {rate:.1f} images/s"
    )
    index = (
        "the index is there"
        if has_valid_index(connection, collection)
        else "the index would be built at the end"
    )
    click.echo(
        f"{collection.name}: {counted(waiting, 'row')} would be embedded, {needed}; {index}; nothing was changed"
    )
