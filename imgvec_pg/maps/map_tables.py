"""Write a map where SQL can join it: imgvec.map_<collection>, and read how it was made."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, needing, one_line, pinned_search_path, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.maps.clusters import Labels
from imgvec_pg.maps.layout import Floats
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.search_functions import MAP_RELATIONS, dropping_map, map_relation_parts

NEEDED = "the first map takes the owner of the schema imgvec, later ones imgvec_worker"


@dataclass(frozen=True)
class Placed:
    """Rows and where they lie.

    Attributes:
        keys: JSON objects as text.
        versions: Shape (n,).
        times: When their vectors were embedded, in microseconds since 2000, shape (n,).
        places: Shape (n, 2).
        clusters: Shape (n,).
        landmarks: Whether each was placed by all landmarks together, shape (n,).
    """

    keys: Sequence[bytes]
    versions: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    places: Floats
    clusters: Labels
    landmarks: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NamedCluster:
    """A cluster: its name, and where that belongs."""

    number: int
    name: str
    x: float
    y: float


@dataclass(frozen=True)
class MapRun:
    """How a map was made.

    Attributes:
        method: "t-SNE" or "PCA".
        rows: Points that it wrote.
        pictures: Different vectors among them.
        landmarks: Those that t-SNE placed.
        silhouette: Of the clusters, -1 to 1; None where there is one.
        named_by: What names the clusters: "words", "column category" or "numbers".
        ended_at: Its moment; None before it is written.
    """

    method: str
    rows: int
    pictures: int
    landmarks: int
    silhouette: float | None
    named_by: str
    ended_at: datetime | None = None


@dataclass(frozen=True)
class MapState:
    """The map as it is now, for this role.

    Attributes:
        points: Points that it sees.
        later: Those of them that were placed after the run.
        embedded: Embedded rows that it sees.
    """

    run: MapRun
    points: int
    later: int
    embedded: int

    @property
    def is_old(self) -> bool:
        """Whether more than half of its points were placed after the run."""
        return self.later * 2 > self.points


def map_parts(connection: Connection, collection: Collection) -> dict[str, sql.Composable]:
    """Return the `{parts}` of the SQL files about maps."""
    key = collection.key_sql
    point = ("imgvec", MAP_RELATIONS["map_point_table"].format(collection.name))
    return {
        **collection.parts(vector_schema(connection)),
        **map_relation_parts(collection.name),
        "e_equals_point": key.equal("e", point),
        "e_equals_k": key.equal("e", "k"),
        "p_equals_k": key.equal("p", "k"),
        "p_key": key.json("p"),
        "p_keys": key.columns("p"),
        "k_keys": key.columns("k"),
        "map_comment": sql.Literal(
            f"{collection.shown_source} as points of a plane, like beside like, as imgvec map {collection.name} placed them"
        ),
    }


def has_map(connection: Connection, collection: Collection) -> bool:
    """Whether a collection has a map."""
    return _state(connection, collection)[0]


def prepare_map(connection: Connection, collection: Collection) -> None:
    """Make tables, policies, view and grants unless they are there, so that nothing is computed in vain.

    Raises:
        CollectionError: Something else has the name of one.
        DatabaseError: The role may not make or fill them.
    """
    is_whole, may_write = _state(connection, collection)
    if is_whole and not may_write:
        raise DatabaseError(
            f"the role {connection.info.user} may not write the map of collection {collection.name}; it takes "
            "imgvec_worker, or the owner of the schema imgvec"
        )
    if is_whole:
        return
    try:
        with needing(connection, NEEDED), connection.transaction(), pinned_search_path(connection):
            connection.execute(dropping_map(collection.name))
            connection.execute(render("collection/map_relations.sql", **map_parts(connection, collection)))
    except (
        psycopg.errors.DuplicateTable,
        psycopg.errors.DuplicateColumn,
        psycopg.errors.WrongObjectType,
    ) as error:
        raise CollectionError(
            f"the map of collection {collection.name} cannot be kept ({one_line(error)}); "
            "rename what has that name. Nothing was changed"
        ) from error


def write_map(
    connection: Connection,
    collection: Collection,
    placed: Placed,
    clusters: Sequence[NamedCluster],
    run: MapRun,
    condition: str | None,
) -> int:
    """Replace a collection's map, in one transaction; returns how many points were written: of rows still as they were read.

    Raises:
        DatabaseError: The role lacks a right.
        CollectionError: The collection, or its map, was dropped meanwhile.
    """
    with _writing(connection, collection) as parts:
        connection.execute(render("collection/empty_map.sql", **parts))
        written = _insert(connection, parts, placed, is_later=False)
        statement = render("collection/insert_cluster.sql", **bindable(parts))
        for one in clusters:
            connection.execute(statement, {"cluster": one.number, "name": one.name, "x": one.x, "y": one.y})
        connection.execute(
            render("collection/insert_map_run.sql", **bindable(parts)),
            {
                "method": run.method,
                "row_count": written,
                "picture_count": run.pictures,
                "landmark_count": run.landmarks,
                "silhouette": run.silhouette,
                "named_by": run.named_by,
                "condition": condition,
            },
        )
    return written


def add_points(connection: Connection, collection: Collection, placed: Placed, since: datetime | None) -> int:
    """Add points to a map, in one transaction; returns how many were written.

    Args:
        since: The run that they were placed by.

    Raises:
        DatabaseError: The role lacks a right, or the map was made anew meanwhile.
        CollectionError: The collection, or its map, was dropped meanwhile.
    """
    with _writing(connection, collection) as parts:
        run = read_run(connection, parts)
        if run is None or run.ended_at != since:
            raise DatabaseError(
                f"the map of collection {collection.name} was made anew meanwhile; run this again. Nothing was changed"
            )
        return _insert(connection, parts, placed, is_later=True)


def map_state(connection: Connection, collection: Collection) -> MapState:
    """Return how the map was made, and how much of it this role sees.

    Raises:
        CollectionError: There is none.
        DatabaseError: The role may not read it.
    """
    if has_map(connection, collection):
        parts = map_parts(connection, collection)
        needed = f"it takes SELECT on imgvec.map_{collection.name}, as imgvec_reader has it"
        with needing(connection, needed):
            run = read_run(connection, parts)
            counted = connection.execute(render("collection/count_points.sql", **parts)).fetchone()
        if run is not None and counted is not None:
            return MapState(run, *map(int, counted))
    raise CollectionError(
        f"collection {collection.name} has no map yet; make it with: imgvec map {collection.name}"
    )


def read_run(connection: Connection, parts: Mapping[str, sql.Composable]) -> MapRun | None:
    """Return how the map was made; None where its tables are empty."""
    row = connection.execute(render("collection/read_map_run.sql", **parts)).fetchone()
    return None if row is None else MapRun(*row)


def read_condition(connection: Connection, parts: Mapping[str, sql.Composable]) -> str | None:
    """Return the condition that the map's rows meet; for whoever may write it."""
    row = connection.execute(render("collection/read_map_condition.sql", **parts)).fetchone()
    return None if row is None else row[0]


@contextmanager
def _writing(connection: Connection, collection: Collection) -> Iterator[dict[str, sql.Composable]]:
    parts = map_parts(connection, collection)
    try:
        with needing(connection, NEEDED), connection.transaction():
            connection.execute(load_sql("queries/lock_map.sql"), {"collection_id": collection.id})
            yield parts
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise CollectionError(
            f"collection {collection.name}, or its map, was dropped or changed meanwhile ({one_line(error)}); nothing was written"
        ) from error


def _insert(
    connection: Connection, parts: Mapping[str, sql.Composable], placed: Placed, *, is_later: bool
) -> int:
    connection.execute(load_sql("queries/map_input.sql"))
    with connection.cursor().copy(
        "COPY pg_temp.imgvec_placed (key_text, x, y, cluster, is_landmark, is_later, version, microseconds)"
        " FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["text", "float4", "float4", "int4", "bool", "bool", "int8", "int8"])
        columns = (
            placed.places[:, 0],
            placed.places[:, 1],
            placed.clusters,
            placed.landmarks,
            placed.versions,
            placed.times,
        )
        for key, x, y, cluster, is_landmark, version, time in zip(
            placed.keys, *(column.tolist() for column in columns), strict=True
        ):
            copy.write_row((key.decode(), x, y, cluster, is_landmark, is_later, version, time))
    connection.execute(load_sql("queries/analyze_map_input.sql"))
    return connection.execute(render("collection/insert_points.sql", **parts)).rowcount


def _state(connection: Connection, collection: Collection) -> tuple[bool, bool]:
    """Return what queries/map_state.sql tells."""
    names = [pattern.format(collection.name) for pattern in MAP_RELATIONS.values()]
    row = connection.execute(load_sql("queries/map_state.sql"), {"names": names}).fetchone()
    return (bool(row[0]), bool(row[1])) if row else (False, False)
