"""Make the map of a collection, and place its new rows on one that is there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import render
from imgvec_pg.duplicates.projection import Halves
from imgvec_pg.duplicates.vector_rows import VectorRows, one_moment, own_sql, read_restricted, read_vectors
from imgvec_pg.errors import CollectionError
from imgvec_pg.maps.clusters import Clusters, Labels, find_clusters
from imgvec_pg.maps.layout import (
    LANDMARKS,
    Floats,
    Indices,
    Layout,
    components,
    coordinates_of,
    distinct_vectors,
    lay_out,
    nearest_landmarks,
    place_among,
    usable_rows,
)
from imgvec_pg.maps.map_extra import require_module
from imgvec_pg.maps.map_tables import (
    MapRun,
    MapState,
    NamedCluster,
    Placed,
    add_points,
    map_parts,
    map_state,
    prepare_map,
    read_condition,
    write_map,
)
from imgvec_pg.maps.name_clusters import NameSource, name_clusters
from imgvec_pg.search.code_of_others import refuse_code_of_others
from imgvec_pg.store.collection import Collection

Told = Callable[[str], None]

SAMPLE_PICTURES = 5000
"""Pictures that names of clusters are found by."""


@dataclass(frozen=True)
class MapOptions:
    """What a map is asked for.

    Attributes:
        where: SQL condition over the source's columns.
        clusters: Their number, None for as many as fit best.
        names: What names them.
        landmarks: Pictures that t-SNE places at most.
        seed: The same gives the same map on the same machine.
        memory_bytes: What the process may take, about.
    """

    where: str | None = None
    clusters: int | None = None
    names: NameSource = field(default_factory=NameSource)
    landmarks: int = LANDMARKS
    seed: int = 0
    memory_bytes: int = 4 * 10**9


@dataclass(frozen=True)
class MadeMap:
    """A map as it was made.

    Attributes:
        points: Rows on it.
        skipped: Vectors without a direction.
        changed: Rows that changed or went while it was computed, and are not on it: `update_map` places them.
        clusters: With their numbers of rows.
    """

    run: MapRun
    points: int
    skipped: int
    changed: int
    clusters: Sequence[tuple[NamedCluster, int]]


@dataclass(frozen=True)
class UpdatedMap:
    """What an update did.

    Attributes:
        placed: Rows placed by their nearest landmarks.
        skipped: Vectors without a direction.
        changed: Rows that changed or went meanwhile.
        state: The map now.
    """

    placed: int
    skipped: int
    changed: int
    state: MapState


def make_map(
    connection: Connection, collection: Collection, options: MapOptions, told: Told = lambda step: None
) -> MadeMap:
    """Compute a map of all embedded rows, or of those that meet a condition, and put it in the place of an earlier one.

    Args:
        told: Called with each step as it begins.

    Raises:
        UsageError: An option is out of range, or PostgreSQL does not take the condition.
        CollectionError: No row is embedded, or the collection was dropped meanwhile.
        DatabaseError: The role lacks a right.
        MissingExtraError: The extra `map` is not installed.
    """
    for module in ("openTSNE", "sklearn"):
        require_module(module)
    with own_sql(options.where, "condition", collection):
        refuse_code_of_others(connection, collection, options.where)
    namer = name_clusters(connection, collection, options.names)
    prepare_map(connection, collection)
    told("reading vectors")
    rows = read_vectors(connection, collection, options.where, options.memory_bytes)
    usable = np.flatnonzero(usable_rows(rows.vectors))
    if not len(usable):
        raise CollectionError(nothing_to_place(collection, options.where))
    vectors = rows.vectors if len(usable) == len(rows.keys) else rows.vectors[usable]
    firsts, which = distinct_vectors(vectors)
    pictures = vectors if len(firsts) == len(vectors) else vectors[firsts]
    layout = lay_out(pictures, landmarks=options.landmarks, seed=options.seed, told=told)
    told("clusters")
    clusters = find_clusters(layout.coordinates, options.clusters, options.seed)
    sample = sample_of(len(pictures), options.seed)
    keys = [rows.keys[row] for row in usable[firsts[sample]]]
    names, named_by = namer(keys, unit(pictures[sample]), clusters.labels[sample], len(clusters.centres))
    named = placed_names(layout, clusters, names)
    is_landmark = np.zeros(len(pictures), dtype=np.bool_)
    is_landmark[layout.landmarks] = True
    # Of rows that share a picture one is the landmark: the others would only be found beside it.
    is_first = np.zeros(len(vectors), dtype=np.bool_)
    is_first[firsts] = True
    placed = _placed(
        rows, usable, layout.places[which], clusters.labels[which], is_landmark[which] & is_first
    )
    run = MapRun(
        layout.method, len(usable), len(pictures), len(layout.landmarks), clusters.silhouette, named_by
    )
    told("writing")
    written = write_map(connection, collection, placed, named, run, options.where)
    sizes = np.bincount(placed.clusters, minlength=len(named)).tolist()
    return MadeMap(
        run,
        written,
        len(rows.keys) - len(usable),
        len(usable) - written,
        list(zip(named, sizes, strict=True)),
    )


def update_map(
    connection: Connection,
    collection: Collection,
    memory_bytes: int = MapOptions.memory_bytes,
    told: Told = lambda step: None,
) -> UpdatedMap:
    """Place the rows that are new or were embedded anew since, each by its nearest landmarks; nothing else moves.

    Raises:
        CollectionError: There is no map, it has no landmark left, or it was dropped meanwhile.
        DatabaseError: The role lacks a right, or the map was made anew meanwhile.
        UsageError: PostgreSQL no longer takes the map's condition.
        MissingExtraError: The extra `map` is not installed.
    """
    require_module("sklearn")
    state = map_state(connection, collection)
    prepare_map(connection, collection)
    parts = map_parts(connection, collection)
    where = read_condition(connection, parts)
    with one_moment(connection, collection, where) as restriction:
        told("reading new rows")
        is_new = both(restriction, render("collection/is_not_placed.sql", **parts))
        rows = read_restricted(connection, collection, is_new, memory_bytes)
        usable = np.flatnonzero(usable_rows(rows.vectors))
        if not len(usable):
            return UpdatedMap(0, len(rows.keys), 0, state)
        told("reading landmarks")
        landmarks = read_landmarks(connection, collection, parts, memory_bytes)
    told(f"placing {len(usable):,} by their nearest of {len(landmarks.vectors):,}")
    axes = components(landmarks.vectors, np.arange(len(landmarks.vectors)))
    others = coordinates_of(rows.vectors[usable], axes)
    distances, nearest = nearest_landmarks(coordinates_of(landmarks.vectors, axes), others)
    places = place_among(landmarks.places, distances, nearest)
    placed = _placed(rows, usable, places, landmarks.clusters[nearest[:, 0]], np.zeros(len(usable), np.bool_))
    told("writing")
    written = add_points(connection, collection, placed, state.run.ended_at)
    after = map_state(connection, collection)
    return UpdatedMap(written, len(rows.keys) - len(usable), len(usable) - written, after)


def nothing_to_place(collection: Collection, where: str | None) -> str:
    """Say why there is no map."""
    if where is not None:
        return f"no embedded row of collection {collection.name} that this role may see matches the condition {where!r}"
    return (
        f"nothing is embedded in collection {collection.name} that this role may see; "
        f"run: imgvec backfill {collection.name}"
    )


def both(first: sql.Composable, second: sql.Composable) -> sql.Composed:
    """Return the conjunction of two conditions."""
    return sql.SQL("({}) AND ({})").format(first, second)


@dataclass(frozen=True)
class Landmarks:
    """What new rows are placed by: vectors, shape (n, d), places, shape (n, 2), and clusters, shape (n,)."""

    vectors: Halves
    places: Floats
    clusters: Labels


def read_landmarks(
    connection: Connection, collection: Collection, parts: Mapping[str, sql.Composable], memory_bytes: int
) -> Landmarks:
    """Return the landmarks that still have the vectors they were placed by.

    Raises:
        CollectionError: There is none.
    """
    rows = read_restricted(
        connection,
        collection,
        sql.SQL("{}").format(render("collection/is_landmark.sql", **parts)),
        memory_bytes,
    )
    found = {
        str(key).encode(): (x, y, cluster)
        for key, x, y, cluster in connection.execute(render("collection/copy_landmarks.sql", **parts))
    }
    known = [row for row, key in enumerate(rows.keys) if key in found]
    if not known:
        raise CollectionError(
            f"no row of the map of collection {collection.name} has the vector any more that it was placed by; "
            f"make it anew: imgvec map {collection.name}"
        )
    values = np.array([found[rows.keys[row]] for row in known], dtype=np.float64)
    return Landmarks(rows.vectors[known], values[:, :2].astype(np.float32), values[:, 2].astype(np.intp))


def sample_of(pictures: int, seed: int) -> Indices:
    """Return up to SAMPLE_PICTURES pictures, ascending, drawn by chance."""
    chosen: Indices = np.sort(np.random.default_rng(seed).permutation(pictures)[:SAMPLE_PICTURES])
    return chosen


def unit(vectors: Halves) -> Floats:
    """Return vectors as float32 of norm 1."""
    found = vectors.astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def placed_names(layout: Layout, clusters: Clusters, names: Sequence[str]) -> list[NamedCluster]:
    """Put each name at the landmark of its cluster that lies nearest to the median of them."""
    labels, places = clusters.labels[layout.landmarks], layout.places[layout.landmarks]
    found = []
    for number, name in enumerate(names):
        own = places[labels == number]
        if not len(own):
            own = layout.places[clusters.labels == number]
        middle = np.median(own, axis=0)
        x, y = own[np.argmin(((own - middle) ** 2).sum(axis=1))].tolist()
        found.append(NamedCluster(number, name, x, y))
    return found


def _placed(
    rows: VectorRows, usable: Indices, places: Floats, labels: Labels, landmarks: npt.NDArray[np.bool_]
) -> Placed:
    keys = [rows.keys[row] for row in usable.tolist()]
    return Placed(keys, rows.versions[usable], rows.times[usable], places, labels, landmarks)
