"""DDL of a collection's index: list, name, create and drop it."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from psycopg import sql
from psycopg.rows import class_row

from imgvec_pg.database.connect import Connection, execute_alone, lock_timeout
from imgvec_pg.database.index_methods.ivfflat import DEFAULT_LISTS
from imgvec_pg.database.index_methods.methods import index_method
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.collection import Collection

Ending = Literal["current", "next", "old"]
"""Indexes are named <table>_hnsw or <table>_ivfflat; one built to replace it <table>_next, one that was replaced <table>_old."""

BUILT = re.compile(r"imgvec: (\d+) rows in (\d+\.\d+) s")


@dataclass(frozen=True)
class IndexState:
    """An embedding table or partition and its index by distance, None where there is none.

    Attributes:
        method: The access method, of whatever kind: its name in pg_am.
        options: What was given in WITH (…): a JSON object as text, since Django's connections do not read jsonb.
    """

    table_name: str
    index_name: str | None
    is_valid: bool
    index_bytes: int
    is_parent: bool
    method: str | None
    options: str
    quantization: str | None
    comment: str | None

    @property
    def given_options(self) -> dict[str, str]:
        """What was given in WITH (…), by name."""
        given: dict[str, str] = json.loads(self.options)
        return given

    def _option(self, name: str, default: int) -> int:
        return int(self.given_options.get(name, default))

    @property
    def m(self) -> int:
        """Of an HNSW index, pgvector's default where none was given."""
        return self._option("m", 16)

    @property
    def ef_construction(self) -> int:
        """Of an HNSW index, pgvector's default where none was given."""
        return self._option("ef_construction", 64)

    @property
    def lists(self) -> int | None:
        """Of an IVFFlat index; None of others."""
        return self._option("lists", DEFAULT_LISTS) if self.method == "ivfflat" else None

    @property
    def label(self) -> str:
        """What people call the method."""
        return index_method(self.method or "hnsw").label

    def is_made_as(self, wanted: Collection) -> bool:
        """Whether there is an index, valid or not, with the collection's options."""
        if self.index_name is None or self.method != wanted.index_method:
            return False
        if self.method == "ivfflat":
            return wanted.lists in (None, self.lists)
        return (self.m, self.ef_construction, self.quantization) == (
            wanted.m,
            wanted.ef_construction,
            wanted.quantization,
        )

    @property
    def built(self) -> tuple[int, float] | None:
        """Rows and seconds of the build, where it was imgvec's."""
        found = BUILT.search(self.comment or "")
        return (int(found[1]), float(found[2])) if found else None


@dataclass(frozen=True)
class RunningBuild:
    """A running build: PostgreSQL's phase, tuples done and in all (0 while unknown)."""

    phase: str
    done: int
    total: int


def index_states(
    connection: Connection, collection: Collection, ending: Ending = "current"
) -> list[IndexState]:
    """Return the state of each table of a collection, partitions before their parent.

    Of one that is split by tenant those of the large tenants' partitions; none before there is one.
    """
    return table_states(connection, collection.indexed_table, ending)


def table_states(connection: Connection, table: str, ending: Ending = "current") -> list[IndexState]:
    """Return the same of one table in the schema imgvec and its partitions."""
    with connection.cursor(row_factory=class_row(IndexState)) as cursor:
        return cursor.execute(
            render("queries/index_state.sql"), {"table": f"imgvec.{table}", "ending": ending}
        ).fetchall()


def require_large_tenants(collection: Collection, states: Sequence[IndexState]) -> None:
    """Refuse to build or measure an index where there is nothing to index.

    Raises:
        CollectionError: The collection is split by tenant, and all tenants are small.
    """
    if not states:
        raise CollectionError(
            f"no tenant of {collection.name} has a partition of its own, so there is no index: the rows of each are compared, "
            f"which is exact; give large tenants partitions with: imgvec collection partition {collection.name}"
        )


def has_valid_index(connection: Connection, collection: Collection) -> bool:
    """Whether every table of the collection has an index that PostgreSQL uses."""
    return all(state.is_valid for state in index_states(connection, collection))


def running_build(connection: Connection, collection: Collection) -> RunningBuild | None:
    """Return the build that goes on in any session, None when there is none."""
    row = connection.execute(
        load_sql("queries/index_progress.sql"), {"table": f"imgvec.{collection.embedding_table}"}
    ).fetchone()
    return None if row is None else RunningBuild(str(row[0]), int(row[1] or 0), int(row[2] or 0))


def build_tables(
    connection: Connection, collection: Collection, schema: str, ending: Ending = "current"
) -> bool:
    """Build the missing and the invalid indexes of all tables of a collection; whether there were any.

    Args:
        schema: The one that holds the vector extension.
    """
    states = index_states(connection, collection, ending)
    built = [build_one(connection, collection, s, schema, ending) for s in states if not s.is_parent]
    for parent in (s for s in states if s.is_parent and not s.is_valid):
        attach_partitions(connection, collection, parent, schema, ending)
    return any(built)


def build_one(
    connection: Connection, collection: Collection, state: IndexState, schema: str, ending: Ending
) -> bool:
    """Build the index of one plain table or partition unless it has a valid one."""
    if state.is_valid:
        return False
    if state.index_name is not None:
        execute_alone(connection, render("collection/drop_index.sql", index=sql.Identifier(state.index_name)))
    name = index_name(state.table_name, collection, ending)
    index = sql.Identifier(name)
    began = time.monotonic()
    execute_alone(
        connection,
        render(
            "collection/create_index.sql",
            **definition_parts(collection, schema),
            index=index,
            table=sql.Identifier(state.table_name),
        ),
    )
    seconds = time.monotonic() - began
    row = connection.execute(load_sql("queries/index_rows.sql"), {"index": name}).fetchone()
    comment = f"imgvec: {row[0] if row else 0} rows in {seconds:.1f} s"
    connection.execute(render("collection/comment_index.sql", index=index, comment=sql.Literal(comment)))
    return True


def definition_parts(collection: Collection, schema: str) -> dict[str, sql.Composable]:
    """Return the `{parts}` that define a collection's index; the lists of an IVFFlat index must be known."""
    parts = collection.parts_without_source(schema)
    kind = collection.quantization or "halfvec"
    options = {**parts, "lists": sql.Literal(collection.lists)}
    return {
        "indexed": render(f"collection/indexed_{kind}.sql", **parts),
        "method": sql.Identifier(collection.index_method),
        "options": render(f"index_methods/{collection.index_method}_options.sql", **options),
    }


def index_name(table: str, collection: Collection, ending: Ending) -> str:
    """Return the name of a table's index: by its method, or by its place in a replacement."""
    return f"{table}_{collection.index_method if ending == 'current' else ending}"


def attach_partitions(
    connection: Connection, collection: Collection, parent: IndexState, schema: str, ending: Ending
) -> None:
    """Make the index of a partitioned table out of its partitions' indexes."""
    index = sql.Identifier(index_name(parent.table_name, collection, ending))
    if parent.index_name is None:
        # The parent holds no rows; its lock still stands in the way of writes, so it must not queue for long.
        with lock_timeout(connection, 5000):
            connection.execute(
                render(
                    "collection/create_partitioned_index.sql",
                    **definition_parts(collection, schema),
                    index=index,
                    table=sql.Identifier(parent.table_name),
                )
            )
    for state in index_states(connection, collection, ending):
        if not state.is_parent and state.index_name is not None:
            connection.execute(
                render(
                    "collection/attach_index.sql",
                    index=index,
                    partition_index=sql.Identifier(state.index_name),
                )
            )


def rename_indexes(
    connection: Connection, collection: Collection, states: Sequence[IndexState], ending: Ending
) -> None:
    """Give the indexes of these tables the names of another ending."""
    for state in states:
        if state.index_name is not None:
            connection.execute(
                render(
                    "collection/rename_index.sql",
                    index=sql.Identifier(state.index_name),
                    new_name=sql.Identifier(index_name(state.table_name, collection, ending)),
                )
            )


def drop_indexes(
    connection: Connection, states: Sequence[IndexState], *, lock_timeout_ms: int = 5000
) -> list[str]:
    """Drop these indexes and return their names; a partitioned table's takes its partitions' along.

    Raises:
        DatabaseError: The lock on a partitioned table was not had in time; nothing of it was dropped.
    """
    dropped = []
    for state in sorted(states, key=lambda state: not state.is_parent):
        if state.index_name is None:
            continue
        index = sql.Identifier(state.index_name)
        if state.is_parent:
            with lock_timeout(connection, lock_timeout_ms):
                connection.execute(render("collection/drop_partitioned_index.sql", index=index))
        else:
            execute_alone(connection, render("collection/drop_index.sql", index=index))
        dropped.append(state.index_name)
    return dropped
