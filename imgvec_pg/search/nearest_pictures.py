"""Different pictures instead of rows: of each picture one row, and how many have it (sql/collection/nearest_pictures.sql)."""

from collections.abc import Sequence

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.search.bit_index import call_bits
from imgvec_pg.search.query_types import Float32Array, RowKey
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.pictures.content_index_state import has_content_index
from imgvec_pg.store.queue.jobs import Key

Parts = dict[str, sql.Composable]


def picture_parts(
    connection: Connection,
    collection: Collection,
    target: Float32Array | RowKey,
    schema: str,
    shown: Sequence[sql.Composable],
    without: Sequence[Key],
) -> tuple[Parts, dict[str, object]]:
    """Return the parts of nearest_pictures.sql that nearest.sql has not, and their values.

    Args:
        schema: The schema that holds the vector extension.
        shown: Columns of the source as JSON.
        without: Rows that are neither found nor counted, besides one that is searched with.
    """
    parts, values = call_bits(collection, target, schema)
    key = collection.key_sql
    if without:
        known = sql.SQL("NOT ({} OPERATOR(pg_catalog.=) ANY (%(without)s::pg_catalog.jsonb[]))")
        e_key = bindable({"e_key": key.json("e")})["e_key"]
        parts["e_is_other"] = sql.SQL(" AND ").join([parts["e_is_other"], known.format(e_key)])
    own = {
        "shown": after_others(shown),
        "e_equals_n": key.equal("e", "n"),
        "fence": sql.SQL("OFFSET 0" if has_content_index(connection, collection) else ""),
    }
    return {**parts, **bindable(own)}, values


def nearest_pictures(
    parts: Parts, near_call: sql.Composable, collection: Collection, *, exact: bool
) -> sql.Composed:
    """Return the statement over all rows, or over %(candidates)s rows or pictures in the index's order."""
    if exact:
        near_rows = render("collection/pictures_exact.sql", **parts)
    elif collection.quantization is not None:
        near_rows = render("collection/pictures_candidates_bit.sql", **parts)
    elif collection.by_picture:
        near_rows = render("collection/pictures_candidates_by_picture.sql", **parts)
    else:
        near_rows = render("collection/pictures_candidates.sql", **parts, near_call=near_call)
    shown = render("collection/shown_pictures.sql", **parts)
    # A collection's own near_rows are those of near_*.
    filled = {**parts, "near_rows": near_rows, "shown_pictures": shown}
    return render("collection/nearest_pictures.sql", **filled)


def after_others(columns: Sequence[sql.Composable]) -> sql.Composable:
    """Return columns as they follow others in a SELECT."""
    return sql.SQL("").join([sql.SQL(", ") + column for column in columns])
