"""Print what `imgvec map` did."""

from dataclasses import asdict
from datetime import datetime

import click

from imgvec_pg.cli.options import echo_json
from imgvec_pg.cli.search.shared import echo_answer
from imgvec_pg.maps.make_map import MadeMap, UpdatedMap
from imgvec_pg.maps.map_tables import MapState
from imgvec_pg.store.collection import Collection
from imgvec_pg.text import counted


def report_made(collection: Collection, made: MadeMap, seconds: float, as_json: bool) -> None:
    """Print a map that was made."""
    run = made.run
    if as_json:
        clusters = [{**asdict(cluster), "rows": rows} for cluster, rows in made.clusters]
        told = {key: value for key, value in asdict(run).items() if key not in {"ended_at", "rows"}}
        echo_json(
            {
                "collection": collection.name,
                "points": made.points,
                "skipped": made.skipped,
                "changed": made.changed,
                **told,
                "clusters": clusters,
                "seconds": round(seconds, 2),
                "relation": f"imgvec.map_{collection.name}",
            }
        )
        return
    pictures = "" if run.pictures == made.points else f" of {counted(run.pictures, 'different picture')}"
    how = run.method if run.landmarks == run.pictures else f"{run.method} of {run.landmarks:,} landmarks"
    click.echo(
        f"{collection.name}: {counted(made.points, 'point')}{pictures} placed by {how}; {seconds:.1f} s"
    )
    fit = "" if run.silhouette is None else f", silhouette {run.silhouette:.2f}"
    click.echo(f"  {counted(len(made.clusters), 'cluster')} by k-means{fit}, named by {run.named_by}:")
    echo_answer(
        ["cluster", "name", "rows"],
        [[cluster.number, cluster.name, rows] for cluster, rows in made.clusters],
    )
    tell_left_out(collection, made.skipped, made.changed)
    click.echo(f"  the map is imgvec.map_{collection.name}: join it by the key")


def report_updated(collection: Collection, updated: UpdatedMap, as_json: bool) -> None:
    """Print what an update placed."""
    state = updated.state
    if as_json:
        echo_json(
            {
                "collection": collection.name,
                "placed": updated.placed,
                "skipped": updated.skipped,
                "changed": updated.changed,
                "points": state.points,
                "placed_later": state.later,
                "is_old": state.is_old,
                "made_at": moment(state.run.ended_at),
            }
        )
        return
    click.echo(
        f"{collection.name}: {counted(updated.placed, 'row')} placed by their nearest neighbours on the map of "
        f"{moment(state.run.ended_at)}; {state.points:,} points now, {state.later:,} of them placed so"
    )
    tell_left_out(collection, updated.skipped, updated.changed)
    tell_age(collection, state)


def tell_left_out(collection: Collection, skipped: int, changed: int) -> None:
    """Say which rows are not on the map."""
    if skipped:
        click.echo(f"  without a direction, and not on the map: {counted(skipped, 'vector')}", err=True)
    if changed:
        click.echo(
            f"  changed meanwhile, and not on the map: {counted(changed, 'row')}; run: imgvec map {collection.name} --update",
            err=True,
        )


def tell_age(collection: Collection, state: MapState) -> None:
    """Say where more than half of the map was placed after it was made."""
    if state.is_old:
        click.echo(
            f"  the map is older than half its rows ({state.later:,} of {state.points:,} were placed later); make it anew: "
            f"imgvec map {collection.name}",
            err=True,
        )


def moment(time: datetime | None) -> str:
    """Return a moment to the second, with its offset."""
    return time.isoformat(" ", "seconds") if time else ""
