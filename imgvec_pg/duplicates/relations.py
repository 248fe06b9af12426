"""Write pairs and groups where SQL can join them: imgvec.duplicate_<collection> and imgvec.duplicate_group_<collection>."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, needing, one_line, pinned_search_path, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.duplicates.keeper import KeepRule, keep_parts
from imgvec_pg.duplicates.only_run import StillOnly
from imgvec_pg.duplicates.pairs import Pairs
from imgvec_pg.duplicates.staging import distances_of, group_rows, stage
from imgvec_pg.duplicates.vector_rows import VectorRows, own_sql
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.key_sql import KeySql
from imgvec_pg.store.search_functions import RELATIONS, dropping_duplicates, relation_parts

TRIES = 3
NEEDED = "the first run takes the owner of the schema imgvec, later ones imgvec_worker"


@dataclass(frozen=True)
class WrittenDuplicates:
    """Counts of one run.

    Attributes:
        pairs: Rows of the pair table, decided ones too.
        groups: Groups of two or more.
        members: Rows in groups.
        changed: Rows of pairs that changed or went while the search ran, and so are in no pair.
    """

    pairs: int
    groups: int
    members: int
    changed: int


def write_duplicates(
    connection: Connection,
    collection: Collection,
    rows: VectorRows,
    pairs: Pairs,
    rules: Sequence[KeepRule],
    linkage: str,
    still_only: StillOnly,
    note: Callable[[dict[str, sql.Composable]], None] = lambda parts: None,
) -> WrittenDuplicates:
    """Replace a collection's pairs and groups, in one transaction; the relations are made where they are not there.

    Args:
        linkage: As `groups.link` takes it.
        still_only: Called last within the transaction.
        note: Called within the transaction, to write what belongs to it.

    Raises:
        DatabaseError: The role lacks a right.
        CollectionError: Something else has the name of a relation.
        UsageError: PostgreSQL does not take a rule.
    """

    def write(parts: dict[str, sql.Composable]) -> WrittenDuplicates:
        # First: from the writing of pairs on, whoever deletes one of their rows waits for this transaction.
        note(parts)
        return _write(connection, parts, rows, pairs, rules, linkage)

    return in_one_transaction(connection, collection, rules, write, still_only)


def in_one_transaction(
    connection: Connection,
    collection: Collection,
    rules: Sequence[KeepRule],
    write: Callable[[dict[str, sql.Composable]], WrittenDuplicates],
    still_only: StillOnly,
) -> WrittenDuplicates:
    """Write in one transaction, while the run is the only one.

    Again where a row went between the statement that looked it up and the one that refers to it.

    Raises:
        DatabaseError: The role lacks a right.
        UsageError: PostgreSQL does not take a rule.
    """
    needed = f"{NEEDED}, and SELECT on {collection.shown_source}"
    texts = ", ".join(rule.shown for rule in rules) or None
    parts = duplicate_parts(collection, vector_schema(connection))
    for attempt in range(TRIES):
        try:
            with needing(connection, needed), own_sql(texts, "rules", collection), connection.transaction():
                written = write(parts)
                still_only()
                return written
        except (psycopg.errors.ForeignKeyViolation, psycopg.errors.DeadlockDetected):
            # Of an application that deletes several rows of pairs in another order.
            if attempt + 1 == TRIES:
                raise
    raise AssertionError


def _write(
    connection: Connection,
    parts: dict[str, sql.Composable],
    rows: VectorRows,
    pairs: Pairs,
    rules: Sequence[KeepRule],
    linkage: str,
) -> WrittenDuplicates:
    near = (pairs.first, pairs.second, distances_of(pairs.similarities))
    groups = group_rows(connection, rows.keys, rows.content_hashes, near, linkage)
    group_of = {row: number for number, group in enumerate(groups, 1) for row in group}
    taking_part = np.unique(np.concatenate([pairs.first, pairs.second])).tolist()
    found = stage(connection, parts, (rows.staged(row, group_of.get(row)) for row in taking_part), near)
    connection.execute(render("collection/empty_pairs.sql", **parts))
    written = connection.execute(render("collection/insert_duplicates.sql", **parts)).rowcount
    members = write_members(connection, parts, rules)
    return WrittenDuplicates(written, len(groups), members, len(taking_part) - found)


def write_members(connection: Connection, parts: dict[str, sql.Composable], rules: Sequence[KeepRule]) -> int:
    """Have the members of groups be those that `stage` was given, keepers chosen by the rules; returns how many there are.

    Raises:
        psycopg.Error: PostgreSQL does not take a rule, or a row went meanwhile.
    """
    placed = connection.execute(render("collection/place_members.sql", **{**parts, **keep_parts(rules)}))
    connection.execute("ANALYZE pg_temp.imgvec_member")
    connection.execute(render("collection/delete_members.sql", **parts))
    connection.execute(render("collection/insert_members.sql", **parts))
    return placed.rowcount


def prepare_relations(connection: Connection, collection: Collection) -> None:
    """Make tables, policies, views and grants unless they are there, so that nothing is compared in vain.

    Raises:
        CollectionError: Something else has the name of one.
        DatabaseError: The role may not make or fill them, or the schema is older than decisions.
    """
    row = _state(connection, collection)
    if row is None or not row[0]:
        raise DatabaseError(
            "this database's schema has no decisions about duplicates yet; run: imgvec migrate"
        )
    # Of an older version, or half of them: all are made anew, which takes their owner.
    is_whole = row[1] and row[3]
    if row[1] and not row[3] and not _has_any_table(connection, collection):
        view = RELATIONS["duplicate_view"].format(collection.name)
        raise CollectionError(
            f"the duplicates of collection {collection.name} cannot be kept: imgvec.{view} is something else's already, such as "
            "the groups of another collection; rename one of both. Nothing was changed"
        )
    if is_whole and not row[2]:
        raise DatabaseError(
            f"the role {connection.info.user} may not write the duplicates of collection {collection.name}; it takes "
            "imgvec_worker, or the owner of the schema imgvec"
        )
    if is_whole:
        return
    try:
        with needing(connection, NEEDED), connection.transaction(), pinned_search_path(connection):
            parts = duplicate_parts(collection, vector_schema(connection))
            if row[1]:
                connection.execute(dropping_duplicates(collection.name))
            connection.execute(render("collection/duplicate_relations.sql", **parts))
    except (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateColumn) as error:
        raise CollectionError(
            f"the duplicates of collection {collection.name} cannot be kept ({one_line(error)}); "
            "rename what has that name. Nothing was changed"
        ) from error


def _has_any_table(connection: Connection, collection: Collection) -> bool:
    name = RELATIONS["duplicate_pair_table"].format(collection.name)
    row = connection.execute(
        "SELECT pg_catalog.to_regclass('imgvec.' || pg_catalog.quote_ident(%s::text)) IS NOT NULL", [name]
    ).fetchone()
    return bool(row and row[0])


def has_relations(connection: Connection, collection: Collection) -> bool:
    """Whether all that a run makes for a collection is there."""
    row = _state(connection, collection)
    return row is not None and all((row[0], row[1], row[3]))


def may_write_relations(connection: Connection, collection: Collection) -> bool:
    """Whether all that a run makes for a collection is there, and this role may write, and so read, it."""
    row = _state(connection, collection)
    return row is not None and all(row)


def _state(connection: Connection, collection: Collection) -> tuple[bool, bool, bool, bool] | None:
    """Return what queries/duplicate_state.sql tells."""
    names = {part: pattern.format(collection.name) for part, pattern in RELATIONS.items()}
    values = {
        "view": names["duplicate_view"],
        "tables": [name for part, name in names.items() if part.endswith("_table")],
        "run_table": names["duplicate_run_table"],
    }
    return connection.execute(load_sql("queries/duplicate_state.sql"), values).fetchone()


def duplicate_parts(collection: Collection, vector: str) -> dict[str, sql.Composable]:
    """Return the `{parts}` of the SQL files about duplicates."""
    key, tables = collection.key_sql, relation_parts(collection.name)
    others = other_columns(collection.key_columns)
    pair = ("imgvec", RELATIONS["duplicate_pair_table"].format(collection.name))
    member = ("imgvec", RELATIONS["duplicate_member_table"].format(collection.name))

    def equal(left: str, right: tuple[str, ...], names: Sequence[str]) -> sql.Composed:
        return keys_equal(key, left, right, names)

    def listed(row: str, names: Sequence[str]) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier(row, name) for name in names)

    found: dict[str, sql.Composable] = {
        "other_keys": sql.SQL(", ").join(map(sql.Identifier, others)),
        "other_key_definitions": key_definitions(key, others),
        "p_other_keys": listed("p", others),
        "e_equals_pair": equal("e", pair, key.names),
        "e_equals_other": equal("e", pair, others),
        "e_equals_member": equal("e", member, key.names),
        "o_equals_p_other": equal("o", ("p",), others),
        "x_equals_p_other": equal("x", ("p",), others),
        "e_equals_p_other": equal("e", ("p",), others),
        "x_key": key.json("x"),
        "e_equals_k": equal("e", ("k",), key.names),
        "e_equals_m": equal("e", ("m",), key.names),
        "r_equals_m": equal("r", ("m",), key.names),
        **{f"{row}_keys": listed(row, key.names) for row in "pmabrk"},
        "pair_comment": sql.Literal(
            f"Pairs of near-duplicates of {collection.shown_source}, as imgvec duplicates {collection.name} found them"
        ),
        "group_comment": sql.Literal(
            f"Groups of near-duplicates of {collection.shown_source}: one row is the keeper"
        ),
    }
    return {**collection.parts(vector), **tables, **found}


def keys_equal(key: KeySql, left: str, right: tuple[str, ...], names: Sequence[str]) -> sql.Composed:
    """`left.a = right.other_a AND …`, with qualified operators."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} OPERATOR({}.=) {}").format(
            sql.Identifier(left, own), sql.Identifier(schema), sql.Identifier(*right, name)
        )
        for own, name, schema in zip(key.names, names, key.equality_schemas, strict=True)
    )


def key_definitions(key: KeySql, names: Sequence[str]) -> sql.Composed:
    """Return the definitions of columns of a key's types, under other names."""
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_name))
        for name, type_name in zip(names, key.source_types or key.type_names, strict=True)
    )


def other_columns(names: Sequence[str], beside: Sequence[str] = ()) -> list[str]:
    """Return what the columns of the second key are called: "other_id" for "id".

    Args:
        beside: Columns of the first key, where that is another's.
    """
    prefix = "other_"
    while any(prefix + name in (*names, *beside) for name in names):
        prefix += "_"
    return [prefix + name for name in names]


def deletion(collection: Collection, *, near_keeper: bool) -> str:
    """Return a statement by which an application may delete what is not kept. Nobody runs it here.

    Args:
        near_keeper: Only rows that are a pair with their keeper; of groups by complete linkage all are. Where a collection is
            divided by tenant, only rows of their keeper's tenant, too.
    """
    key, relations = collection.key_sql, relation_parts(collection.name)
    statement = sql.SQL("DELETE FROM {} AS p USING imgvec.{} AS g WHERE NOT g.is_keeper AND {}").format(
        collection.source, relations["duplicate_group_view"], keys_equal(key, "p", ("g",), key.names)
    )
    if near_keeper or collection.partition_by is not None:
        statement += sql.SQL(
            " AND EXISTS (SELECT FROM imgvec.{} AS k JOIN imgvec.{} AS d ON {} WHERE k.is_keeper AND k.group_id = g.group_id)"
        ).format(
            relations["duplicate_group_view"],
            relations["duplicate_view"],
            pair_of(collection, "g", "k"),
        )
    return statement.as_string(None).replace(' OPERATOR("pg_catalog".=) ', " = ")


def pair_of(collection: Collection, one: str, other: str) -> sql.Composed:
    """Return the condition by which row d of the pairs is of two rows of one tenant, whichever is the first."""
    key, names = collection.key_sql, collection.key_sql.names
    others = other_columns(collection.key_columns)
    pair = sql.SQL("({} AND {} OR {} AND {})").format(
        keys_equal(key, one, ("d",), names),
        keys_equal(key, other, ("d",), others),
        keys_equal(key, other, ("d",), names),
        keys_equal(key, one, ("d",), others),
    )
    if collection.partition_by is None:
        return pair
    place = list(names).index(collection.partition_by)
    tenant = sql.SQL("{} OPERATOR({}.=) {}").format(
        sql.Identifier(one, names[place]),
        sql.Identifier(key.equality_schemas[place]),
        sql.Identifier(other, names[place]),
    )
    return sql.SQL("{} AND {}").format(tenant, pair)
