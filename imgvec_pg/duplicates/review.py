"""Review groups of near-duplicates: the next that nobody decided, what differs in it, and a decision that overwrites no other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, needing, vector_schema
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.duplicates.relations import duplicate_parts, has_relations, keys_equal, pair_of
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.search.query_types import dump_keys
from imgvec_pg.search.transaction import read_only_transaction, shown_columns
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.search_functions import relation_parts

DECISIONS = ("same", "keep_both", "not_the_same", "ignore")
COUNTED = 1000
"""So many open groups are counted; of more it is said that there are more."""


class DecidedMeanwhileError(UsageError):
    """A group is not what the reviewer saw: somebody decided about it, or a run made it anew."""


@dataclass(frozen=True)
class Member:
    """One row of a group.

    Attributes:
        distance: Cosine distance to the keeper, 0 to 2.
        reason: Which rule chose the keeper.
    """

    key: Key
    is_keeper: bool
    reason: str
    distance: float
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class GroupState:
    """What is decided about a group.

    Attributes:
        digest: 64 hexadecimal digits that change with each decision about one of its pairs, and with its pictures.
        undecided: Pairs that nobody decided.
        decision: Which all pairs have; None where they differ or one is undecided.
    """

    digest: str
    undecided: int
    pairs: int
    decision: str | None


def next_question(connection: Connection, collection: Collection, after: int = 0) -> tuple[int | None, int]:
    """Return the first group behind `after` with an undecided pair, else the first of all, and how many there are.

    Returns:
        None where no group is left. The number is at most COUNTED + 1, which means more than COUNTED.

    Raises:
        CollectionError: Nobody looked for duplicates yet.
        DatabaseError: The role may not read them.
    """
    require_run(connection, collection)
    statement = render("collection/review_next.sql", **_parts(connection, collection))
    with read_only_transaction(connection, collection) as cursor:
        everything = _first(cursor.execute(statement, {"after": 0, "most": COUNTED + 1}))
        if after and everything[1]:
            behind = _first(cursor.execute(statement, {"after": after, "most": 1}))
            return (behind[0] or everything[0]), everything[1]
    return everything[0], everything[1]


def read_members(
    connection: Connection, collection: Collection, group_id: int, columns: Sequence[str]
) -> list[Member]:
    """Return a group's rows, the keeper first; none where the group is gone, decided away, or hidden from this role.

    Raises:
        DatabaseError: The role may not read them.
    """
    found = bindable(shown_columns(connection, collection, columns))
    shown = sql.SQL(", {}").format(found["shown"]) if columns else sql.SQL("")
    parts = {**_parts(connection, collection), "wanted": found["wanted"], "shown_after": shown}
    statement = render("collection/review_members.sql", **parts)
    with read_only_transaction(connection, collection) as cursor:
        rows = cursor.execute(statement, {"group_id": group_id}).fetchall()
    return [
        Member(key, is_keeper, reason, float(distance), dict(zip(columns, values, strict=True)))
        for key, is_keeper, reason, distance, *values in rows
    ]


def group_state(connection: Connection, collection: Collection, group_id: int) -> GroupState | None:
    """Return what is decided about a group; None where there is no such group."""
    statement = render("collection/review_state.sql", **_parts(connection, collection))
    digest, undecided, pairs, decision = _first(connection.execute(statement, {"group_id": group_id}))
    return None if digest is None else GroupState(digest, undecided, pairs, decision)


def group_of_row(connection: Connection, collection: Collection, key: Key) -> int | None:
    """Return the group that a row belongs to; None where it is in none, nobody looked, or this role may not read groups."""
    if not has_relations(connection, collection):
        return None
    statement = render("collection/group_of_row.sql", **_parts(connection, collection))
    try:
        row = connection.execute(statement, {"key": dump_keys(key)}).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return None if row is None else int(row[0])


def decide_group(
    connection: Connection, collection: Collection, group_id: int, decision: str | None, seen: str
) -> GroupState:
    """Decide about all pairs of a group, unless it is no longer what the reviewer saw; return what it is then.

    Until it is written nobody else decides, in psql neither, so of two at one moment the second is told.

    Args:
        decision: One of DECISIONS, or None to take back.
        seen: The digest of the group's state as the reviewer saw it.

    Raises:
        DecidedMeanwhileError: It changed. Nothing is written.
        UsageError: The decision is none.
        DatabaseError: The role may not decide.
    """
    if decision is not None and decision not in DECISIONS:
        raise UsageError(f"the decision is {decision[:40]!r}; expected {', '.join(DECISIONS)}")
    require_run(connection, collection)
    values = {"collection": collection.name, "group_id": group_id, "decision": decision}
    try:
        with needing(connection, "imgvec_worker decides about duplicates"), connection.transaction():
            connection.execute(load_sql("queries/lock_decisions.sql"))
            _require_seen(connection, collection, group_id, seen)
            connection.execute(load_sql("queries/decide_group.sql"), values)
            state = group_state(connection, collection, group_id)
    except psycopg.errors.LockNotAvailable as error:
        raise DecidedMeanwhileError(
            "others were deciding for 5 s; nothing was written: decide again"
        ) from error
    assert state is not None  # noqa: S101 - it was there within this transaction
    return state


def deletion_of_decided(collection: Collection) -> str:
    """Return a statement that deletes what people decided is the same as its keeper. Nobody runs it here."""
    key, relations = collection.key_sql, relation_parts(collection.name)
    statement = sql.SQL(
        # EXISTS with the pair in ON stays a subquery for each row, by its group; joined, a view is computed for each row.
        "DELETE FROM {source} AS p\nUSING imgvec.{groups} AS g\nWHERE NOT g.is_keeper AND {p_is_g}\n"
        "  AND EXISTS (\n    SELECT FROM imgvec.{groups} AS k JOIN imgvec.{pairs} AS d ON {pair}\n"
        "    WHERE k.is_keeper AND k.group_id = g.group_id AND d.decision = 'same'\n  )"
    ).format(
        source=collection.source,
        groups=relations["duplicate_group_view"],
        pairs=relations["duplicate_view"],
        pair=pair_of(collection, "g", "k"),
        p_is_g=keys_equal(key, "p", ("g",), key.names),
    )
    return statement.as_string(None).replace(' OPERATOR("pg_catalog".=) ', " = ") + ";"


def require_run(connection: Connection, collection: Collection) -> None:
    """Refuse a collection whose duplicates nobody looked for.

    Raises:
        CollectionError: Nobody did.
    """
    if not has_relations(connection, collection):
        raise CollectionError(
            f'nobody looked for duplicates in collection "{collection.name}" yet; run: imgvec duplicates {collection.name}'
        )


def _require_seen(connection: Connection, collection: Collection, group_id: int, seen: str) -> None:
    state = group_state(connection, collection, group_id)
    if state is not None and state.digest == seen:
        return
    decider = connection.execute(
        render("collection/review_decider.sql", **_parts(connection, collection)), {"group_id": group_id}
    ).fetchone()
    if state is None or decider is None:
        raise DecidedMeanwhileError(
            f"group {group_id} has changed since you saw it, and nothing was written; look again"
        )
    who, decision, seconds = decider
    raise DecidedMeanwhileError(
        f"{who} decided {decision.replace('_', ' ')} about group {group_id} {_ago(seconds)}; nothing was overwritten"
    )


def _ago(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def _parts(connection: Connection, collection: Collection) -> dict[str, sql.Composable]:
    key = collection.key_sql
    parts = {
        **duplicate_parts(collection, vector_schema(connection)),
        "g_key": key.json("g"),
        "m_equals_g": key.equal("m", "g"),
        "e_equals_g": key.equal("e", "g"),
        "g_equals_k": key.equal("g", "k"),
    }
    return bindable(parts)


def _first(cursor: psycopg.Cursor[Any]) -> Any:  # noqa: ANN401 - as the statement has it
    return cursor.fetchone()
