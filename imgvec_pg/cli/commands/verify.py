"""`imgvec verify`: check that rows, embeddings, failures and queue agree; repair them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import psycopg
from rich.console import Console

from imgvec_pg.backfill.worker import effective_root
from imgvec_pg.cli.exit_codes import SomeRowsFailed
from imgvec_pg.cli.options import dsn_option, echo_json, json_option, lock_timeout_option, model_options
from imgvec_pg.cli.output.progress import count_progress, stderr_console
from imgvec_pg.cli.span_reports import in_step, report_span, span_object, verify_spans
from imgvec_pg.database.connect import Connection, connect, needing, one_line, require_schema
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import ConnectionFailedError, ImgvecError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.reconcile import reconcile
from imgvec_pg.store.integrity.verify import (
    BY_HAND,
    HARMLESS,
    KINDS,
    Verified,
    count_leftovers,
    drop_empty_jobs,
    drop_leftovers,
    enqueue_again,
    enqueue_doubtful,
    replace_bad_vectors,
    verify_collection,
)
from imgvec_pg.store.integrity.verify_images import PictureCheck, check_files, check_sample, path_reader
from imgvec_pg.store.registry import find_collections, get_collection
from imgvec_pg.text import counted


@click.command()
@click.argument("name", required=False)
@dsn_option
@click.option(
    "--repair", is_flag=True, help="Fix what can be fixed: enqueue rows again, delete what has no row."
)
@click.option(
    "--contents", is_flag=True, help="Read all pictures, in the table and as files, and compare their hashes."
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Load the model, embed N rows drawn at random anew and compare the vectors.",
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where this machine keeps the collection's pictures.",
)
@model_options
@json_option
@lock_timeout_option
def verify(
    name: str | None,
    dsn: str,
    repair: bool,
    contents: bool,
    sample: int | None,
    root: Path | None,
    weights: Path | None,
    device: str,
    precision: str,
    as_json: bool,
    lock_timeout_ms: int,
) -> None:
    """Check that rows, embeddings, failures and queue agree, and say what does not.

    Of one collection, or of all; one that cannot be verified, as its table was dropped, then holds up no other. It only
    reads, in transactions that cannot write, and beside a running application: changes that go on meanwhile are not taken
    for differences. Exit code 0 when all is in step, 4 when something is not or cannot be verified;
    with --repair 4 only when something is left that it cannot fix. Made to be scheduled.

    --repair does what imgvec collection reconcile does (with --contents too), enqueues rows whose file or vector is wrong, and
    deletes jobs without rows. Rows enqueued are embedded by the next imgvec backfill, or by a worker that runs.
    On a coordinator keys are looked for that two shards have.

    \b
    Example:
      imgvec verify product_clip
      imgvec verify product_clip --contents --repair
    """
    load = partial(load_embedder, weights=weights, device=device, precision=precision)
    with connect(dsn, application_name="imgvec verify") as connection:
        require_schema(connection)
        spans = verify_spans(connection, name)
        chosen = find_chosen(connection, name, none=bool(spans))
        leftovers = count_leftovers(connection)
        dropped = drop_leftovers(connection) if repair and leftovers else 0
        one = partial(verify_one, load=load, repair=repair, contents=contents, sample=sample, root=root)
        reports = verify_each(
            connection, chosen, partial(one, lock_timeout_ms=lock_timeout_ms), stops=name is not None
        )
    if as_json:
        echo_json([*(as_object(found) for found in reports), *map(span_object, spans)])
    else:
        for found in reports:
            report(found)
        for span in spans:
            report_span(span)
    if leftovers:
        done = f"{dropped:,} deleted" if repair else "imgvec verify --repair deletes them"
        click.echo(f"{leftovers:,} jobs and failures belong to no collection any more; {done}", err=as_json)
    if not reports and not spans and not as_json:
        click.echo("no collection yet; make one with: imgvec collection create")
    of_shards = not all(map(in_step, spans))
    if any(found.problem or found.remaining() for found in reports) or of_shards or leftovers > dropped:
        raise SomeRowsFailed


def find_chosen(connection: Connection, name: str | None, *, none: bool) -> list[Collection]:
    """Return the collection of this name, all of this database where there is no name, or none where it spans shards."""
    if name is None:
        return find_collections(connection)
    return [] if none else [get_collection(connection, name)]


def verify_each(
    connection: Connection,
    chosen: Sequence[Collection],
    verify: Callable[[Connection, Collection], "Report"],
    *,
    stops: bool,
) -> list["Report"]:
    """Verify collections one after the other.

    Args:
        stops: Whether an error ends it; else it is the report of its collection, and the others are looked at all the same.
    """
    reports: list[Report] = []
    for collection in chosen:
        try:
            reports.append(verify(connection, collection))
        except (ImgvecError, psycopg.Error) as error:
            if stops or connection.closed or isinstance(error, ConnectionFailedError):
                raise
            problem = one_line(error) if isinstance(error, psycopg.Error) else str(error)
            reports.append(Report(Verified(collection.name, collection.shown_source), None, problem))
    return reports


@dataclass(frozen=True)
class Report:
    """What is told of one collection.

    Attributes:
        enqueued: Keys that a repair enqueued, None without one.
        problem: Why it could not be verified.
    """

    verified: Verified
    enqueued: int | None
    problem: str | None = None

    def remaining(self) -> list[str]:
        """Return the kinds of difference that are left: all, or after a repair those that take a person."""
        kinds = [found.kind for found in self.verified.listed() if found.kind not in HARMLESS]
        return kinds if self.enqueued is None else [kind for kind in kinds if kind in BY_HAND]


def verify_one(
    connection: Connection,
    collection: Collection,
    load: Callable[[str], Embedder],
    repair: bool,
    contents: bool,
    sample: int | None,
    root: Path | None,
    lock_timeout_ms: int,
) -> Report:
    """Verify one collection, and fix it where that is asked for.

    Raises:
        ImgvecError: It cannot be verified.
    """
    needed = (
        f"it takes imgvec_worker, SELECT on {collection.shown_source} and, where row-level security hides rows of "
        "it, BYPASSRLS; new partitions take their owner"
    )
    with needing(connection, needed):
        # A picture below a root that is not here would look lost.
        folder = effective_root(collection, root) if contents or sample else None
        embedder = load(collection.model_name) if sample else None
        check = look(connection, collection, contents, sample, folder, embedder)
        enqueued = fix(connection, collection, check, contents, lock_timeout_ms) if repair else None
    return Report(check.verified, enqueued)


def look(
    connection: Connection,
    collection: Collection,
    contents: bool,
    sample: int | None,
    root: Path | None,
    embedder: Embedder | None,
) -> PictureCheck:
    """Look at one collection, showing how far it is on a terminal."""
    console: Console = stderr_console()
    with count_progress(console, f"{collection.name}: rows looked at") as show:
        verified = verify_collection(connection, collection, contents=contents, progress=show)
    check = PictureCheck(verified, reads_all=contents)
    if contents:
        with count_progress(console, f"{collection.name}: files read") as show:
            check_files(connection, collection, path_reader(collection, root), check, show)
    if embedder is not None and sample is not None:
        with count_progress(console, f"{collection.name}: embedding {sample:,} rows anew"):
            check_sample(connection, collection, path_reader(collection, root), embedder, sample, check)
    return check


def fix(
    connection: Connection, collection: Collection, check: PictureCheck, contents: bool, lock_timeout_ms: int
) -> int:
    """Repair what was found, and return the keys enqueued."""
    kinds = check.verified.differences.keys() - HARMLESS - BY_HAND.keys()
    enqueued = 0
    # Before reconcile, whose step back of a version the table's CHECK would refuse to a bad vector.
    if "bad_vector" in kinds:
        enqueued += replace_bad_vectors(connection, collection)
    enqueued += enqueue_again(connection, collection, check.outdated)
    enqueued += enqueue_doubtful(connection, collection, check.doubtful)
    if kinds - {"bad_vector", "different_vector"}:
        done = reconcile(connection, collection, contents=contents, lock_timeout_ms=lock_timeout_ms)
        enqueued += done.enqueued
    if "queued_without_row" in check.verified.differences:
        drop_empty_jobs(connection, collection)
    return enqueued


def as_object(found: Report) -> dict[str, Any]:
    """Return the report of one collection for --json."""
    verified, enqueued = found.verified, found.enqueued
    return {
        "collection": verified.collection,
        "source": verified.source,
        "source_rows": verified.source_rows,
        "embedded": verified.embedded,
        "queued": verified.queued,
        "failed": verified.failed,
        "pictures_read": verified.pictures_read,
        "is_in_step": found.problem is None and verified.is_in_step,
        "problem": found.problem,
        "differences": [
            {"kind": each.kind, "rows": each.rows, "examples": each.examples, "meaning": KINDS[each.kind]}
            for each in verified.listed()
        ],
        "repaired": enqueued is not None,
        "enqueued": enqueued,
        "remaining": found.remaining(),
    }


def report(found: Report) -> None:
    """Print one collection: a line that sums up, and one for each kind of difference."""
    verified, enqueued, name = found.verified, found.enqueued, found.verified.collection
    if found.problem is not None:
        click.echo(f"{name}: NOT verified; {found.problem}")
        return
    state = "in step" if verified.is_in_step else "NOT in step"
    read = f", {verified.pictures_read:,} pictures read" if verified.pictures_read else ""
    click.echo(
        f"{name}: {state}; {verified.source_rows:,} rows of {verified.source}, {verified.embedded:,} embedded, "
        f"{verified.queued:,} queued, {verified.failed:,} failed{read}"
    )
    for each in verified.listed():
        examples = ", ".join(item if isinstance(item, str) else json.dumps(item) for item in each.examples)
        more = ", …" if each.rows > len(each.examples) else ""
        click.echo(f"  {each.kind:<20}{each.rows:>8,}  {KINDS[each.kind]}: {examples}{more}")
    for kind in found.remaining():
        if kind in BY_HAND:
            click.echo(f"  {kind} rows: {BY_HAND[kind].format(name=name)}")
    if enqueued:
        click.echo(
            f"  repaired: {counted(enqueued, 'row')} enqueued; embed them with: imgvec backfill {name}"
        )
    elif enqueued is None and any(kind not in BY_HAND for kind in found.remaining()):
        click.echo(f"  fix it with: imgvec verify {name} --repair")
    elif any(each.kind not in BY_HAND for each in verified.listed()):
        click.echo("  repaired")
