"""`imgvec duplicates`: find every pair of near-duplicates of a collection."""

import time
from pathlib import Path

import click
from click.core import ParameterSource

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.output.progress import count_progress, stderr_console
from imgvec_pg.cli.search.explain_duplicates import as_object as explanation_as_object
from imgvec_pg.cli.search.explain_duplicates import echo_explanation, write_examples
from imgvec_pg.cli.search.report_duplicates import (
    as_object,
    comparison_progress,
    report,
    report_across,
    tell_resumed,
)
from imgvec_pg.cli.search.shared import memory_option, where_option
from imgvec_pg.database.connect import Connection, connect, require_schema
from imgvec_pg.duplicates.between.find_duplicates_across import find_duplicates_across
from imgvec_pg.duplicates.find_duplicates import DuplicateSearch, find_duplicates
from imgvec_pg.duplicates.groups import LINKAGES
from imgvec_pg.duplicates.same_pixels import note_same_pixels
from imgvec_pg.duplicates.thresholds import default_threshold, explain_thresholds
from imgvec_pg.errors import UsageError
from imgvec_pg.search.operations.calibration import distance_at
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.registry import get_collection


@click.command()
@click.argument("name", metavar="COLLECTION")
@click.option(
    "--threshold",
    type=float,
    metavar="T",
    help="Cosine similarity from which on two pictures are a pair, above 0, up to 1.  [default: by the model, such as 0.95]",
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
    "--linkage",
    type=click.Choice(LINKAGES),
    default=LINKAGES[0],
    show_default=True,
    help="When two groups are one: where two of the pairs between their pictures are near and more than a tenth of them, "
    "or more than half, or all.",
)
@memory_option
@click.option(
    "--max-pairs",
    type=click.IntRange(min=1),
    default=5_000_000,
    show_default=True,
    metavar="N",
    help="Refuse a threshold at which there are more pairs.",
)
@click.option(
    "--exact/--fast",
    "exact",
    default=True,
    help="Miss no pair, or compare rows within cells of neighbours only and say what share of a sample's pairs that found.  "
    "[default: --exact]",
)
@click.option(
    "--restart",
    is_flag=True,
    help="Compare all again, instead of going on where a run that was killed has been.",
)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    metavar="DEVICE",
    help="Where to compare: cpu, cuda (all GPUs, each with its share of the rows) or cuda:0.",
)
@click.option(
    "--full", is_flag=True, help="Compare all rows, not only what is new or changed since the last run."
)
@click.option(
    "--pixels",
    is_flag=True,
    help="Open the pictures of pairs at a distance of 0.005 or less, and tell which have the same pixels.",
)
@click.option(
    "--against",
    metavar="OTHER",
    help="Compare with the rows of another collection of the same model instead: an upload with the archive.",
)
@click.option(
    "--max-percentile",
    type=float,
    metavar="P",
    help="Instead of a threshold: nearer than all but P per cent of random pairs; imgvec calibrate measures them.",
)
@click.option(
    "--explain", is_flag=True, help="Find nothing; tell from a sample what five thresholds would find."
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --explain: write a page with pictures of pairs at each threshold.",
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the pictures to open lie on this machine  [default: the collection's root]",
)
@json_option
@dsn_option
def duplicates(
    name: str,
    threshold: float | None,
    where: str | None,
    keep: tuple[str, ...],
    linkage: str,
    memory: int,
    max_pairs: int,
    exact: bool,
    restart: bool,
    device: str,
    full: bool,
    pixels: bool,
    against: str | None,
    max_percentile: float | None,
    explain: bool,
    html_file: Path | None,
    root: Path | None,
    as_json: bool,
    dsn: str,
) -> None:
    """Find every pair of near-duplicates of a collection.

    All pairs of rows are looked at, and none is missed. They are written to imgvec.duplicate_COLLECTION (a row a pair) and
    imgvec.duplicate_group_COLLECTION (a row a picture: its group, and whether it is the one to keep), instead of what an
    earlier run found. Nothing of yours is deleted.

    Run again at the same threshold, or a higher one, it compares only rows that are new or changed since the last run
    with all others, and takes away the pairs of those that went: the result is that of comparing all.

    With --against pairs of a row of COLLECTION and one of OTHER are written to imgvec.duplicate_COLLECTION_against_OTHER.

    A run that was killed goes on where it was when you start it again, with the rows as they are by then.

    Pairs that somebody decided with imgvec.decide_duplicate() do not come back.

    \b
    Example:
      imgvec duplicates photo_clip
      imgvec duplicates photo_clip --threshold 0.97 --keep pixels --keep "uploaded_at ASC"
      imgvec duplicates upload_clip --against photo_clip
      imgvec duplicates photo_clip --explain --html thresholds.html
    """
    refuse_together(against, html_file, explain=explain)
    with (
        connect(dsn, application_name="imgvec duplicates") as connection,
        connect(dsn, application_name="imgvec duplicates (lock)") as guard,
    ):
        require_schema(connection)
        collection = get_collection(connection, name)
        chosen, rests_on = choose_threshold(connection, collection, threshold, max_percentile)
        asked = chosen, where, keep, memory, max_pairs, full, not exact, restart, device, linkage
        search = DuplicateSearch(*asked)
        if explain:
            tell_thresholds(connection, collection, search, rests_on, html_file, root, as_json)
        elif against is not None:
            search_across(connection, guard, collection, against, search, as_json)
        else:
            search_within(connection, guard, collection, search, pixels, root, as_json)


def refuse_together(against: str | None, html_file: Path | None, *, explain: bool) -> None:
    """Refuse options that others would leave unheeded.

    Raises:
        click.UsageError: One was given.
    """
    if html_file is not None and not explain:
        raise click.UsageError("--html shows pairs of a sample; give --explain with it")
    if against is None:
        return
    context = click.get_current_context()
    for name in ("keep", "linkage", "exact", "restart", "device", "full", "pixels", "explain"):
        if context.get_parameter_source(name) not in {ParameterSource.DEFAULT, None}:
            raise click.UsageError(
                f"--{'exact/--fast' if name == 'exact' else name} and --against cannot be together"
            )


def search_within(
    connection: Connection,
    guard: Connection,
    collection: Collection,
    search: DuplicateSearch,
    pixels: bool,
    root: Path | None,
    as_json: bool,
) -> None:
    """Find the pairs of one collection and print how many."""
    begun = time.monotonic()
    with (
        count_progress(stderr_console(), f"{collection.name}: reading, then comparing rows") as read,
        comparison_progress() as compared,
    ):
        found = find_duplicates(
            connection, guard, collection, search, read=read, compared=compared, resumed=tell_resumed
        )
    same = note_same_pixels(connection, collection, root) if pixels else None
    seconds = time.monotonic() - begun
    if as_json:
        echo_json(as_object(collection, search, found, same, seconds))
    else:
        report(collection, search, found, same, seconds)


def search_across(
    connection: Connection,
    guard: Connection,
    collection: Collection,
    against: str,
    search: DuplicateSearch,
    as_json: bool,
) -> None:
    """Find the pairs of two collections and print how many."""
    begun = time.monotonic()
    other = get_collection(connection, against)
    with count_progress(stderr_console(), f"{other.name}: reading and comparing rows") as read:
        asked = search.threshold, search.where, search.memory_bytes, search.max_pairs
        found = find_duplicates_across(connection, guard, collection, other, *asked, read=read)
    report_across(collection, other, search, found, time.monotonic() - begun, as_json)


def tell_thresholds(
    connection: Connection,
    collection: Collection,
    search: DuplicateSearch,
    rests_on: str | None,
    html_file: Path | None,
    root: Path | None,
    as_json: bool,
) -> None:
    """Tell what thresholds would find."""
    with count_progress(stderr_console(), f"{collection.name}: reading rows") as read:
        told = explain_thresholds(
            connection, collection, search.threshold, search.where, search.memory_bytes, read
        )
    if html_file is not None:
        write_examples(html_file, connection, collection, told, root)
    if as_json:
        echo_json(explanation_as_object(collection, search.threshold, told))
    else:
        echo_explanation(collection, told, rests_on)


def choose_threshold(
    connection: Connection, collection: Collection, threshold: float | None, max_percentile: float | None
) -> tuple[float, str | None]:
    """Return the threshold, and what it rests on where nobody gave one.

    Raises:
        UsageError: Both were given.
    """
    if threshold is not None and max_percentile is not None:
        raise UsageError("--threshold and --max-percentile were given; expected one of them")
    if max_percentile is not None:
        return 1 - distance_at(connection, collection, max_percentile, "rows"), None
    if threshold is not None:
        return threshold, None
    return default_threshold(collection.model_name)
