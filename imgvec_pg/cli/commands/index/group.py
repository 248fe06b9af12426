"""`imgvec index`: create, rebuild, drop, show, tune."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click

from imgvec_pg.cli.commands.index.format_index import (
    announce_plan,
    index_as_json,
    plan_as_json,
    print_index,
    tell_candidates,
)
from imgvec_pg.cli.commands.index.radius import create_radius, drop_radius, refuse_other_options
from imgvec_pg.cli.commands.index.tune import tune
from imgvec_pg.cli.commands.index.wanted import QUANTIZATIONS, Wanted
from imgvec_pg.cli.exit_codes import INTERRUPTED, TERMINATED, Terminated
from imgvec_pg.cli.options import Command, dsn_option, echo_json, json_option, lock_timeout_option
from imgvec_pg.cli.output.messages import complain
from imgvec_pg.cli.output.progress import index_progress
from imgvec_pg.database.connect import Connection, connect, require_schema
from imgvec_pg.database.index_methods.methods import BUILT_HERE
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import plan_build
from imgvec_pg.store.index.content_index import build_content_index
from imgvec_pg.store.index.ddl import has_valid_index, index_states, require_large_tenants
from imgvec_pg.store.index.swap import drop_index, leftovers, replace_index, tidy
from imgvec_pg.store.pictures.picture_table import count_pictures, has_pictures, with_fitting_index
from imgvec_pg.store.registry import get_collection
from imgvec_pg.text import counted


@click.group()
def index() -> None:
    """Build, tune and look at a collection's index.

    \b
    Example:
      imgvec index create product_clip
      imgvec index tune product_clip --recall 0.99
    """


def build_options(command: Command) -> Command:
    """Add the options that say how an index is made."""
    options = (
        click.option(
            "--method",
            type=click.Choice(list(BUILT_HERE)),
            help="How it is built  [default: the collection's, hnsw at first]",
        ),
        click.option(
            "--lists",
            type=int,
            help="IVFFlat: lists  [default: rows / 1000, beyond a million rows their square root]",
        ),
        click.option("--m", type=int, help="HNSW: links per node  [default: the collection's, 16 at first]"),
        click.option(
            "--ef-construction",
            type=int,
            help="HNSW: candidates kept while building  [default: the collection's, 64 at first]",
        ),
        click.option(
            "--quantize",
            type=click.Choice(list(QUANTIZATIONS)),
            help="bit: index one bit a dimension and rank the finds again by the full vectors.",
        ),
        click.option(
            "--memory", metavar="SIZE", help="maintenance_work_mem at most, such as 8GB  [default: 2GB]"
        ),
        click.option(
            "--workers",
            type=click.IntRange(0, 64),
            help="Parallel processes  [default: the server's max_parallel_maintenance_workers]",
        ),
        click.option("--dry-run", is_flag=True, help="Change nothing; say what it would take."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@index.command()
@click.argument("name", metavar="COLLECTION")
@click.option(
    "--radius",
    is_flag=True,
    help="The other index: for within_*, every row within a distance, none missed.",
)
@build_options
@lock_timeout_option
@dsn_option
@json_option
def create(
    name: str,
    radius: bool,
    dsn: str,
    as_json: bool,
    dry_run: bool,
    lock_timeout_ms: int,
    **asked: Any,  # noqa: ANN401
) -> None:
    """Build a collection's index, beside running searches and writes.

    Memory, size and time are printed first. An index that a stopped build left INVALID is repaired. Stopped at any moment,
    it leaves nothing behind or says what to run. Where an earlier release made the collection, it gets the small index on
    content_hash too, by which a picture that several rows have is embedded once.

    With --radius: coordinates of each row along a few axes, by which within_* pass over what cannot be within the distance.
    Triggers keep them right, at some cost for each row written.

    \b
    Example:
      imgvec index create product_clip --memory 8GB --workers 7
      imgvec index create product_clip --quantize bit
      imgvec index create product_clip --method ivfflat
      imgvec index create product_clip --radius
    """
    if radius:
        refuse_other_options(asked)
    with connect(dsn, application_name="imgvec index") as connection:
        require_schema(connection)
        present = get_collection(connection, name)
        if radius:
            create_radius(
                connection, present, dry_run=dry_run, as_json=as_json, lock_timeout_ms=lock_timeout_ms
            )
            return
        wanted = Wanted(**asked)
        if dry_run:
            report_plan(connection, present, wanted, as_json)
        elif not has_valid_index(connection, present):
            build(connection, present, wanted, f"imgvec index create {present.name}", as_json)
        elif add_content_index(connection, present):
            pass
        elif leftovers(connection, present):
            # A run was killed after the new index took its place.
            finish(connection, present)
        else:
            states = index_states(connection, present)
            require_large_tenants(present, states)
            label = states[-1].label
            raise CollectionError(
                f"collection {present.name} has a valid {label} index; to make it anew: imgvec index rebuild {present.name}"
            )


@index.command()
@click.argument("name", metavar="COLLECTION")
@build_options
@dsn_option
@json_option
def rebuild(name: str, dsn: str, as_json: bool, dry_run: bool, **asked: Any) -> None:  # noqa: ANN401
    """Build the index anew beside the old one, which serves until the new one takes its place.

    \b
    Example:
      imgvec index rebuild product_clip --m 24 --ef-construction 128
    """
    with connect(dsn, application_name="imgvec index") as connection:
        require_schema(connection)
        present = get_collection(connection, name)
        wanted = Wanted(**asked)
        if dry_run:
            report_plan(connection, present, wanted, as_json)
        else:
            build(connection, present, wanted, f"imgvec index rebuild {present.name}", as_json)


def report_plan(connection: Connection, present: Collection, wanted: Wanted, as_json: bool) -> None:
    """Say what a build would take."""
    collection = with_fitting_index(connection, wanted.define(present))
    if collection.by_picture and not has_pictures(connection, collection):
        counts = count_pictures(connection, collection)
        click.echo(
            f"{present.name}: {counts.pictures:,} different pictures of {counts.rows:,} rows would be indexed, not the rows",
            err=True,
        )
        collection = replace(collection, by_picture=False)
    plan = plan_build(connection, collection, wanted.build_options)
    if as_json:
        echo_json(plan_as_json(collection, plan))
        return
    announce_plan(collection, plan, err=False)
    click.echo("  nothing was changed")


def build(connection: Connection, present: Collection, wanted: Wanted, again: str, as_json: bool) -> None:
    """Build an index as asked for and let it take the place of the present one."""
    require_large_tenants(present, index_states(connection, present))
    add_content_index(connection, present)
    collection = with_fitting_index(connection, wanted.define(present))
    tell_change(present, collection)
    with stopped_cleanly(connection, present, again), index_progress() as show_progress:
        done = replace_index(
            connection,
            collection,
            wanted.build_options,
            again=again,
            announce=lambda plan: announce_plan(collection, plan, err=True),
            progress=show_progress,
        )
    if as_json:
        echo_json({**plan_as_json(collection, done.plan), "dropped": done.dropped})
        return
    replaced = f"; dropped {', '.join(done.dropped)}" if done.dropped else ""
    indexed = counted(done.plan.rows, "picture" if collection.by_picture else "row")
    click.echo(f"{present.name}: the index is ready, {indexed}{replaced}")
    tell_candidates(get_collection(connection, present.name), done.plan.rows)


def tell_change(present: Collection, wanted: Collection) -> None:
    """Say what is indexed from now on, where it is something else."""
    if wanted.by_picture != present.by_picture:
        what = "its different pictures" if wanted.by_picture else "its rows again"
        click.echo(f"{present.name}: the index will be over {what}", err=True)


def add_content_index(connection: Connection, collection: Collection) -> bool:
    """Build the index by which pictures that several rows have are embedded once, where an earlier release made none."""
    built = build_content_index(connection, collection)
    if built:
        click.echo(
            f"{collection.name}: the index on content_hash is ready: each picture is embedded once", err=True
        )
    return built


def finish(connection: Connection, collection: Collection) -> None:
    """Drop what a killed run left beside a valid index."""
    names = leftovers(connection, collection)
    left = tidy(connection, collection)
    if left:
        raise DatabaseError(
            f"{', '.join(left)} could not be dropped within 10 s, another session uses the table; "
            f"try again: imgvec index create {collection.name}"
        )
    click.echo(f"{collection.name}: the index is ready; dropped {', '.join(names)}")


@contextmanager
def stopped_cleanly(connection: Connection, collection: Collection, again: str) -> Iterator[None]:
    """Drop what a stopped or failed build leaves, and say what is left to do."""
    try:
        yield
    except KeyboardInterrupt as stop:
        complain(f"stopped; tidying up. Should this be stopped too, run: {again}")
        left = tidy(connection, collection)
        has_index = has_valid_index(connection, collection)
        serves = (
            "searches use the index as before"
            if has_index
            else "there is no index, searches compare all rows"
        )
        if left:
            complain(f"{', '.join(left)} could not be dropped within 10 s; to go on, run: {again}")
        else:
            complain(f"nothing is left of the build, {serves}; to build it, run: {again}")
        click.get_current_context().exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)
    except DatabaseError as error:
        left = [] if connection.closed else tidy(connection, collection, keep_complete=True)
        if not left or connection.closed:
            raise
        raise DatabaseError(f"{error}; {', '.join(left)} is left, to go on run: {again}") from error


@index.command()
@click.argument("name", metavar="COLLECTION")
@dsn_option
@click.option("--radius", is_flag=True, help="The index that within_* ask, and only that.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@lock_timeout_option
def drop(name: str, radius: bool, dsn: str, yes: bool, lock_timeout_ms: int) -> None:
    """Drop a collection's index; searches then compare all rows, exactly and slowly.

    \b
    Example:
      imgvec index drop product_clip
      imgvec index drop product_clip --radius
    """
    with connect(dsn, application_name="imgvec index") as connection:
        require_schema(connection)
        collection = get_collection(connection, name)
        if radius:
            drop_radius(connection, collection, yes=yes, lock_timeout_ms=lock_timeout_ms)
            return
        if not yes:
            click.confirm(f"Drop the index of {collection.name}?", abort=True)
        dropped = drop_index(connection, collection, lock_timeout_ms=lock_timeout_ms)
    click.echo(f"dropped {', '.join(dropped)}; build it again with: imgvec index create {collection.name}")


index.add_command(tune)


@index.command()
@click.argument("name", metavar="COLLECTION")
@dsn_option
@json_option
def show(name: str, dsn: str, as_json: bool) -> None:
    """Show a collection's index: its options, size and state, and what a stopped build left.

    \b
    Example:
      imgvec index show product_clip
    """
    with connect(dsn) as connection:
        require_schema(connection)
        collection = get_collection(connection, name)
        if as_json:
            echo_json(index_as_json(connection, collection))
        else:
            print_index(connection, collection)
