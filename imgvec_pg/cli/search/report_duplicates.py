"""Print what a run of `imgvec duplicates` found, and how far it is meanwhile."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from imgvec_pg.cli.options import echo_json
from imgvec_pg.cli.output.messages import say
from imgvec_pg.cli.output.progress import LogLines
from imgvec_pg.duplicates.between.against import against_names
from imgvec_pg.duplicates.between.find_duplicates_across import FoundAcross
from imgvec_pg.duplicates.find_duplicates import DuplicateSearch, FoundDuplicates
from imgvec_pg.duplicates.relations import deletion
from imgvec_pg.duplicates.resume import Resumed
from imgvec_pg.duplicates.same_pixels import SamePixels
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.search_functions import RELATIONS
from imgvec_pg.text import counted


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
    if found.other_read < found.other_rows:
        click.echo(
            f"  read of {other.name}, by what its last run keeps: {counted(found.other_read, 'vector')}"
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


def tell_resumed(where: Resumed) -> None:
    """Say that a run goes on where one that was stopped has been."""
    say(
        f"going on where a run that was stopped has been: {counted(where.finished, 'row')} compared with all others, "
        f"{where.changed:,} new or changed since; --restart begins anew",
        finished=where.finished,
        changed=where.changed,
    )


def as_object(
    collection: Collection,
    search: DuplicateSearch,
    found: FoundDuplicates,
    same: SamePixels | None,
    seconds: float,
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
        "recall": 1.0 if found.checked is None else found.recall,
        "recall_measured_by": found.checked,
        "pixels": None if same is None else asdict(same),
        "seconds": round(seconds, 2),
        "pair_relation": f"imgvec.{RELATIONS['duplicate_view'].format(collection.name)}",
        "group_relation": f"imgvec.{RELATIONS['duplicate_group_view'].format(collection.name)}",
        "linkage": search.linkage,
        "deletion": deletion(collection, near_keeper=search.linkage != "complete"),
    }


def report(
    collection: Collection,
    search: DuplicateSearch,
    found: FoundDuplicates,
    same: SamePixels | None,
    seconds: float,
) -> None:
    """Print a run: what was found, what was not seen, and what to do with it."""
    written = found.written
    click.echo(
        f"{collection.name}: {counted(written.pairs, 'pair')} at cosine similarity {search.threshold:g} or above among "
        f"{counted(found.rows, 'row')}; {counted(written.groups, 'group')} of {counted(written.members, 'row')}; {seconds:.1f} s"
    )
    if found.checked is not None:
        click.echo(f"  {measured_recall(found.checked, found.recall)}")
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
    if same is not None:
        click.echo(
            f"  the same pixels: {counted(same.pairs, 'pair')} more, of {counted(same.opened, 'picture')} opened"
            + (f"; {same.unread:,} could not be read, or are not what was embedded" if same.unread else "")
        )
    if not written.pairs:
        return
    pairs, groups = (
        f"imgvec.{RELATIONS[part].format(collection.name)}"
        for part in ("duplicate_view", "duplicate_group_view")
    )
    click.echo(f"  pairs are in {pairs}, groups in {groups}: join them by the key")
    what = "what is not kept goes with"
    if search.linkage != "complete":
        what = "what is near its keeper goes with"
    statement = deletion(collection, near_keeper=search.linkage != "complete")
    click.echo(f"  nothing was deleted; {what}: {statement}")


def measured_recall(pairs: int, recall: float | None) -> str:
    """Say what a fast search may have missed."""
    if recall is None:
        return "--fast: no sampled row has a pair, so what share of all pairs was found is not known; --exact misses none"
    return (
        f"--fast: found {recall:.2%} of {counted(pairs, 'pair')} of sampled rows, each compared with all others; "
        "--exact misses none"
    )
