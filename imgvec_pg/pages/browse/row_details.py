"""One row: its columns, how many rows have its picture, its near-duplicates, and what else is like it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.duplicates.review import group_of_row
from imgvec_pg.duplicates.thresholds import default_threshold
from imgvec_pg.maps.read_map import place_of_row
from imgvec_pg.pages.browse.cards import RowCard, make_card
from imgvec_pg.search.display_columns import default_columns
from imgvec_pg.search.formatting import show_value
from imgvec_pg.search.nearest import NearestOptions, Neighbour, find_nearest
from imgvec_pg.search.query_types import dump_keys
from imgvec_pg.search.rows import find_row, parse_key
from imgvec_pg.search.transaction import read_only_transaction, shown_columns
from imgvec_pg.store.collection import Collection

ALIKE = 12
DUPLICATES = 24
MOST_COLUMNS = 200


@dataclass(frozen=True)
class RowDetails:
    """What the page of a row shows.

    Attributes:
        columns: Every column that is short to print and that the role may read, the key's first.
        copies: Rows that have its picture, itself among them.
        duplicates: Other rows, copies among them, within `within` of cosine distance, which may be other than duplicates.
        alike: The nearest different pictures.
        place: Where it lies on the map, as the map's page takes it: "x,y"; "" where it does not.
        group: Of near-duplicates that it belongs to; None for none.
    """

    card: RowCard
    columns: Mapping[str, str]
    copies: int
    duplicates: Sequence[RowCard]
    within: float
    alike: Sequence[RowCard]
    place: str
    group: int | None


def read_details(connection: Connection, collection: Collection, text: str) -> RowDetails:
    """Read a row and its surroundings.

    Args:
        text: Its key, as `key_in_url` writes it.

    Raises:
        UsageError, CollectionError: There is no such row, or it is not embedded.
        DatabaseError: The role may not read it.
    """
    row = find_row(connection, collection, parse_key(collection, text))
    names = default_columns(connection, collection, MOST_COLUMNS)
    few = names[:6]
    parts = bindable(
        {**collection.parts(vector_schema(connection)), **shown_columns(connection, collection, names)}
    )
    parts["shown"] = sql.SQL(", ") + parts["shown"] if names else sql.SQL("")
    statement = render("collection/row_columns.sql", **parts)
    with read_only_transaction(connection, collection) as cursor:
        found = cursor.execute(statement, {"key": dump_keys(row.key)}).fetchone()
    copies = max(1, int(found[0])) if found is not None else 1
    columns = dict(zip(names, found[1:] if found is not None else [None] * len(names), strict=True))
    within = round(1 - default_threshold(collection.model_name)[0], 6)
    near = NearestOptions(DUPLICATES, columns=few, max_distance=within)
    alike = NearestOptions(ALIKE, columns=few, distinct=True)
    keys = {name: str(value) for name, value in row.key.items()}
    return RowDetails(
        make_card(Neighbour(row.key, -1.0, {name: columns[name] for name in few}, copies)),
        {**keys, **{name: show_value(value) for name, value in columns.items()}},
        copies,
        [make_card(other) for other in find_nearest(connection, collection, row, near).rows],
        within,
        [make_card(other) for other in find_nearest(connection, collection, row, alike).rows],
        ",".join(map(repr, place_of_row(connection, collection, row.key) or ())),
        group_of_row(connection, collection, row.key),
    )
