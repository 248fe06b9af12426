"""`imgvec backfill --profile`: how busy each stage was, which one held the others up, and what would help."""

from dataclasses import dataclass

import click

from imgvec_pg.backfill.batch.image_loader import HOST_THREADS
from imgvec_pg.backfill.stats import CLAIM, EMBED, READ, WRITE, WorkerStats
from imgvec_pg.cli.backfill.run_options import RunOptions
from imgvec_pg.processors import usable_cpus
from imgvec_pg.store.collection import Collection

BUSY = 0.5
"""A stage that is busy for less of the time holds nobody up."""


@dataclass(frozen=True)
class FillProfile:
    """Busy shares of one collection's stages, each of the threads that it may use; 1 is all of the time.

    Attributes:
        seconds: From the first connection to the end, so without loading the model.
        rows: Written.
        model_seconds: Of the model for each picture that it computed; 0 where it computed none.
        loader_threads: Threads that fetch and decode.
    """

    seconds: float
    rows: int
    model_seconds: float
    loader_threads: int
    reading: float
    fetching: float
    decoding: float
    model: float
    writing: float

    @classmethod
    def of(cls, stats: WorkerStats, decode_threads: int, *, has_urls: bool) -> "FillProfile":
        """Work out the shares of a run that has ended."""
        seconds = max(stats.working_seconds(), 1e-9)
        spent = {stage: durations.total_seconds for stage, durations in stats.stages.snapshot().items()}
        threads = HOST_THREADS if has_urls else decode_threads
        return cls(
            seconds=seconds,
            rows=stats.embedded,
            model_seconds=spent[EMBED] / stats.computed if stats.computed else 0.0,
            loader_threads=threads,
            reading=(spent[CLAIM] + spent[READ]) / seconds,
            fetching=stats.pictures.fetching / threads / seconds,
            decoding=stats.pictures.decoding / threads / seconds,
            model=spent[EMBED] / seconds,
            writing=spent[WRITE] / seconds,
        )

    def bottleneck(self, model_name: str) -> str:
        """Say which stage held the others up, and what would help."""
        loading = self.fetching + self.decoding
        share, name = max(
            (self.model, "the model"),
            (loading, "fetching" if self.fetching > self.decoding else "decoding"),
            (self.reading, "reading rows"),
            (self.writing, "writing"),
        )
        if share < BUSY:
            return "no stage was busy for half of the time: too few rows to tell, or hosts or limits (--rate) were waited for"
        cpus = usable_cpus()
        help_ = {
            "the model": f"another runtime or precision (imgvec model benchmark {model_name}), a GPU, more machines",
            "fetching": "more --decode-threads for files, storage nearer to here, more machines for hosts that bound each client",
            "decoding": (
                f"more --decode-threads (here {self.loader_threads}, for {cpus} CPUs)"
                if self.loader_threads < cpus
                else f"more CPUs (here {cpus}, for {self.loader_threads} threads)"
            )
            + ", more machines, smaller pictures",
            "reading rows": "a worker nearer to the database, a larger --batch-size, pictures as paths instead of bytes",
            "writing": "a larger --batch-size, faster disks; for many rows no index meanwhile (imgvec index drop)",
        }[name]
        return f"bottleneck: {name}; what would help: {help_}"

    def lines(self, collection_name: str, model_name: str) -> list[str]:
        """Return five lines."""
        return [
            f"{collection_name}: busy shares of {self.seconds:.1f} s of work, {self.rows:,} rows, "
            f"{1e3 * self.model_seconds:.1f} ms of the model a picture",
            f"  claim and read {self.reading:4.0%} of one thread",
            f"  fetch {self.fetching:4.0%}, decode {self.decoding:4.0%} of {self.loader_threads} threads",
            f"  model {self.model:4.0%}, write {self.writing:4.0%} of one thread each",
            f"  {self.bottleneck(model_name)}",
        ]


def tell_profile(collection: Collection, options: RunOptions, stats: WorkerStats) -> None:
    """Print a collection's profile on stderr; nothing where nothing waited, so that nothing was done."""
    if stats.connected_at is None:
        return
    made = FillProfile.of(stats, options.decode_threads, has_urls=bool(collection.url_prefixes))
    for line in made.lines(collection.name, collection.model_name):
        click.echo(line, err=True)
