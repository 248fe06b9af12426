"""Different pictures instead of rows, as a FROM item: sql/collection/nearest_pictures.sql over any select."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC

from imgvec_pg.store.mixin import SCHEMA

DISTANCE, COPIES = "distance", "copies"
RANK, PICTURE, PLACE = "imgvec_rank", "imgvec_picture", "imgvec_place"


def embedding_table(name: str, key: Sequence[tuple[str, sa.types.TypeEngine[Any]]]) -> sa.FromClause:
    """Return a collection's embedding table with what searches read of it."""
    columns: list[sa.ColumnClause[Any]] = [sa.column(column, type_) for column, type_ in key]
    own = (sa.column("embedding", HALFVEC()), sa.column("content_hash", sa.LargeBinary()))
    return sa.table(f"{name}_embedding", *columns, *own, schema=SCHEMA)


def matching_keys(
    statement: sa.Select[Any], columns: Sequence[sa.ColumnElement[Any]], names: Sequence[str]
) -> sa.Subquery:
    """Return the keys of the rows that a select gives, under the names that the embedding table has for them."""
    labelled = [column.label(name) for column, name in zip(columns, names, strict=True)]
    keys = statement.with_only_columns(*labelled, maintain_column_froms=True)
    # How entities are loaded, of which there are none here.
    keys._with_options = ()
    return keys.subquery()


def fold_copies(
    found: sa.FromClause,
    table: sa.FromClause,
    names: Sequence[str],
    matching: sa.FromClause,
    *,
    k: int | None,
    is_other: Callable[[sa.FromClause], sa.ColumnElement[bool]] | None = None,
) -> sa.Subquery:
    """Return the nearest k different pictures: key columns, `distance` and `copies`.

    Args:
        found: Rows with key columns and `distance`, of those that match; one may come several times.
        table: The embedding table.
        matching: Keys of the rows that match: of a picture's rows among them the one with the smallest key is given, and they
            are counted.
        k: None for all.
        is_other: Whether a row of `table` is not the one that is searched with.
    """
    # Read twice, so PostgreSQL computes it once.
    ranked = _rank_pictures(found, table, names, k).cte()
    single = sa.select(
        *(ranked.c[name] for name in names),
        ranked.c[RANK].label(DISTANCE),
        sa.literal_column("1", sa.BigInteger()).label(COPIES),
    ).where(ranked.c[names[0]].is_not(None))
    shown = _shown_rows(ranked, table, names, matching, is_other)
    every = sa.union_all(shown, single).subquery("imgvec_every")
    if k is None:
        return every
    nearest = sa.select(every).order_by(every.c[DISTANCE], *(every.c[name] for name in names)).limit(k)
    return nearest.subquery("imgvec_pictures")


def _rank_pictures(
    found: sa.FromClause, table: sa.FromClause, names: Sequence[str], k: int | None
) -> sa.Select[Any]:
    """Select the nearest pictures: hash, distance and, of a row whose picture nobody knows, which is one by itself, its key."""
    own = table.alias("imgvec_own")
    is_alone = own.c.content_hash == sa.literal_column("''::pg_catalog.bytea", sa.LargeBinary())
    alone = [sa.case((is_alone, own.c[name])) for name in names]
    distance = sa.func.min(found.c[DISTANCE], type_=sa.Double())
    ranked = (
        sa.select(
            own.c.content_hash.label(PICTURE),
            *(column.label(name) for column, name in zip(alone, names, strict=True)),
            distance.label(RANK),
        )
        .select_from(found)
        .join(own, sa.and_(*(own.c[name] == found.c[name] for name in names)))
        .group_by(own.c.content_hash, *alone)
    )
    # Which of equally distant pictures has the smaller key is known only at the end.
    return ranked if k is None else ranked.order_by(sa.literal_column(RANK)).fetch(k, with_ties=True)


def _shown_rows(
    ranked: sa.FromClause,
    table: sa.FromClause,
    names: Sequence[str],
    matching: sa.FromClause,
    is_other: Callable[[sa.FromClause], sa.ColumnElement[bool]] | None,
) -> sa.Select[Any]:
    row = table.alias("imgvec_row")
    copies_of = sa.select(*(row.c[name] for name in names), row.c.content_hash).where(
        row.c.content_hash == ranked.c[PICTURE], sa.true() if is_other is None else is_other(row)
    )
    # A fence: where sorts are off, as in a scan of the HNSW index, PostgreSQL would rather read a whole index in order than sort
    # ten rows.
    copy = copies_of.offset(sa.literal_column("0")).lateral("imgvec_copy")
    keys = [copy.c[name] for name in names]
    # No DISTINCT ON, which SQLAlchemy 2.0 and 2.1 write in different ways.
    place = sa.func.row_number().over(partition_by=copy.c.content_hash, order_by=keys)
    copies = sa.func.count().over(partition_by=copy.c.content_hash)
    rows = (
        sa.select(*keys, ranked.c[RANK].label(DISTANCE), copies.label(COPIES), place.label(PLACE))
        .select_from(ranked)
        .join(copy, sa.true())
        .where(
            ranked.c[names[0]].is_(None),
            sa.exists().where(*(matching.c[name] == copy.c[name] for name in names)),
        )
    )
    placed = rows.subquery()
    return sa.select(*(placed.c[name] for name in (*names, DISTANCE, COPIES))).where(placed.c[PLACE] == 1)


def select_pictures(
    statement: sa.Select[Any],
    collection: str,
    names: Sequence[str],
    columns: Sequence[sa.ColumnElement[Any]],
    near: sa.FromClause,
    is_same: sa.ColumnElement[bool],
    k: int,
) -> sa.Select[Any]:
    """Return a select with its nearest k different pictures among rows of a collection, `distance` and `copies` last.

    Args:
        names, columns: The key in the collection and in the select.
        near: Rows with key columns and `distance`.
        is_same: Holds for all rows, or for none.
    """
    matching = matching_keys(statement, columns, names)
    inner = matching.alias()
    rows = sa.select(*(near.c[name] for name in names), near.c[DISTANCE]).where(
        *(near.c[name] == inner.c[name] for name in names), is_same
    )
    table = embedding_table(collection, [(name, sa.types.NullType()) for name in names])
    pictures = fold_copies(rows.subquery(), table, names, matching, k=k)
    same_key = (pictures.c[name] == column for name, column in zip(names, columns, strict=True))
    nearest = statement.add_columns(pictures.c[DISTANCE], pictures.c[COPIES]).where(*same_key)
    return nearest.order_by(pictures.c[DISTANCE], *columns)
