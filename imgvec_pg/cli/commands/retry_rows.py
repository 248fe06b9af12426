"""`imgvec retry`: enqueue failed rows again, or the embedded ones that the newest rendering changes."""

import json
from pathlib import Path

import click

from imgvec_pg.backfill.worker import effective_root
from imgvec_pg.cli.options import codes_option, dsn_option, echo_json, json_option
from imgvec_pg.cli.output.progress import count_progress, stderr_console
from imgvec_pg.cli.output.tables import echo_table
from imgvec_pg.database.connect import Connection, connect, needing, require_schema
from imgvec_pg.images.rendering.version import NEWEST, require_known
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.integrity.rendering import RenderingCheck, bring_to_newest, find_changed
from imgvec_pg.store.integrity.verify_images import path_reader
from imgvec_pg.store.queue.jobs import retry_failures
from imgvec_pg.store.queue.queue_stats import count_failures, shown_counts
from imgvec_pg.store.registry import get_collection
from imgvec_pg.text import counted

SHOWN = 100


@click.command()
@click.argument("name", required=False)
@dsn_option
@codes_option
@click.option(
    "--rendering",
    is_flag=True,
    help="Give the collection the newest rendering; enqueue rows that it changes.",
)
@click.option(
    "--dry-run", is_flag=True, help="With --rendering: list the rows that would change, and change nothing."
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --rendering: where this machine keeps the collection's pictures.",
)
@json_option
def retry(
    name: str | None,
    dsn: str,
    codes: tuple[str, ...],
    rendering: bool,
    dry_run: bool,
    root: Path | None,
    as_json: bool,
) -> None:
    """Enqueue failed rows again, or those that newer rendering changes.

    All of them, or those with one of the codes given: after fixing what the code says, such as a folder that was not mounted.

    With --rendering the embedded rows instead whose pixels the newest rules of rendering change. All pictures are read and
    compared; those behind URLs are enqueued unseen. The collection has the newest rendering from the start; workers that run
    go on by it. Cut off, the same command goes on where it was.

    \b
    Example:
      imgvec retry product_clip --code not_found
      imgvec retry product_clip --rendering --dry-run
    """
    if rendering and codes:
        raise click.UsageError("--rendering is for rows that are embedded; leave out --code")
    if (dry_run or root is not None) and not rendering:
        raise click.UsageError("--dry-run and --root belong to --rendering")
    with connect(dsn, application_name="imgvec retry") as connection:
        require_schema(connection)
        collection = get_collection(connection, name, say_which="imgvec retry NAME")
        if rendering:
            retry_rendering(connection, collection, root, dry_run=dry_run, as_json=as_json)
            return
        enqueued = retry_failures(connection, collection.id, list(codes) or None)
        left = count_failures(connection, collection.name)
    if as_json:
        echo_json({"collection": collection.name, "enqueued": enqueued, "failed": left})
    elif enqueued:
        click.echo(
            f"{collection.name}: {counted(enqueued, 'row')} enqueued again; embed them with: imgvec backfill {collection.name}"
        )
    else:
        with_codes = f" with the code {' or '.join(codes)}" if codes else ""
        others = f"; there are: {shown_counts(left)}" if left else ""
        click.echo(f"{collection.name}: no failure{with_codes}{others}")


def retry_rendering(
    connection: Connection, collection: Collection, root: Path | None, *, dry_run: bool, as_json: bool
) -> None:
    """Compare the renderings of a collection's pictures; without `dry_run` enqueue what changes."""
    require_known(collection.rendering)
    is_newest = collection.rendering == NEWEST and collection.rendering_from is None
    check = RenderingCheck()
    needed = f"it takes imgvec_worker and SELECT on {collection.shown_source}"
    if not is_newest:
        with (
            needing(connection, needed),
            count_progress(stderr_console(), f"{collection.name}: pictures compared") as show,
        ):
            read_path = path_reader(collection, effective_root(collection, root))
            work = find_changed if dry_run else bring_to_newest
            check = work(connection, collection, read_path, show)
    if as_json:
        echo_json(
            {
                "collection": collection.name,
                "rendering": collection.rendering if dry_run else NEWEST,
                "newest": NEWEST,
                "compared": check.compared,
                "changed": [{"key": row.key, "difference": row.difference} for row in check.changed],
                "unreadable": [{"key": key, "reason": reason} for key, reason in check.unreadable],
                "enqueued": check.enqueued,
            }
        )
    elif is_newest:
        click.echo(f"{collection.name}: has the newest rendering, {NEWEST}")
    else:
        report(collection, check, dry_run=dry_run)


def report(collection: Collection, check: RenderingCheck, *, dry_run: bool) -> None:
    """Print the rows that change, those that change most first, and what comes next."""
    rows = sorted(check.changed, key=lambda row: -1.0 if row.difference is None else -row.difference)
    if dry_run and rows:
        shown = [
            [json.dumps(row.key), "behind a URL" if row.difference is None else f"{row.difference:.3f}"]
            for row in rows[:SHOWN]
        ]
        echo_table(["key", "mean difference of 255"], shown)
    for key, reason in check.unreadable[:SHOWN]:
        click.echo(f"not compared, {json.dumps(key)}: {reason}", err=True)
    name = collection.name
    told = f"{name}: {counted(check.compared, 'row')} compared, the pixels of {len(rows):,} change"
    if check.unreadable:
        told += f", {len(check.unreadable):,} could not be read and stay as they are"
    if dry_run:
        click.echo(f"{told}; to embed those anew: imgvec retry {name} --rendering")
    elif check.enqueued:
        click.echo(f"{told}; {check.enqueued:,} enqueued, embed them with: imgvec backfill {name}")
    else:
        click.echo(f"{told}; it has rendering {NEWEST} now")
