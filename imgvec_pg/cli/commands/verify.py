"""`imgvec verify`."""

import json
from pathlib import Path
from typing import Any

import click
import psycopg
from rich.console import Console

from imgvec_pg.backfill.worker import effective_root
from imgvec_pg.cli.exit_codes import SomeRowsFailed
from imgvec_pg.cli.options import dsn_option, echo_json, json_option, lock_timeout_option, model_options
from imgvec_pg.cli.output.messages import complain
from imgvec_pg.cli.output.progress import count_progress, stderr_console
from imgvec_pg.database.connect import Connection, connect, needing, one_line, require_schema
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.load import load_embedder
from imgvec_pg.errors import ImgvecError
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
    "--repair", is_flag=True, help="Mend what can be mended: file rows again, delete what has no row."
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
@click.pass_context
def verify(
    context: click.Context,
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

    Of one collection, or of all; one that cannot be looked at, as its source is gone, ends the command with 1 after the others.
    It only reads, in transactions that cannot write, and beside a running application:
    changes that go on meanwhile are not taken for differences. Exit code 0 when all is in step, 4 when something is not;
    with --repair 4 only when something is left that it cannot mend. Made to be scheduled.

    --repair does what imgvec collection reconcile does (with --contents too), files rows whose file or vector is wrong, and
    deletes jobs without rows. Rows enqueued are embedded by the next imgvec backfill, or by a worker that runs.

    \b
    Example:
      imgvec verify product_clip
      imgvec verify product_clip --contents --repair
    """
    with connect(dsn, application_name="imgvec verify") as connection:
        require_schema(connection)
        chosen = find_collections(connection) if name is None else [get_collection(connection, name)]
        leftovers = count_leftovers(connection)
        dropped = drop_leftovers(connection) if repair and leftovers else 0
        reports = []
        problems: dict[str, str] = {}
        for collection in chosen:
            needed = (
                f"it takes imgvec_worker, SELECT on {collection.shown_source} and, where row-level security hides rows of "
                "it, BYPASSRLS; new partitions take their owner"
            )
            try:
                with needing(connection, needed):
                    # A picture below a root that is not here would look lost.
                    folder = effective_root(collection, root) if contents or sample else None
                    embedder = load_model(collection, context.params) if sample else None
                    check = look(connection, collection, contents, sample, folder, embedder)
                    enqueued = (
                        mend(connection, collection, check, contents, lock_timeout_ms) if repair else None
                    )
            except (ImgvecError, psycopg.Error) as error:
                if name is not None or connection.closed:
                    raise
                # One that cannot be looked at, as its source is gone, keeps no other from being looked at.
                problems[collection.name] = one_line(error)
                continue
            reports.append((check.verified, enqueued))
    if as_json:
        echo_json(
            [as_object(verified, enqueued) for verified, enqueued in reports]
            + [{"collection": failed, "error": problem} for failed, problem in problems.items()]
        )
    else:
        for verified, enqueued in reports:
            report(verified, enqueued)
    if leftovers:
        done = f"{dropped:,} deleted" if repair else "imgvec verify --repair deletes them"
        click.echo(f"{leftovers:,} jobs and failures belong to no collection any more; {done}", err=as_json)
    for failed, problem in problems.items():
        complain(f"{failed}: {problem}")
    if not reports and not problems and not as_json:
        click.echo("no collection yet; make one with: imgvec collection create")
    if problems:
        context.exit(1)
    if any(remaining(verified, enqueued) for verified, enqueued in reports) or leftovers > dropped:
        raise SomeRowsFailed


def load_model(collection: Collection, options: dict[str, Any]) -> Embedder:
    """Load a collection's model as the command's options say."""
    return load_embedder(
        collection.model_name,
        weights=options["weights"],
        device=options["device"],
        precision=options["precision"],
    )


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


def mend(
    connection: Connection, collection: Collection, check: PictureCheck, contents: bool, lock_timeout_ms: int
) -> int:
    """Mend what was found, and return the keys enqueued."""
    kinds = check.verified.differences.keys() - HARMLESS - BY_HAND.keys()
    enqueued = 0
    # Before reconcile, whose step back of a version the table's CHECK would refuse to a bad vector.
    if "bad_vector" in kinds:
        enqueued += replace_bad_vectors(connection, collection)
    enqueued += enqueue_again(connection, collection, check.outdated)
    if kinds - {"bad_vector", "different_vector"}:
        done = reconcile(connection, collection, contents=contents, lock_timeout_ms=lock_timeout_ms)
        enqueued += done.enqueued
    if "queued_without_row" in check.verified.differences:
        drop_empty_jobs(connection, collection)
    return enqueued


def remaining(verified: Verified, enqueued: int | None) -> list[str]:
    """Return the kinds of difference that are left: all, or after a repair those that take a person."""
    kinds = [found.kind for found in verified.listed() if found.kind not in HARMLESS]
    return kinds if enqueued is None else [kind for kind in kinds if kind in BY_HAND]


def as_object(verified: Verified, enqueued: int | None) -> dict[str, Any]:
    """Return the report of one collection for --json."""
    return {
        "collection": verified.collection,
        "source": verified.source,
        "source_rows": verified.source_rows,
        "embedded": verified.embedded,
        "queued": verified.queued,
        "failed": verified.failed,
        "pictures_read": verified.pictures_read,
        "is_in_step": verified.is_in_step,
        "differences": [
            {"kind": found.kind, "rows": found.rows, "examples": found.examples, "meaning": KINDS[found.kind]}
            for found in verified.listed()
        ],
        "repaired": enqueued is not None,
        "enqueued": enqueued,
        "remaining": remaining(verified, enqueued),
    }


def report(verified: Verified, enqueued: int | None) -> None:
    """Print one collection: a line that sums up, and one for each kind of difference."""
    state = "in step" if verified.is_in_step else "NOT in step"
    read = f", {verified.pictures_read:,} pictures read" if verified.pictures_read else ""
    click.echo(
        f"{verified.collection}: {state}; {verified.source_rows:,} rows of {verified.source}, {verified.embedded:,} embedded, "
        f"{verified.queued:,} queued, {verified.failed:,} failed{read}"
    )
    for found in verified.listed():
        examples = ", ".join(item if isinstance(item, str) else json.dumps(item) for item in found.examples)
        more = ", …" if found.rows > len(found.examples) else ""
        click.echo(f"  {found.kind:<20}{found.rows:>8,}  {KINDS[found.kind]}: {examples}{more}")
    name = verified.collection
    for kind in remaining(verified, enqueued):
        if kind in BY_HAND:
            click.echo(f"  {kind} rows: {BY_HAND[kind].format(name=name)}")
    if enqueued:
        click.echo(
            f"  repaired: {counted(enqueued, 'row')} enqueued; embed them with: imgvec backfill {name}"
        )
    elif enqueued is None and any(kind not in BY_HAND for kind in remaining(verified, None)):
        click.echo(f"  mend it with: imgvec verify {name} --repair")
    elif any(found.kind not in BY_HAND for found in verified.listed()):
        click.echo("  repaired")
