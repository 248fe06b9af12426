"""Write pairs and groups where SQL can join them: imgvec.duplicate_<collection> and imgvec.duplicate_group_<collection>."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, needing, one_line, pinned_search_path, vector_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.duplicates.groups import complete_linkage, without
from imgvec_pg.duplicates.keeper import KeepRule, keep_parts
from imgvec_pg.duplicates.pairs import Pairs
from imgvec_pg.duplicates.vector_rows import VectorRows, own_sql
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.search_functions import RELATIONS, relation_parts

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


@contextmanager
def only_search(connection: Connection, collection: Collection) -> Iterator[None]:
    """Hold a connection of its own in a transaction, idle, that tells other runs that one is going on.

    Raises:
        DatabaseError: Another run is.
    """
    with connection.transaction():
        row = connection.execute(
            load_sql("queries/lock_duplicates.sql"), {"collection_id": collection.id}
        ).fetchone()
        if row is None or not row[0]:
            raise DatabaseError(
                f"another imgvec duplicates {collection.name} runs already; wait for it, or stop that one. Nothing was changed"
            )
        yield


def write_duplicates(
    connection: Connection, collection: Collection, rows: VectorRows, pairs: Pairs, rules: Sequence[KeepRule]
) -> WrittenDuplicates:
    """Replace a collection's pairs and groups, in one transaction; the relations are made where they are not there.

    Raises:
        DatabaseError: The role lacks a right.
        CollectionError: Something else has the name of a relation.
        UsageError: PostgreSQL does not take a rule.
    """
    needed = f"{NEEDED}, and SELECT on {collection.shown_source}"
    texts = ", ".join(rule.shown for rule in rules) or None
    for attempt in range(TRIES):
        try:
            with needing(connection, needed), own_sql(texts, "rules", collection), connection.transaction():
                return _write(connection, collection, rows, pairs, rules)
        except psycopg.errors.ForeignKeyViolation:
            # A row went between the statement that looked it up and the one that refers to it.
            if attempt + 1 == TRIES:
                raise
    raise AssertionError


def _write(
    connection: Connection, collection: Collection, rows: VectorRows, pairs: Pairs, rules: Sequence[KeepRule]
) -> WrittenDuplicates:
    parts = duplicate_parts(collection, vector_schema(connection))
    negative = {
        (bytes(a), bytes(b)) for a, b in connection.execute(load_sql("queries/negative_decisions.sql"))
    }
    groups = _groups(rows, pairs, negative)
    group_of = {row: number for number, group in enumerate(groups, 1) for row in group}
    taking_part = np.unique(np.concatenate([pairs.first, pairs.second])).tolist()
    connection.execute(load_sql("queries/duplicate_input.sql"))
    with connection.cursor().copy(
        "COPY pg_temp.imgvec_seen (number, key_text, version, content_hash, group_id) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["int4", "text", "int8", "bytea", "int4"])
        for row in taking_part:
            copy.write_row(
                (
                    row,
                    rows.keys[row].decode(),
                    int(rows.versions[row]),
                    rows.content_hashes[row],
                    group_of.get(row),
                )
            )
    with connection.cursor().copy(
        "COPY pg_temp.imgvec_near (first, second, distance) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["int4", "int4", "float8"])
        distances = np.maximum(1 - pairs.similarities, 0.0)
        for near in zip(pairs.first.tolist(), pairs.second.tolist(), distances.tolist(), strict=True):
            copy.write_row(near)
    connection.execute(render("collection/duplicate_rows.sql", **parts))
    connection.execute(load_sql("queries/analyze_duplicate_input.sql"))
    connection.execute(render("collection/empty_duplicates.sql", **parts))
    written = connection.execute(render("collection/insert_duplicates.sql", **parts)).rowcount
    members = connection.execute(
        render("collection/insert_members.sql", **{**parts, **keep_parts(rules)})
    ).rowcount
    found = connection.execute("SELECT count(*) FROM pg_temp.imgvec_row").fetchone()
    return WrittenDuplicates(
        written, len(groups), members, len(taking_part) - (int(found[0]) if found else 0)
    )


def _groups(rows: VectorRows, pairs: Pairs, negative: set[tuple[bytes, bytes]]) -> list[list[int]]:
    """Group the rows of pairs that nobody decided against; the order of hashes and keys breaks ties, the same in each run."""
    hashes = rows.content_hashes
    both = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    kept = without(((hashes[a], hashes[b]) for a, b in both), negative)
    taking_part = np.unique(np.concatenate([pairs.first, pairs.second]))
    ranked = sorted(taking_part.tolist(), key=lambda row: (hashes[row], rows.keys[row]))
    rank = np.empty(len(rows.keys), dtype=np.intp)
    rank[ranked] = np.arange(len(ranked))
    one, other = rank[pairs.first[kept]], rank[pairs.second[kept]]
    groups = complete_linkage(np.minimum(one, other), np.maximum(one, other), pairs.similarities[kept])
    return [[ranked[number] for number in group] for group in groups]


def prepare_relations(connection: Connection, collection: Collection) -> None:
    """Make tables, policies, views and grants unless they are there, so that nothing is compared in vain.

    Raises:
        CollectionError: Something else has the name of one.
        DatabaseError: The role may not make or fill them, or the schema is older than decisions.
    """
    names = {part: pattern.format(collection.name) for part, pattern in RELATIONS.items()}
    values = {
        "view": names["duplicate_view"],
        "tables": [names["duplicate_pair_table"], names["duplicate_member_table"]],
    }
    row = connection.execute(load_sql("queries/duplicate_state.sql"), values).fetchone()
    if row is None or not row[0]:
        raise DatabaseError(
            "this database's schema has no decisions about duplicates yet; run: imgvec migrate"
        )
    if row[1] and not row[2]:
        raise DatabaseError(
            f"the role {connection.info.user} may not write the duplicates of collection {collection.name}; it takes "
            "imgvec_worker, or the owner of the schema imgvec"
        )
    if row[1]:
        return
    try:
        with needing(connection, NEEDED), connection.transaction(), pinned_search_path(connection):
            parts = duplicate_parts(collection, vector_schema(connection))
            connection.execute(render("collection/duplicate_relations.sql", **parts))
    except (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateColumn) as error:
        raise CollectionError(
            f"the duplicates of collection {collection.name} cannot be kept ({one_line(error)}); "
            "rename what has that name. Nothing was changed"
        ) from error


def duplicate_parts(collection: Collection, vector: str) -> dict[str, sql.Composable]:
    """Return the `{parts}` of the SQL files about duplicates."""
    key, tables = collection.key_sql, relation_parts(collection.name)
    others = other_columns(collection.key_columns)
    pair = ("imgvec", RELATIONS["duplicate_pair_table"].format(collection.name))
    member = ("imgvec", RELATIONS["duplicate_member_table"].format(collection.name))

    def equal(left: str, right: tuple[str, ...], names: Sequence[str]) -> sql.Composed:
        return sql.SQL(" AND ").join(
            sql.SQL("{} OPERATOR({}.=) {}").format(
                sql.Identifier(left, own), sql.Identifier(schema), sql.Identifier(*right, name)
            )
            for own, name, schema in zip(key.names, names, key.equality_schemas, strict=True)
        )

    def listed(row: str, names: Sequence[str]) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier(row, name) for name in names)

    found: dict[str, sql.Composable] = {
        "other_keys": sql.SQL(", ").join(map(sql.Identifier, others)),
        "other_key_definitions": sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_name))
            for name, type_name in zip(others, key.source_types or key.type_names, strict=True)
        ),
        "p_other_keys": listed("p", others),
        "e_equals_pair": equal("e", pair, key.names),
        "e_equals_other": equal("e", pair, others),
        "e_equals_member": equal("e", member, key.names),
        "o_equals_p_other": equal("o", ("p",), others),
        "e_equals_k": equal("e", ("k",), key.names),
        "e_equals_m": equal("e", ("m",), key.names),
        **{f"{row}_keys": listed(row, key.names) for row in "pmabr"},
        "pair_comment": sql.Literal(
            f"Pairs of near-duplicates of {collection.shown_source}, as imgvec duplicates {collection.name} found them"
        ),
        "group_comment": sql.Literal(
            f"Groups of near-duplicates of {collection.shown_source}: one row is the keeper, all are near each other"
        ),
    }
    return {**collection.parts(vector), **tables, **found}


def other_columns(names: Sequence[str]) -> list[str]:
    """Return what the columns of the second key are called: "other_id" for "id"."""
    prefix = "other_"
    while any(prefix + name in names for name in names):
        prefix += "_"
    return [prefix + name for name in names]


def deletion(collection: Collection) -> str:
    """Return a statement by which an application may delete what is not kept. Nobody runs it here."""
    condition = collection.key_sql.equal("p", "g")
    return (
        sql.SQL("DELETE FROM {} AS p USING imgvec.{} AS g WHERE NOT g.is_keeper AND {}")
        .format(collection.source, relation_parts(collection.name)["duplicate_group_view"], condition)
        .as_string(None)
        .replace(' OPERATOR("pg_catalog".=) ', " = ")
    )
