"""Read a map to draw it: points with their colours, clusters, and which row lies at a place."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, needing, one_line
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.errors import UsageError
from imgvec_pg.maps.colours import CATEGORIES, OTHER, SCALE, Colour, cluster_colours, css, scale_colours
from imgvec_pg.maps.layout import Floats
from imgvec_pg.maps.map_tables import MapState, NamedCluster, has_map, map_parts, map_state
from imgvec_pg.search.filters import find_filters
from imgvec_pg.search.query_types import dump_keys
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.guarded_columns import printed
from imgvec_pg.store.queue.jobs import Key

FIELDS = np.dtype([("x", ">f4"), ("y", ">f4"), ("cluster", ">i4"), ("value", ">f8")])
"""A point as read_points.sql has it."""
SHOWN_VALUES = 9
"""Values of a column that have a colour; all others share one."""


@dataclass(frozen=True)
class ColouredMap:
    """A map to draw.

    Attributes:
        places: Shape (n, 2).
        clusters: Number of each point's cluster, shape (n,).
        colours: Shape (n, 3).
        named: The clusters.
        cluster_colours: By their numbers.
        by: What it is coloured by: "cluster", or a column.
        legend: Names and colours, where those are of values of a column; ends of a scale first and last.
        is_scale: Whether they are of numbers.
    """

    state: MapState
    places: Floats
    clusters: npt.NDArray[np.int32]
    colours: npt.NDArray[np.uint8]
    named: Sequence[NamedCluster]
    cluster_colours: dict[int, Colour]
    by: str
    legend: Sequence[tuple[str, str]]
    is_scale: bool


def read_map(connection: Connection, collection: Collection, by: str = "cluster") -> ColouredMap:
    """Read the points that this role sees, with colours by cluster or by a column of the source.

    Raises:
        CollectionError: There is no map.
        UsageError: There is no such column to colour by.
        DatabaseError: The role may not read the map, or the source.
    """
    state = map_state(connection, collection)
    parts = map_parts(connection, collection)
    needed = f"it takes SELECT on imgvec.map_{collection.name} and on {collection.shown_source}"
    with needing(connection, needed), connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        named = [
            NamedCluster(*row) for row in connection.execute(render("collection/read_clusters.sql", **parts))
        ]
        legend: list[tuple[str, str]] = []
        is_scale = False
        if by == "cluster":
            points = _points(connection, parts, sql.SQL("'NaN'"), sql.SQL(""))
        else:
            points, colours, legend, is_scale = _by_column(connection, collection, parts, by)
    places = np.stack([points["x"], points["y"]], axis=1).astype(np.float32)
    clusters = points["cluster"].astype(np.int32)
    named = _numbered(named, clusters, places)
    own = cluster_colours(named)
    if by == "cluster":
        table = np.zeros((max(own, default=0) + 1, 3), dtype=np.uint8)
        for number, colour in own.items():
            table[number] = colour
        colours = table[clusters]
    return ColouredMap(state, places, clusters, colours, named, own, by, legend, is_scale)


def colour_columns(connection: Connection, collection: Collection) -> list[str]:
    """Return the columns of the source that a map can be coloured by."""
    return [one.name for one in find_filters(connection, collection)]


@dataclass(frozen=True)
class RowAt:
    """The row at a place: its key, its cluster, and how many rows lie exactly there."""

    key: Key
    cluster: int
    copies: int


def rows_at(
    connection: Connection, collection: Collection, places: Floats | Sequence[tuple[float, float]]
) -> list[RowAt | None]:
    """Return a row at each place, shape (n, 2), exactly as it was read; None where this role sees none (any more)."""
    parts = bindable(map_parts(connection, collection))
    found: list[RowAt | None] = [None] * len(places)
    values = {"x": [float(x) for x, _ in places], "y": [float(y) for _, y in places]}
    for position, key, cluster, copies in connection.execute(
        render("collection/keys_at_places.sql", **parts), values
    ):
        found[position - 1] = RowAt(key, cluster, copies)
    return found


def place_of_row(connection: Connection, collection: Collection, key: Key) -> tuple[float, float] | None:
    """Return where a row lies on the map; None where there is no map, or this role sees no point of the row."""
    if not has_map(connection, collection):
        return None
    statement = render("collection/place_of_row.sql", **bindable(map_parts(connection, collection)))
    try:
        row = connection.execute(statement, {"key": dump_keys(key)}).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return None if row is None else (float(row[0]), float(row[1]))


def _numbered(
    named: Sequence[NamedCluster], clusters: npt.NDArray[np.int32], places: Floats
) -> list[NamedCluster]:
    """Add the clusters whose names this role may not read: numbered, in the middle of the points that it sees."""
    known = {one.number: one for one in named}
    for number in np.unique(clusters).tolist():
        if number not in known:
            x, y = np.median(places[clusters == number], axis=0).tolist()
            known[number] = NamedCluster(number, f"cluster {number}", x, y)
    return [known[number] for number in sorted(known)]


def _by_column(
    connection: Connection, collection: Collection, parts: dict[str, sql.Composable], by: str
) -> tuple[Any, npt.NDArray[np.uint8], list[tuple[str, str]], bool]:
    columns = {one.name: one.kind for one in find_filters(connection, collection)}
    if by not in columns:
        raise UsageError(
            f'there is no column "{by}" to colour by; expected cluster or one of {", ".join(columns) or "none"}'
        )
    column = sql.Identifier("s", by)
    joined = sql.SQL("JOIN {} AS s ON {}").format(collection.rows, collection.key_sql.equal("p", "s"))
    try:
        if columns[by] in {"number", "date"}:
            number = sql.SQL("EXTRACT(epoch FROM {})" if columns[by] == "date" else "{}").format(column)
            value = sql.SQL("coalesce(({})::double precision, 'NaN')").format(number)
            points = _points(connection, parts, value, joined)
            colours, low, high = scale_colours(points["value"].astype(np.float64))
            ends = [_moment(end) if columns[by] == "date" else f"{end:g}" for end in (low, high)]
            first, *middle, last = (css(colour) for colour in SCALE)
            return points, colours, [(ends[0], first), *(("", one) for one in middle), (ends[1], last)], True
        text = printed(column)
        common = render(
            "collection/common_values.sql", **bindable({**parts, "value": text, "joined": joined})
        )
        values = [str(row[0]) for row in connection.execute(common, {"limit": SHOWN_VALUES})]
        place = sql.SQL("coalesce(array_position({}::text[], {}), 0)").format(sql.Literal(values), text)
        points = _points(connection, parts, place, joined)
    except psycopg.DataError as error:
        raise UsageError(
            f'the column "{by}" cannot be coloured by ({one_line(error)}); choose another'
        ) from error
    palette = np.array([OTHER, *CATEGORIES], dtype=np.uint8)
    numbers = points["value"].astype(np.intp)
    legend = [(value, css(CATEGORIES[number])) for number, value in enumerate(values)]
    return points, palette[numbers], legend + ([("other", css(OTHER))] if (numbers == 0).any() else []), False


def _points(
    connection: Connection, parts: dict[str, sql.Composable], value: sql.Composable, joined: sql.Composable
) -> npt.NDArray[Any]:
    statement = render("collection/read_points.sql", **{**parts, "value": value, "joined": joined})
    row = connection.cursor(binary=True).execute(statement).fetchone()
    return np.frombuffer(b"" if row is None or row[0] is None else row[0], dtype=FIELDS)


def _moment(seconds: float) -> str:
    """Return a day of UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g}"
