"""Text output of `imgvec index`."""

from dataclasses import asdict

import click

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import BuildPlan
from imgvec_pg.store.index.ddl import IndexState, index_states, running_build
from imgvec_pg.store.index.swap import leftovers
from imgvec_pg.text import clock

MIB = 1 << 20


def megabytes(count: int) -> str:
    """Return bytes as PostgreSQL's own settings have them, rounded up."""
    return f"{-(-count // MIB):,} MB"


def kind(collection: Collection) -> str:
    """Return what is indexed, for people."""
    if collection.quantization == "bit":
        return f"one bit a dimension ({collection.dimensions}), ranked again by the full vectors"
    return f"halfvec({collection.dimensions})"


def announce_plan(collection: Collection, plan: BuildPlan, *, err: bool) -> None:
    """Say what a build will take."""
    what = "different pictures" if collection.by_picture else "rows"
    lines = [
        f"{collection.name}: HNSW index of {plan.rows:,} {what}, {kind(collection)}, m {collection.m}, "
        f"ef_construction {collection.ef_construction}",
        f"  memory   {megabytes(plan.graph_bytes)} for the graph, the build gets {megabytes(plan.memory_bytes)}",
        f"  size     about {megabytes(plan.index_bytes)} on disk",
        f"  time     {time_needed(plan)}",
    ]
    if not plan.fits:
        share = round(100 * plan.memory_bytes / plan.graph_bytes)
        lines.insert(
            2,
            f"           only the first {share} % of the rows fit, the rest is added on disk, many times slower; "
            f"if the machine has it: --memory {-(-plan.graph_bytes // MIB)}MB",
        )
    for line in lines:
        click.echo(line, err=err)


def time_needed(plan: BuildPlan) -> str:
    """Return the time of a build, for people."""
    if plan.seconds is None or plan.rows_per_second is None:
        return "unknown until a first build with these options; progress is shown meanwhile"
    return f"about {clock(plan.seconds)} at the {plan.rows_per_second:,.0f} rows/s of the last build"


def plan_as_json(collection: Collection, plan: BuildPlan) -> dict[str, object]:
    """Return what a build takes."""
    return {
        "collection": collection.name,
        "m": collection.m,
        "ef_construction": collection.ef_construction,
        "quantization": collection.quantization,
        **asdict(plan),
        "fits_memory": plan.fits,
        "seconds": plan.seconds,
    }


def index_as_json(connection: Connection, collection: Collection) -> dict[str, object]:
    """Return an index's state."""
    build = running_build(connection, collection)
    return {
        "collection": collection.name,
        "ef_search": collection.ef_search,
        "quantization": collection.quantization,
        "indexes": [asdict(state) for state in index_states(connection, collection)],
        "building": None if build is None else asdict(build),
        "leftovers": leftovers(connection, collection),
    }


def print_index(connection: Connection, collection: Collection) -> None:
    """Say how an index is made and how it does."""
    click.echo(f"collection   {collection.name}, {kind(collection)}")
    ef_search = "the session's own" if collection.ef_search is None else collection.ef_search
    if collection.by_picture:
        click.echo("indexed      each picture once, however many rows have it")
    click.echo(f"ef_search    {ef_search}; see: imgvec index tune {collection.name}")
    build = running_build(connection, collection)
    for state in index_states(connection, collection):
        click.echo(f"index        {describe(state, collection, is_building=build is not None)}")
    if build is not None:
        share = f" {100 * build.done // build.total} %" if build.total else ""
        click.echo(f"building     {build.phase}{share}")
    elif left := leftovers(connection, collection):
        click.echo(f"left over    {', '.join(left)}; drop with: imgvec index create {collection.name}")


def describe(state: IndexState, collection: Collection, *, is_building: bool) -> str:
    """Return one table's index in a line."""
    if state.index_name is None:
        wanted = "" if is_building else f"; build it with: imgvec index create {collection.name}"
        return f"{state.table_name} has no HNSW index{wanted}"
    how = f"m {state.m}, ef_construction {state.ef_construction}"
    size = "" if state.is_parent else f", {state.index_bytes:,} bytes"
    if state.is_valid:
        condition = ""
    elif is_building:
        condition = ", not complete yet"
    else:
        condition = f", INVALID: a build was stopped; repair with: imgvec index create {collection.name}"
    built = "" if state.built is None else f", {state.built[0]:,} rows built in {clock(state.built[1])}"
    return f"{state.index_name} ({how}{size}{built}{condition})"
