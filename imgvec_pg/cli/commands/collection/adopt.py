"""`imgvec collection create --adopt`: its options, and what it says."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from imgvec_pg.adoption.adopt import SAMPLE, Adoptable, Adoption, adopt, examine
from imgvec_pg.adoption.column import Held
from imgvec_pg.adoption.identify import FEWEST, MADE_BY, Identification, shown
from imgvec_pg.cli.output.messages import complain
from imgvec_pg.cli.output.progress import count_progress
from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.spec import CollectionSpec
from imgvec_pg.text import counted

Command = TypeVar("Command", bound=Callable[..., Any])

TOLD_CANDIDATES = 12
TOLD_KEYS = 10

OPTIONS = (
    click.option(
        "--adopt",
        "adopted",
        metavar="TABLE.COLUMN",
        help="Take over the vectors of this column (vector or halfvec) of the source, or of a table with its key.",
    ),
    click.option(
        "--adopt-key",
        multiple=True,
        metavar="COLUMN",
        help="Columns beside it that have the source's key; by default those of a foreign key, or of the same names.",
    ),
    click.option(
        "--sample",
        type=click.IntRange(FEWEST, 10_000),
        default=SAMPLE,
        show_default=True,
        help="Rows embedded again to tell who made the vectors.",
    ),
    click.option(
        "--least-cosine",
        type=click.FloatRange(0.9, 1.0),
        default=MADE_BY,
        show_default=True,
        help="By which a vector counts as the model's.",
    ),
    click.option(
        "--left-out",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Write the keys of rows whose vectors are not adopted, with the reason, one JSON object a line.",
    ),
    click.option(
        "--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda or cuda:N."
    ),
)


def adopt_options(command: Command) -> Command:
    """Add the options of --adopt; the command gets them as `adoption`, None without it, and `left_out`."""

    @functools.wraps(command)
    def with_adoption(
        *arguments: Any,  # noqa: ANN401
        adopted: str | None,
        adopt_key: tuple[str, ...],
        sample: int,
        least_cosine: float,
        device: str,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        if adopted is None and (adopt_key or options["left_out"] is not None):
            raise UsageError(
                "--adopt-key and --left-out are of --adopt; expected --adopt TABLE.COLUMN beside them"
            )
        adoption = None if adopted is None else Adoption(adopted, adopt_key, sample, least_cosine, device)
        return command(*arguments, adoption=adoption, **options)

    for option in reversed(OPTIONS):
        with_adoption = option(with_adoption)
    return with_adoption  # type: ignore[return-value]


def examine_column(connection: Connection, spec: CollectionSpec, adoption: Adoption) -> Adoptable:
    """Find out who made the column, and print it."""
    found = examine(
        connection, spec, adoption, told=_tell, progress=lambda line: click.echo(f"  {line}", err=True)
    )
    proof = found.proof
    if proof.confirmed is not None:
        agreeing, rows = proof.confirmed
        click.echo(f"{agreeing} of {rows} rows drawn from those to be adopted agree")
    if proof.disagreeing:
        keys = ", ".join(json.dumps(key) for key in proof.disagreeing[:TOLD_KEYS])
        more = len(proof.disagreeing) - TOLD_KEYS
        click.echo(
            f"{counted(len(proof.disagreeing), 'row')} of {proof.sampled} embedded again disagree, {keys}"
            + (f" and {more} more" if more > 0 else "")
        )
    return found


def _tell(found: Held | Identification) -> None:
    if isinstance(found, Held):
        for dimensions, rows in found.by_dimensions.items():
            click.echo(f"{rows:,} vectors of {dimensions} dimensions")
        if found.zero:
            click.echo(f"{found.zero:,} of them have norm 0, which no search finds: embedded anew")
        if found.without:
            click.echo(f"{found.without:,} rows without a vector")
        if found.largest_norm and not found.is_normalised:
            click.echo(
                f"not normalised (norms {found.least_norm:.3g} to {found.largest_norm:.3g}): copied as unit vectors"
            )
        return
    if found.unreadable:
        click.echo(f"{found.unreadable} sampled pictures cannot be decoded")
    table = [
        [item.title, shown(item.median), shown(float(item.cosines.min())), len(item.cosines)]
        for item in found.candidates[:TOLD_CANDIDATES]
    ]
    echo_table(["candidate", "median cosine", "least", "pictures"], table)
    if len(found.candidates) > TOLD_CANDIDATES:
        click.echo(f"and {len(found.candidates) - TOLD_CANDIDATES} more, farther away")
    click.echo(found.line())


def adopt_column(
    connection: Connection,
    found: Adoptable,
    adoption: Adoption,
    left_out: Path | None,
    lock_timeout_ms: int,
    made: Callable[[Connection, Collection], None],
    enqueue: Callable[[Connection, Collection], int],
) -> None:
    """Create the collection, copy what was proved, enqueue the rest, and print what became of the rows."""
    with count_progress(Console(stderr=True), "adopting rows") as progress:
        collection, copied = adopt(
            connection,
            found,
            device=adoption.device,
            lock_timeout_ms=lock_timeout_ms,
            made=lambda collection: made(connection, collection),
            progress=progress,
        )
    click.echo(f"  {counted(copied.adopted, 'vector')} adopted from {found.column.shown}")
    for reason, rows in sorted(copied.reasons().items()):
        click.echo(f"  {counted(rows, 'row')} left out: {reason}")
    if left_out is not None:
        lines = [json.dumps({"key": key, "reason": reason}) + "\n" for key, reason in copied.left_out]
        try:
            left_out.write_text("".join(lines), encoding="utf-8")
        except OSError as error:
            complain(
                f"{left_out} cannot be written ({error.strerror}): the rows left out are those that are enqueued now"
            )
    enqueued = enqueue(connection, collection)
    if enqueued:
        click.echo(
            f"  {counted(enqueued, 'row')} enqueued; embed them with: imgvec backfill {collection.name}"
        )
    else:
        click.echo(f"  nothing is left to embed; build the index with: imgvec backfill {collection.name}")
