"""The collection that an alias is to be switched to: one that is there, or a new one like the present one."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console

from imgvec_pg.cli.commands.collection.create import enqueue_rows, print_estimate
from imgvec_pg.cli.commands.collection.spec_options import NO_BANDS
from imgvec_pg.cli.output.progress import count_progress
from imgvec_pg.database.connect import Connection
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.hub.hub_name import is_hub_name
from imgvec_pg.embedding.matryoshka import split_name
from imgvec_pg.embedding.weights import MISSING, where_weights_are
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.images.rendering.bands import Bands
from imgvec_pg.store.aliases import Alias, require_same_source
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.estimate import estimate_collection
from imgvec_pg.store.index.radius_index import count_embedded, create_radius_index, radius_index_state
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.registry import find_collections, get_collection
from imgvec_pg.store.spec import CollectionSpec
from imgvec_pg.store.switch import count_missing_beside
from imgvec_pg.text import counted

LONGEST_NAME = 40


@dataclass(frozen=True)
class Successor:
    """Exactly one of `existing` and `spec` is given."""

    model_name: str
    existing: Collection | None = None
    spec: CollectionSpec | None = None


def choose_successor(
    connection: Connection,
    present: Collection,
    to: str | None,
    alias: str,
    name: str | None,
    *,
    bands: Bands | None = None,
) -> Successor:
    """Find the collection that `to`, its name or a model, means, or say what to create; changes nothing.

    Args:
        to: None for the model of the present one.
        bands: That the new collection shows; None for those of the present one.

    Raises:
        ModelNotFoundError: It is neither.
        CollectionError: It is there and cannot follow.
    """
    named = [] if to is None else find_collections(connection, to)
    shown = tuple(present.bands if bands is None else bands)
    is_same = shown == tuple(present.bands)
    if named:
        target = named[0]
        if target.id == present.id:
            raise CollectionError(f"{alias} points to {present.name} already")
        require_same_source(present, target)
        if bands is not None:
            _require_bands(target, bands)
        return Successor(target.model_name, existing=target)
    model = describe_model(to or present.model_name)
    if model.name == present.model_name and name is None and is_same:
        raise CollectionError(
            f"{alias} is embedded by {model.name} already ({present.name}); other weights of it are another model: "
            "name them local-dir:/path, or say --name COLLECTION to embed once more"
        )
    wanted = name or new_name(alias, model.name, None if is_same else shown)
    there = find_collections(connection, wanted)
    if there:
        if there[0].model_name != model.name:
            raise CollectionError(
                f"collection {wanted} is embedded by {there[0].model_name}, not by {model.name}; choose a name with --name"
            )
        require_same_source(present, there[0])
        _require_bands(there[0], shown)
        return Successor(model.name, existing=there[0])
    # The source by its name of today, or the one error that says it is gone.
    source = present.source.as_string(connection)
    spec = replace(present.spec(), name=wanted, source=source, bands=shown).by_model(model.name)
    # Checks it all, as creating it would.
    estimate_collection(connection, spec)
    return Successor(model.name, spec=spec)


def _require_bands(there: Collection, bands: Bands) -> None:
    if list(there.bands) != list(bands):
        has, wanted = (",".join(map(str, shown)) or NO_BANDS for shown in (there.bands, bands))
        raise CollectionError(
            f"collection {there.name} has bands {has}, not {wanted}; choose a name with --name"
        )


def new_name(alias: str, model_name: str, bands: Bands | None = None) -> str:
    """Return "product_vit_so400m_14_siglip_384": the alias, the architecture, and the bands where these are others.

    Raises:
        UsageError: That is too long to name a collection.
    """
    short = split_name(model_name)
    base = model_name if short is None else short.base
    architecture = base.removeprefix("timm/").removeprefix("local-dir:").rstrip("/")
    # Of a path and of a repository of the hub the last part names the model, elsewhere the first.
    is_last = architecture.startswith("/") or is_hub_name(base)
    architecture = architecture.split("@")[0].split("/")[-1] if is_last else architecture.split("/")[0]
    if short is not None:
        architecture += f"_{short.dimensions}"
    slug = re.sub(r"[^a-z0-9]+", "_", architecture.lower()).strip("_")
    name = f"{alias}_{slug}"
    if bands is not None:
        name += f"_bands_{'_'.join(map(str, bands)) or NO_BANDS}"
    if len(name) > LONGEST_NAME:
        raise UsageError(f"say what to call the new collection: --name NAME ({name} would be too long)")
    return name


def make_successor(connection: Connection, plan: Successor, lock_timeout_ms: int) -> Collection:
    """Return the collection, made and its rows enqueued where it was not there."""
    if plan.spec is None:
        assert plan.existing is not None  # noqa: S101 - one of the two is given
        with count_progress(Console(stderr=True), "filing rows") as progress:
            list_source(connection, plan.existing, progress)
        return plan.existing
    made = create_collection(connection, plan.spec, lock_timeout_ms=lock_timeout_ms)
    enqueued = enqueue_rows(connection, made)
    click.echo(f"collection {made.name} made beside it; {counted(enqueued, 'row')} enqueued", err=True)
    return get_collection(connection, made.name)


def print_plan(
    connection: Connection, alias: Alias, present: Collection, plan: Successor, weights: Path | None = None
) -> None:
    """Say what a switch would do.

    Args:
        weights: A file given for the new model.
    """
    if plan.spec is not None:
        print_estimate(estimate_collection(connection, plan.spec), plan.spec)
        place = where_weights_are(describe_model(plan.model_name)) if weights is None else str(weights)
        if place.startswith(MISSING):
            click.echo(f"the weights of {plan.model_name} are {place}")
    else:
        assert plan.existing is not None  # noqa: S101 - one of the two is given
        missing = count_missing_beside(connection, present, plan.existing)
        click.echo(
            f"collection {plan.existing.name} is there; {missing.rows:,} rows of {present.name} have no vector in it"
        )
    target = plan.spec.name if plan.spec else plan.existing.name if plan.existing else ""
    click.echo(f"then {alias.name} would be switched from {present.name} to {target}; nothing was changed")


def follow_radius_index(connection: Connection, present: Collection, target: Collection) -> Collection:
    """Give the collection that an alias is switched to a radius index where the present one has one: within_* stay as fast."""
    if not present.has_radius_index or target.has_radius_index:
        return target
    # Of no rows there are no axes; an alias may be switched to an empty collection all the same.
    if radius_index_state(connection, target).hides_rows or not count_embedded(connection, target):
        return target
    made = create_radius_index(connection, target)
    click.echo(f"  {target.name} has a radius index now, as {present.name} has", err=True)
    return made
