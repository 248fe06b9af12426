"""Text output of `imgvec index`."""

from dataclasses import asdict

import click

from imgvec_pg.cli.commands.index.radius import radius_line
from imgvec_pg.database.connect import Connection
from imgvec_pg.database.index_methods.ivfflat import default_probes
from imgvec_pg.database.index_methods.methods import index_method
from imgvec_pg.search.bit_index import candidate_count
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import BuildPlan
from imgvec_pg.store.index.ddl import IndexState, index_states, running_build
from imgvec_pg.store.index.radius_index import radius_index_state
from imgvec_pg.store.index.swap import leftovers
from imgvec_pg.text import clock

MIB = 1 << 20
MANY_BITS_ROWS = 1_000_000
"""From so many rows on the usual 200 candidates of bits hold nine of ten true neighbours and fewer (benchmarks/bit_ranks.py)."""


def megabytes(count: int) -> str:
    """Return bytes as PostgreSQL's own settings have them, rounded up."""
    return f"{-(-count // MIB):,} MB"


def kind(collection: Collection) -> str:
    """Return what is indexed, for people."""
    if collection.quantization == "bit":
        return f"one bit a dimension ({collection.dimensions}), ranked again by the full vectors"
    return f"halfvec({collection.dimensions})"


def tell_candidates(collection: Collection, rows: int) -> None:
    """Say that an index of bits over many rows wants to be tuned, where it is not."""
    if collection.quantization == "bit" and collection.ef_search is None and rows >= MANY_BITS_ROWS:
        click.echo(
            f"{collection.name}: of {rows:,} rows {candidate_count(10, None)} candidates by bits may hold too few of the "
            f"nearest; find and store how many do: imgvec index tune {collection.name} --recall 0.95",
            err=True,
        )


def announce_plan(collection: Collection, plan: BuildPlan, *, err: bool) -> None:
    """Say what a build will take."""
    label = index_method(collection.index_method).label
    is_graph = collection.index_method == "hnsw"
    kept = "the graph" if is_graph else "the centres of the lists and the sample they are found in"
    what = "different pictures" if collection.by_picture else "rows"
    lines = [
        f"{collection.name}: {label} index of {plan.rows:,} {what}, {kind(collection)}, {options_of(collection, plan)}",
        f"  memory   {megabytes(plan.graph_bytes)} for {kept}, the build gets {megabytes(plan.memory_bytes)}",
        f"  size     about {megabytes(plan.index_bytes)} on disk",
        f"  time     {time_needed(plan)}",
    ]
    if not plan.fits:
        share = round(100 * plan.memory_bytes / plan.graph_bytes)
        lines.insert(
            2,
            f"           PostgreSQL refuses to build with less: --memory {-(-plan.graph_bytes // MIB)}MB, or fewer --lists"
            if not is_graph
            else f"           only the first {share} % of the rows fit, the rest is added on disk, many times slower; "
            f"if the machine has it: --memory {-(-plan.graph_bytes // MIB)}MB",
        )
    for line in lines:
        click.echo(line, err=err)


def options_of(collection: Collection, plan: BuildPlan) -> str:
    """Return what stands in WITH (…), for people."""
    if collection.index_method == "hnsw":
        return f"m {collection.m}, ef_construction {collection.ef_construction}"
    return f"lists {plan.lists}" + ("" if collection.lists else ", as suit the rows")


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
        "method": collection.index_method,
        **asdict(plan),
        "fits_memory": plan.fits,
        "seconds": plan.seconds,
    }


def index_as_json(connection: Connection, collection: Collection) -> dict[str, object]:
    """Return an index's state."""
    build = running_build(connection, collection)
    radius = radius_index_state(connection, collection)
    return {
        "collection": collection.name,
        "method": collection.index_method,
        "ef_search": collection.ef_search,
        "probes": collection.probes,
        "quantization": collection.quantization,
        "indexes": [
            {**asdict(state), "m": state.m, "ef_construction": state.ef_construction, "lists": state.lists}
            for state in index_states(connection, collection)
        ],
        "building": None if build is None else asdict(build),
        "leftovers": leftovers(connection, collection),
        "radius": asdict(radius) if radius.exists or radius.in_use else None,
    }


def print_index(connection: Connection, collection: Collection) -> None:
    """Say how an index is made and how it does."""
    click.echo(f"collection   {collection.name}, {kind(collection)}")
    if collection.by_picture:
        click.echo("indexed      each picture once, however many rows have it")
    states = index_states(connection, collection)
    if states:
        click.echo(tuned_line(collection, states[-1]))
    else:
        click.echo(
            f"index        none: all tenants are small; see: imgvec collection partition {collection.name}"
        )
    build = running_build(connection, collection)
    for state in states:
        click.echo(f"index        {describe(state, collection, is_building=build is not None)}")
    if build is not None:
        share = f" {100 * build.done // build.total} %" if build.total else ""
        click.echo(f"building     {build.phase}{share}")
    elif left := leftovers(connection, collection):
        click.echo(f"left over    {', '.join(left)}; drop with: imgvec index create {collection.name}")
    if radius := radius_line(collection, radius_index_state(connection, collection)):
        click.echo(f"radius index {radius}")


def tuned_line(collection: Collection, state: IndexState) -> str:
    """Return the setting that trades time for recall, in a line."""
    see = f"see: imgvec index tune {collection.name}"
    if state.lists is not None:
        probes = collection.probes or f"{default_probes(state.lists)}, the root of the lists"
        return f"probes       {probes}; {see}"
    if state.method is not None and index_method(state.method).tuned is None:
        return f"settings     the session's own of {state.method}; see: imgvec recall {collection.name}"
    ef_search = "the session's own" if collection.ef_search is None else collection.ef_search
    return f"ef_search    {ef_search}; {see}"


def describe(state: IndexState, collection: Collection, *, is_building: bool) -> str:
    """Return one table's index in a line."""
    if state.index_name is None:
        wanted = "" if is_building else f"; build it with: imgvec index create {collection.name}"
        return f"{state.table_name} has no index{wanted}"
    how = made_as(state)
    size = "" if state.is_parent else f", {state.index_bytes:,} bytes"
    if state.is_valid:
        condition = ""
    elif is_building:
        condition = ", not complete yet"
    else:
        condition = f", INVALID: a build was stopped; repair with: imgvec index create {collection.name}"
    built = "" if state.built is None else f", {state.built[0]:,} rows built in {clock(state.built[1])}"
    return f"{state.index_name} ({how}{size}{built}{condition})"


def made_as(state: IndexState) -> str:
    """Return an index's method where it is not HNSW, and its options."""
    if state.method == "hnsw":
        return f"m {state.m}, ef_construction {state.ef_construction}"
    if state.lists is not None:
        return f"{state.label}, lists {state.lists}"
    options = [f"{name} {value}" for name, value in state.given_options.items()]
    return ", ".join([state.label, *options])
