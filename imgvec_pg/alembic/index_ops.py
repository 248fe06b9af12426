"""Alembic operations for HNSW indexes, concurrent, repeatable and reversible: create, replace, drop.

Imported by Alembic as it starts, so it imports of Alembic only what it defines operations with.
"""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from alembic.operations import MigrateOperation, Operations
from psycopg import sql
from sqlalchemy import TextClause

from imgvec_pg.alembic.bound_database import find_picture_table
from imgvec_pg.alembic.migration_errors import MigrationError, telling
from imgvec_pg.database.index_methods.hnsw import HnswParams
from imgvec_pg.database.sql_templates import as_alembic_text

# Below Alembic's own, which is the one that an alembic.ini shows.
log = logging.getLogger("alembic.imgvec_pg")

OPCLASS = "halfvec_cosine_ops"
CHANGEABLE = ("column", "opclass", "m", "ef_construction")


@dataclass(frozen=True)
class HnswIndex:
    """An HNSW index over one column: what Alembic alone does not compare."""

    name: str
    table: str
    column: str
    schema: str | None = None
    opclass: str = OPCLASS
    m: int = 16
    ef_construction: int = 64
    concurrently: bool = True

    def __post_init__(self) -> None:
        with telling():
            HnswParams(self.m, self.ef_construction)

    @property
    def parts(self) -> dict[str, sql.Composable]:
        """The `{parts}` of the files in sql/alembic."""
        path = [part for part in (self.schema, self.table) if part]
        return {
            "index_name": sql.Identifier(self.name),
            "index": sql.Identifier(*([self.schema] if self.schema else []), self.name),
            "table": sql.Identifier(*path),
            "column": sql.Identifier(self.column),
            "opclass": sql.Identifier(*self.opclass.split(".")),
            "m": sql.Literal(self.m),
            "ef_construction": sql.Literal(self.ef_construction),
            "concurrently": sql.SQL("CONCURRENTLY" if self.concurrently else ""),
        }

    @property
    def beside(self) -> "HnswIndex":
        """The same by the name that it has while it is built; a collection's is that of `imgvec index rebuild`."""
        return replace(self, name=f"{self.name.removesuffix('_hnsw')[:58]}_next")

    @property
    def collection(self) -> str | None:
        """Name of the collection whose embedding table this is."""
        ours = self.schema == "imgvec" and self.table.endswith("_embedding")
        return self.table.removesuffix("_embedding") if ours else None

    def is_made_as(self, found: Any) -> bool:  # noqa: ANN401 - a row of vector_indexes.sql
        """Whether an index that exists is this one."""
        return (found.method, found.column_name, found.opclass, found.m, found.ef_construction) == (
            "hnsw",
            self.column,
            self.opclass.split(".")[-1],
            self.m,
            self.ef_construction,
        )


class HnswIndexOperation(MigrateOperation):
    """What the operations share."""

    def __init__(self, index: HnswIndex) -> None:
        self.index = index


@Operations.register_operation("create_hnsw_index")
class CreateHnswIndexOp(HnswIndexOperation):
    """Build an HNSW index."""

    @classmethod
    def create_hnsw_index(
        cls,
        operations: Operations,
        index_name: str,
        table_name: str,
        column: str,
        *,
        schema: str | None = None,
        opclass: str = OPCLASS,
        m: int = 16,
        ef_construction: int = 64,
        concurrently: bool = True,
    ) -> None:
        """Build an HNSW index, CONCURRENTLY and outside the transaction unless told otherwise.

        What stands before it in the revision is committed first. An index that a build left INVALID is built anew; one that
        is there already, as this defines it, is left alone: so a revision that was cut off is run again.

        Args:
            opclass: The column's: halfvec_cosine_ops, vector_cosine_ops, halfvec_l2_ops, …

        Raises:
            MigrationError: m, ef_construction out of range, or another index has the name.
        """
        index = HnswIndex(
            index_name, table_name, column, schema, opclass, m, ef_construction, concurrently=concurrently
        )
        operations.invoke(cls(index))

    def reverse(self) -> "DropHnswIndexOp":
        """Return what undoes it."""
        return DropHnswIndexOp(self.index)

    def to_diff_tuple(self) -> tuple[str, HnswIndex]:
        """Return it as `alembic check` shows it."""
        return ("create_hnsw_index", self.index)


@Operations.register_operation("replace_hnsw_index")
class ReplaceHnswIndexOp(HnswIndexOperation):
    """Build an HNSW index beside the present one of its name, then let it take the name."""

    def __init__(self, index: HnswIndex, old: HnswIndex) -> None:
        super().__init__(index)
        self.old = old

    @classmethod
    def replace_hnsw_index(
        cls,
        operations: Operations,
        index_name: str,
        table_name: str,
        column: str,
        *,
        schema: str | None = None,
        opclass: str = OPCLASS,
        m: int = 16,
        ef_construction: int = 64,
        old: Mapping[str, Any],
        concurrently: bool = True,
    ) -> None:
        """Change an HNSW index: until the new one is complete, searches read the old one.

        Space for both is needed meanwhile. What stands before it in the revision is committed first; a build that was
        killed leaves the old index as it was, and the revision is run again.

        Args:
            old: What is changed, as it was, for the way back: column, opclass, m, ef_construction.

        Raises:
            MigrationError: m, ef_construction out of range, or `old` has another entry.
        """
        index = HnswIndex(
            index_name, table_name, column, schema, opclass, m, ef_construction, concurrently=concurrently
        )
        if unknown := sorted(set(old) - set(CHANGEABLE)):
            raise MigrationError(
                f"op.replace_hnsw_index has old={unknown!r}; expected some of {', '.join(CHANGEABLE)}"
            )
        operations.invoke(cls(index, replace(index, **old)))

    @property
    def changed(self) -> dict[str, Any]:
        """What differs, as it was."""
        return {
            name: getattr(self.old, name)
            for name in CHANGEABLE
            if getattr(self.old, name) != getattr(self.index, name)
        }

    def reverse(self) -> "ReplaceHnswIndexOp":
        """Return what undoes it."""
        return ReplaceHnswIndexOp(self.old, self.index)

    def to_diff_tuple(self) -> tuple[str, HnswIndex, HnswIndex]:
        """Return it as `alembic check` shows it."""
        return ("replace_hnsw_index", self.old, self.index)


@Operations.register_operation("drop_hnsw_index")
class DropHnswIndexOp(HnswIndexOperation):
    """Drop an HNSW index."""

    @classmethod
    def drop_hnsw_index(
        cls,
        operations: Operations,
        index_name: str,
        *,
        table_name: str = "",
        column: str = "embedding",
        schema: str | None = None,
        opclass: str = OPCLASS,
        m: int = 16,
        ef_construction: int = 64,
        concurrently: bool = True,
    ) -> None:
        """Drop an HNSW index, CONCURRENTLY and outside the transaction unless told otherwise; none is no error.

        The other arguments describe the index for the way back.
        """
        index = HnswIndex(
            index_name, table_name, column, schema, opclass, m, ef_construction, concurrently=concurrently
        )
        operations.invoke(cls(index))

    def reverse(self) -> CreateHnswIndexOp:
        """Return what undoes it.

        Raises:
            MigrationError: The operation does not name the table.
        """
        if not self.index.table:
            raise MigrationError(
                f"the index {self.index.name} cannot be made again; expected table_name, column, opclass, m and "
                "ef_construction in op.drop_hnsw_index"
            )
        return CreateHnswIndexOp(self.index)

    def to_diff_tuple(self) -> tuple[str, HnswIndex]:
        """Return it as `alembic check` shows it."""
        return ("drop_hnsw_index", self.index)


@Operations.implementation_for(CreateHnswIndexOp)
def create(operations: Operations, operation: CreateHnswIndexOp) -> None:
    index = operation.index
    context = operations.migration_context
    found = None if context.as_sql else _existing(operations, index)
    if found is not None and found.is_valid:
        if not index.is_made_as(found):
            raise MigrationError(
                f"an index {index.name} exists already: {found.method} over {found.column_name} {found.opclass}, m = {found.m}, "
                f"ef_construction = {found.ef_construction}; expected {index.column} {index.opclass}, m = {index.m}, "
                f"ef_construction = {index.ef_construction}. Drop it first: op.drop_hnsw_index"
            )
        log.info("index %s exists already", index.name)
    else:
        with _outside_transaction(operations, index):
            if found is not None or context.as_sql:
                # A build that was cut off leaves an INVALID index, which IF NOT EXISTS would take for one.
                operations.execute(_text("drop_index", index))
            operations.execute(_text("create_index", index))
    _register(operations, index)


@Operations.implementation_for(ReplaceHnswIndexOp)
def replace_index(operations: Operations, operation: ReplaceHnswIndexOp) -> None:
    as_sql = operations.migration_context.as_sql
    # Printed SQL cannot look where the index is.
    index = operation.index if as_sql else _where_it_is(operations, operation.index)
    beside = index.beside
    found, begun = (None, None) if as_sql else (_existing(operations, name) for name in (index, beside))
    if found is not None and found.is_valid and index.is_made_as(found):
        log.info("index %s is made so already", index.name)
    else:
        with _outside_transaction(operations, index):
            if begun is None or not (begun.is_valid and index.is_made_as(begun)):
                operations.execute(_text("drop_index", beside))
                operations.execute(_text("create_index", beside))
            # Killed from here on, there is the new one under its other name, which searches use as well.
            operations.execute(_text("drop_index", index))
            operations.execute(_text("rename_index", beside, new_name=sql.Identifier(index.name)))
    _register(operations, operation.index)


def _where_it_is(operations: Operations, index: HnswIndex) -> HnswIndex:
    """Return the index over a collection's different pictures instead, where this database has that."""
    pictures = None if index.collection is None else find_picture_table(operations, index.collection)
    return index if pictures is None else replace(index, name=f"{pictures}_hnsw", table=pictures)


def _register(operations: Operations, index: HnswIndex) -> None:
    """Note how the index of a collection is made, where it is one."""
    if index.collection is not None:
        operations.execute(_text("define_index", index, collection=sql.Literal(index.collection)))


@Operations.implementation_for(DropHnswIndexOp)
def drop(operations: Operations, operation: DropHnswIndexOp) -> None:
    with _outside_transaction(operations, operation.index):
        operations.execute(_text("drop_index", operation.index))


def existing_indexes(connection: Any, table: str, schema: str | None) -> list[Any]:  # noqa: ANN401
    """Return the rows of vector_indexes.sql for a table, none where it does not exist."""
    path = ".".join(part.replace('"', '""').join('""') for part in (schema, table) if part)
    statement = as_alembic_text("alembic/vector_indexes.sql", table=sql.Literal(path))
    return list(connection.execute(statement))


def _existing(operations: Operations, index: HnswIndex) -> Any | None:  # noqa: ANN401
    rows = existing_indexes(operations.get_bind(), index.table, index.schema)
    return next((row for row in rows if row.name == index.name), None)


def _outside_transaction(operations: Operations, index: HnswIndex) -> AbstractContextManager[Any]:
    return operations.migration_context.autocommit_block() if index.concurrently else nullcontext()


def _text(name: str, index: HnswIndex, **parts: sql.Composable) -> TextClause:
    return as_alembic_text(f"alembic/{name}.sql", **index.parts, **parts)


def in_transaction(index: HnswIndex) -> HnswIndex:
    """Return it as part of the transaction, for a table that is made in the same."""
    return replace(index, concurrently=False)
