"""Give a large tenant a partition of its own: copied in batches and indexed beside all else, attached under a short lock."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from imgvec_pg.database.connect import (
    Connection,
    lock_timeout,
    one_line,
    pinned_search_path,
    vector_schema,
)
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.errors import CollectionError, DatabaseError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import (
    BuildOptions,
    BuildPlan,
    build_settings,
    granted_memory,
    needed_bytes,
    telling_refusals,
)
from imgvec_pg.store.index.ddl import build_one, table_states
from imgvec_pg.tenants.survey import UNFINISHED, LargeTenant

log = logging.getLogger(__name__)

BATCH_ROWS = 2_000
"""Rows copied in one transaction: some tens of milliseconds."""
SWAP_TRIES = 10
"""How often the locks are asked for, with a second between: who holds them has had as long to end."""
CATCH_UPS = 3
"""How often changes made meanwhile are copied before the locks are asked for, so that few are left to copy under them."""


@dataclass(frozen=True)
class Split:
    """A tenant's new partition, its rows, and how long searches and writers waited for it to take its place."""

    tenant: str
    table: str
    rows: int
    locked_seconds: float


class TenantSplit:
    """Moves one tenant. Whatever stops it, searches go on as before, and the next run goes on from the table that it left."""

    def __init__(
        self,
        connection: Connection,
        collection: Collection,
        tenant: LargeTenant,
        progress: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self.connection = connection
        self.collection = collection
        self.tenant = tenant
        self.progress = progress
        self.schema = vector_schema(connection)
        key = collection.key_sql
        self.others = [name for name in collection.key_columns if name != collection.partition_by]
        places = [list(collection.key_columns).index(name) for name in self.others]
        columns = [sql.Identifier("e", name) for name in self.others]
        self.parts: dict[str, sql.Composable] = {
            **collection.parts(self.schema),
            "partition": sql.Identifier(tenant.table),
            "value": sql.Literal(tenant.tenant),
            "comment": sql.Literal(UNFINISHED + tenant.tenant),
            "e_others": sql.SQL(", ").join(columns),
            "e_others_descending": sql.SQL(", ").join(sql.SQL("{} DESC").format(name) for name in columns),
            "others_as_text": sql.SQL(", ").join(sql.SQL("{}::text").format(name) for name in columns),
        }
        values = [
            sql.SQL("{}::{}").format(sql.Placeholder(f"after_{place}"), sql.SQL(collection.key_types[place]))
            for place in places
        ]
        self.after = sql.SQL(" AND {}").format(key.ordered("e", ">", values, places, is_bound=True))
        self.places = places

    def run(self, *, lock_timeout_ms: int = 2000) -> Split:
        """Move the tenant.

        Raises:
            DatabaseError: A lock was not had in time; the copy stays for the next run.
            NotOwnerError: The role does not own the embedding table.
        """
        again = f"imgvec collection partition {self.collection.name}"
        with telling_refusals(self.connection, self.collection, again), self._telling_of_others(again):
            if not self.tenant.is_begun:
                self._create(lock_timeout_ms)
            rows = self._copy()
            if rows or self.tenant.is_begun:
                self._catch_up_until_few()
                self._build_index(rows)
                self._catch_up_until_few()
            return self._swap(lock_timeout_ms, again)

    @contextmanager
    def _telling_of_others(self, again: str) -> Iterator[None]:
        """Say what two runs at once come to: the second finds a table that it has not made, or one that has its place already."""
        try:
            yield
        except (
            psycopg.errors.DuplicateTable,
            psycopg.errors.UniqueViolation,
            psycopg.errors.UndefinedTable,
            psycopg.errors.WrongObjectType,
        ) as error:
            raise CollectionError(
                f"another session moves {self.collection.partition_by} {self.tenant.tenant} of {self.collection.name} too "
                f"({one_line(error)}); no row is lost or doubled. When it has ended, run again: {again}"
            ) from error

    def _execute(self, file: str, **values: object) -> int:
        # Without values psycopg looks for no placeholders.
        statement = render(f"tenants/{file}.sql", **(bindable(self.parts) if values else self.parts))
        return self.connection.execute(statement, values or None).rowcount

    def _create(self, lock_timeout_ms: int) -> None:
        with lock_timeout(self.connection, lock_timeout_ms), pinned_search_path(self.connection):
            self._execute("create_partition")
            if self.collection.forgets_by_key:
                of_partition = {**self.parts, "embedding_table": self.parts["partition"]}
                self.connection.execute(
                    render("collection/foreign_key.sql", **of_partition, validity=sql.SQL(""))
                )

    def _copy(self) -> int:
        """Copy all rows in batches, each a transaction, and return how many they were."""
        copied = 0
        after: sql.Composable = sql.SQL("")
        values: dict[str, object] = {"value": self.tenant.tenant, "rows": BATCH_ROWS}
        while True:
            page = self._copy_page(
                render("tenants/copy_page.sql", **bindable(self.parts), after=after), values
            )
            if page is None:
                return copied
            copied += page[0]
            self.progress(copied)
            after = self.after
            values |= {f"after_{place}": value for place, value in zip(self.places, page[1:], strict=True)}

    def _copy_page(self, statement: sql.Composed, values: dict[str, object]) -> TupleRow | None:
        while True:
            try:
                with self.connection.transaction(), pinned_search_path(self.connection):
                    return self.connection.execute(statement, values).fetchone()
            except psycopg.errors.ForeignKeyViolation as error:
                # A row was deleted between the reading of its vector and the writing of the copy.
                log.info("copying again: %s", one_line(error))

    def _catch_up_until_few(self) -> None:
        for _ in range(CATCH_UPS):
            try:
                with self.connection.transaction(), pinned_search_path(self.connection):
                    changed = self._catch_up()
            except psycopg.errors.ForeignKeyViolation as error:
                log.info("comparing again: %s", one_line(error))
                continue
            if changed == 0:
                return

    def _catch_up(self) -> int:
        """Make the copy what the table has of the tenant, in one transaction; return how many rows that took."""
        gone = self._execute("drop_outdated", value=self.tenant.tenant)
        return gone + self._execute("copy_missing", value=self.tenant.tenant)

    def _build_index(self, rows: int) -> None:
        needed, size, _ = needed_bytes(self.collection, rows, rows)
        memory = granted_memory(self.connection, needed, BuildOptions().memory)
        plan = BuildPlan(rows, needed, memory, size, rows_per_second=None)
        [state] = table_states(self.connection, self.tenant.table)
        with build_settings(self.connection, plan, None):
            build_one(self.connection, self.collection, state, self.schema, "current")
        self.connection.execute(
            sql.SQL("ANALYZE imgvec.{} ({})").format(self.parts["partition"], self.parts["keys"])
        )

    def _swap(self, lock_timeout_ms: int, again: str) -> Split:
        for tries_left in reversed(range(SWAP_TRIES)):
            try:
                return self._swap_once(lock_timeout_ms)
            except DatabaseError as error:
                if tries_left == 0:
                    raise DatabaseError(
                        f"{error}. imgvec.{self.tenant.table} has the tenant's rows; to go on from it: {again}"
                    ) from error
                time.sleep(1)
        raise AssertionError

    def _swap_once(self, lock_timeout_ms: int) -> Split:
        with lock_timeout(self.connection, lock_timeout_ms), pinned_search_path(self.connection):
            # In this order: who changes the source takes its lock first, then those of the embeddings.
            if self.collection.forgets_by_key:
                self._execute("lock_source")
            self._execute("lock_table")
            began = time.monotonic()
            self._catch_up()
            self._execute("attach")
            locked_seconds = time.monotonic() - began
        row = self.connection.execute(
            sql.SQL("SELECT count(*) FROM imgvec.{}").format(self.parts["partition"])
        ).fetchone()
        return Split(self.tenant.tenant, self.tenant.table, int(row[0]) if row else 0, locked_seconds)
