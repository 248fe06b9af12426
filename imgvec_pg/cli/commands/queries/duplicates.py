"""`imgvec duplicates`: find every pair of near-duplicates of a collection."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.output.progress import LogLines, count_progress, stderr_console
from imgvec_pg.cli.search.shared import where_option
from imgvec_pg.database.connect import connect, require_schema
from imgvec_pg.duplicates.against import against_names
from imgvec_pg.duplicates.find_duplicates import (
    DuplicateSearch,
    FoundAcross,
    FoundDuplicates,
    find_duplicates,
    find_duplicates_across,
)
from imgvec_pg.duplicates.relations import deletion
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.registry import get_collection
from imgvec_pg.store.search_functions import RELATIONS
from imgvec_pg.text import counted

UNITS = {"M": 10**6, "G": 10**9}


def parse_memory(context: click.Context, parameter: click.Parameter, text: str) -> int:
    """Turn "800MB" or "4GB" into bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MG])B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise click.BadParameter(f"{text!r} is no size; expected such as 800MB or 4GB", context, parameter)
    return int(float(found[1]) * UNITS[found[2].upper()])


@click.command()
@click.argument("name", metavar="COLLECTION")
@click.option(
    "--threshold",
    type=float,
    default=0.95,
    show_default=True,
    metavar="T",
    help="Cosine similarity from which on two pictures are a pair, above 0, up to 1.",
)
@where_option
@click.option(
    "--keep",
    multiple=True,
    metavar="RULE",
    help="Which picture of a group to keep: pixels, bytes, oldest, or SQL over the source's columns with ASC or DESC; "
    "may be repeated, the first rule that tells decides.  [default: those of the three that the table has columns for]",
)
@click.option(
    "--memory",
    callback=parse_memory,
    default="4GB",
    show_default=True,
    metavar="SIZE",
    help="Memory to take. Vectors that would not fit go to a temporary file.",
)
@click.option(
    "--max-pairs",
    type=click.IntRange(min=1),
    default=5_000_000,
    show_default=True,
    metavar="N",
    help="Refuse a threshold at which there are more pairs.",
)
@click.option(
    "--full", is_flag=True, help="Compare all rows, not only what is new or changed since the last run."
)
@click.option(
    "--against",
    metavar="OTHER",
    help="Compare with the rows of another collection of the same model instead: an upload with the archive.",
)
@json_option
@dsn_option
def duplicates(
    name: str,
    threshold: float,
    where: str | None,
    keep: tuple[str, ...],
    memory: int,
    max_pairs: int,
    full: bool,
    against: str | None,
    as_json: bool,
    dsn: str,
) -> None:
    """Find every pair of near-duplicates of a collection.

    All pairs of rows are looked at, and none is missed. They are written to imgvec.duplicate_COLLECTION (a row a pair) and
    imgvec.duplicate_group_COLLECTION (a row a picture: its group, and whether it is the one to keep), instead of what an
    earlier run found. In a group every picture is within the threshold of every other. Nothing of yours is deleted.

    Run again at the same threshold, or a higher one, it compares only rows that are new or changed since the last run
    with all others, and takes away the pairs of those that went: the result is that of comparing all.

    With --against pairs of a row of COLLECTION and one of OTHER are written to imgvec.duplicate_COLLECTION_against_OTHER.

    Pairs that somebody decided with imgvec.decide_duplicate() do not come back.

    \b
    Example:
      imgvec duplicates photo_clip
      imgvec duplicates photo_clip --threshold 0.97 --keep pixels --keep "uploaded_at ASC"
      imgvec duplicates upload_clip --against photo_clip
    """
    search = DuplicateSearch(threshold, where, keep, memory, max_pairs, full)
    with (
        connect(dsn, application_name="imgvec duplicates") as connection,
        connect(dsn, application_name="imgvec duplicates (lock)") as guard,
    ):
        require_schema(connection)
        collection = get_collection(connection, name)
        begun = time.monotonic()
        if against is not None:
            other = get_collection(connection, against)
            with count_progress(stderr_console(), f"{other.name}: reading and comparing rows") as read:
                across = find_duplicates_across(connection, guard, collection, other, search, read=read)
            report_across(collection, other, search, across, time.monotonic() - begun, as_json)
            return
        with (
            count_progress(stderr_console(), f"{collection.name}: reading, then comparing rows") as read,
            comparison_progress() as compared,
        ):
            found = find_duplicates(connection, guard, collection, search, read=read, compared=compared)
        seconds = time.monotonic() - begun
    if as_json:
        echo_json(as_object(collection, search, found, seconds))
    else:
        report(collection, search, found, seconds)


def report_across(
    collection: Collection,
    other: Collection,
    search: DuplicateSearch,
    found: FoundAcross,
    seconds: float,
    as_json: bool,
) -> None:
    """Print a run against another collection."""
    relation = f"imgvec.{against_names(collection, other)[1]}"
    if as_json:
        told = {"collection": collection.name, "against": other.name, "threshold": search.threshold}
        echo_json({**told, **asdict(found), "seconds": round(seconds, 2), "pair_relation": relation})
        return
    click.echo(
        f"{collection.name} against {other.name}: {counted(found.pairs, 'pair')} at cosine similarity {search.threshold:g} or "
        f"above, {counted(found.rows, 'row')} with {found.other_rows:,}; {seconds:.1f} s"
    )
    if found.changed:
        click.echo(f"  changed meanwhile, and in no pair: {counted(found.changed, 'row')}; run this again")
    click.echo(f"  pairs are in {relation}: join it by the keys")


@contextmanager
def comparison_progress() -> Iterator[Callable[[int, int], None]]:
    """Give a function that tells, every ten seconds, how much of the comparing is done and how long the rest takes."""
    lines: list[LogLines] = []
    begun: list[float] = []

    def show(done: int, total: int) -> None:
        if not lines:
            lines.append(LogLines(total // 10**6, "million pairs"))
            begun.append(time.monotonic())
        done_millions = done // 10**6
        lines[0].update(done_millions, done_millions / max(time.monotonic() - begun[0], 0.001))

    yield show


def as_object(
    collection: Collection, search: DuplicateSearch, found: FoundDuplicates, seconds: float
) -> dict[str, object]:
    """Return a run for --json."""
    return {
        "collection": collection.name,
        "threshold": search.threshold,
        "rows": found.rows,
        "compared": "all" if found.gone is None else "changes",
        "rows_compared": found.compared,
        "rows_gone": found.gone,
        "pairs": found.written.pairs,
        "groups": found.written.groups,
        "rows_in_groups": found.written.members,
        "queued": found.queued,
        "failed": found.failed,
        "without_direction": found.skipped,
        "changed_meanwhile": found.written.changed,
        "seconds": round(seconds, 2),
        "pair_relation": f"imgvec.{RELATIONS['duplicate_view'].format(collection.name)}",
        "group_relation": f"imgvec.{RELATIONS['duplicate_group_view'].format(collection.name)}",
        "deletion": deletion(collection),
    }


def report(collection: Collection, search: DuplicateSearch, found: FoundDuplicates, seconds: float) -> None:
    """Print a run: what was found, what was not seen, and what to do with it."""
    written = found.written
    click.echo(
        f"{collection.name}: {counted(written.pairs, 'pair')} at cosine similarity {search.threshold:g} or above among "
        f"{counted(found.rows, 'row')}; {counted(written.groups, 'group')} of {counted(written.members, 'row')}; {seconds:.1f} s"
    )
    if found.gone is not None:
        click.echo(
            f"  since the last run: {counted(found.compared, 'row')} new or changed, and compared with all; "
            f"{found.gone:,} gone or changed"
        )
    if found.queued or found.failed:
        click.echo(
            f"  not compared: {found.queued:,} queued, {found.failed:,} failed; see imgvec status, and run this again after "
            f"imgvec backfill {collection.name}"
        )
    if found.skipped:
        click.echo(
            f"  not compared: {counted(found.skipped, 'vector')} without a direction; see imgvec verify"
        )
    if written.changed:
        click.echo(f"  changed meanwhile, and in no pair: {counted(written.changed, 'row')}; run this again")
    if not written.pairs:
        return
    pairs, groups = (
        f"imgvec.{RELATIONS[part].format(collection.name)}"
        for part in ("duplicate_view", "duplicate_group_view")
    )
    click.echo(f"  pairs are in {pairs}, groups in {groups}: join them by the key")
    click.echo(f"  nothing was deleted; what is not kept goes with: {deletion(collection)}")
