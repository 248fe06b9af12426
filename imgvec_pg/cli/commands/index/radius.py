"""`imgvec index create|drop|show` of a radius index, which within_* ask."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from imgvec_pg.cli.exit_codes import INTERRUPTED, TERMINATED, Terminated
from imgvec_pg.cli.options import echo_json
from imgvec_pg.cli.output.messages import complain
from imgvec_pg.cli.output.progress import count_progress, stderr_console
from imgvec_pg.database.connect import Connection
from imgvec_pg.errors import UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.radius_index import (
    ROW_BYTES,
    RadiusIndexState,
    count_embedded,
    create_radius_index,
    drop_radius_index,
    radius_index_state,
)
from imgvec_pg.text import counted, size

FEW_ROWS = 1000
"""Below it comparing all vectors takes a millisecond."""


def refuse_other_options(asked: Mapping[str, object]) -> None:
    """Refuse options of an index over vectors beside --radius.

    Raises:
        UsageError: One was given.
    """
    given = [name.replace("_", "-") for name, value in asked.items() if value is not None]
    if given:
        raise UsageError(
            f"--{given[0]} is of an index over vectors; with --radius leave it out, and run both commands for both"
        )


def create_radius(
    connection: Connection, collection: Collection, *, dry_run: bool, as_json: bool, lock_timeout_ms: int
) -> None:
    """Create a collection's radius index, or say what it would take."""
    rows = count_embedded(connection, collection)
    if dry_run:
        report(collection, rows, radius_index_state(connection, collection), as_json)
        return
    if rows < FEW_ROWS:
        complain(
            f"{collection.name} has {counted(rows, 'row')}: within_{collection.name} compares so few in a millisecond without it"
        )
    with stopped(collection), count_progress(stderr_console(), "coordinates") as show:
        create_radius_index(connection, collection, show, lock_timeout_ms=lock_timeout_ms)
    state = radius_index_state(connection, collection)
    if as_json:
        echo_json({"collection": collection.name, "rows": rows, "bytes": state.bytes})
    else:
        click.echo(
            f"{collection.name}: the radius index is ready, {counted(rows, 'row')}, {size(state.bytes)}"
        )


def report(collection: Collection, rows: int, state: RadiusIndexState, as_json: bool) -> None:
    """Say what a radius index would take, or why none would be made."""
    if as_json:
        expected = rows * ROW_BYTES
        echo_json({"collection": collection.name, "rows": rows, "bytes": expected, "in_use": state.in_use})
        return
    click.echo(f"{collection.name}: radius index of {counted(rows, 'row')}, about {size(rows * ROW_BYTES)}")
    if state.in_use:
        click.echo("  there is one in use")
    elif state.hides_rows:
        click.echo(f"  {collection.shown_source} shows each role other rows: none would be made")
    elif rows < FEW_ROWS:
        click.echo("  of so few rows comparing all takes a millisecond without it")
    click.echo("  nothing was changed")


@contextmanager
def stopped(collection: Collection) -> Iterator[None]:
    """Say where a run that is stopped leaves things."""
    try:
        yield
    except KeyboardInterrupt as stop:
        complain(
            f"stopped; within_{collection.name} compares all rows as before. To go on: imgvec index create {collection.name} "
            f"--radius; to leave nothing: imgvec index drop {collection.name} --radius"
        )
        click.get_current_context().exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)


def drop_radius(connection: Connection, collection: Collection, *, yes: bool, lock_timeout_ms: int) -> None:
    """Drop a collection's radius index."""
    if not yes:
        click.confirm(f"Drop the radius index of {collection.name}?", abort=True)
    drop_radius_index(connection, collection, lock_timeout_ms=lock_timeout_ms)
    click.echo(
        f"dropped {collection.name}_coordinates, {collection.name}_axis; within_{collection.name} compares all rows"
    )


def radius_line(collection: Collection, state: RadiusIndexState) -> str | None:
    """Return what there is of a radius index, in a line for `index show`; None where there is nothing."""
    if not state.exists and not state.in_use:
        return None
    if not state.exists:
        return f"missing, and within_{collection.name} asks it; run: imgvec index drop {collection.name} --radius"
    if not state.in_use:
        return (
            f"not complete, not in use; go on with: imgvec index create {collection.name} --radius, "
            f"or drop it: imgvec index drop {collection.name} --radius"
        )
    told = f"{collection.name}_coordinates ({size(state.bytes)})"
    if not state.is_kept:
        return (
            f"{told}: its triggers on {collection.embedding_table} are off or gone, rows may be missed; "
            "drop it, and create it again"
        )
    if state.hides_rows:
        return (
            f"{told}: the source hides rows now, whose policy is asked for each row first; faster without it"
        )
    return told
