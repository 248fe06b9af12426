"""Read a source page by page, and let a row whose expressions fail, as a view's may, stop no other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.queue.jobs import Key
from imgvec_pg.store.transactions import ROW_ERRORS, read_like_triggers

PAGE_ROWS = 65_536
MOST_PAGE_ROWS = 1 << 20
PAGES_OF_QUEUE = 5
"""All that is queued is looked through again for each page: of ten million queued rows 4 s, 150 times with pages of PAGE_ROWS."""


def page_rows_beside(queued: int) -> int:
    """Return the least rows of a page where so many are queued: the more, the fewer pages there are."""
    return min(queued // PAGES_OF_QUEUE, MOST_PAGE_ROWS)


@dataclass(frozen=True)
class Attempt:
    """A way to read a page: its rows, whether its keys are looked up first, and whether nothing but keys is computed."""

    rows: int
    by_keys: bool = False
    keys_only: bool = False


# A page that fails is read in smaller ones, down to the row that is to blame. PostgreSQL would compute the expressions of all
# rows before it sorts them by the key, so the keys of a page come first then, which takes longer.
ATTEMPTS = (
    Attempt(PAGE_ROWS),
    Attempt(1024, by_keys=True),
    Attempt(32, by_keys=True),
    Attempt(1, by_keys=True),
    Attempt(1, by_keys=True, keys_only=True),
)


@dataclass(frozen=True)
class ReadPage:
    """The row that a statement about a page gave, the attempt that gave it, and the rows that a whole page has."""

    row: tuple[Any, ...]
    attempt: int
    rows: int

    @property
    def next_attempt(self) -> int:
        """Where the next page begins: one larger than this, behind a single row one of a few rows."""
        return max(self.attempt - 1, 0) if ATTEMPTS[self.attempt].rows > 1 else len(ATTEMPTS) - 3

    def is_last(self, rows: int) -> bool:
        """Whether the source ends with a page of so many rows."""
        return rows < self.rows


def read_page(
    connection: Connection,
    collection: Collection,
    name: str,
    after: Key | None,
    values: Mapping[str, object],
    attempt: int = 0,
    *,
    read_only: bool = False,
    least_rows: int = 0,
) -> ReadPage:
    """Run the statement in `sql/collection/<name>.sql` about the page of the source behind a key, in a transaction.

    A row for which a view's expressions fail is taken for one with a picture: its worker meets the failure and notes it.

    Args:
        attempt: Of ATTEMPTS, the first to be tried.
        least_rows: Rows that a page has at least, where nothing fails.
    """
    while True:
        chosen = ATTEMPTS[attempt]
        if attempt == 0:
            chosen = replace(chosen, rows=max(chosen.rows, least_rows))
        statement = page_statement(connection, collection, name, after, chosen)
        try:
            with connection.transaction():
                read_like_triggers(connection, collection)
                if read_only:
                    connection.execute("SET TRANSACTION READ ONLY")
                row = connection.execute(
                    statement, {**values, "after": Jsonb(after), "page_size": chosen.rows}
                ).fetchone()
        except ROW_ERRORS:
            if attempt + 1 == len(ATTEMPTS):
                raise
            attempt += 1
            continue
        assert row is not None  # noqa: S101 - the statement always gives one row
        return ReadPage(row, attempt, chosen.rows)


def page_statement(
    connection: Connection,
    collection: Collection,
    name: str,
    after: Key | None,
    attempt: Attempt = ATTEMPTS[0],
) -> sql.Composed:
    """Return the statement in `sql/collection/<name>.sql` about the page of the source behind a key."""
    parts = bindable(collection.parts(vector_schema(connection)))
    behind = sql.SQL("WHERE {}").format(collection.key_sql.behind("s"))
    after_condition = behind if after else sql.SQL("")
    if attempt.keys_only:
        parts = without_expressions(parts)
    form = "page_by_keys" if attempt.by_keys else "page_source"
    source = render(f"collection/{form}.sql", **parts, after_condition=after_condition)
    differences = render("collection/differences.sql", **parts, page_source=source)
    return render(f"collection/{name}.sql", **parts, differences=differences)


def without_expressions(parts: Mapping[str, sql.Composable]) -> dict[str, sql.Composable]:
    """Return the `{parts}` by which nothing of a row is computed but its key: it is taken for one with a picture."""
    return {
        **parts,
        "s_has_image": sql.SQL("true"),
        "s_reference_hash": sql.SQL("NULL::pg_catalog.bytea"),
        "content": sql.SQL("NULL::pg_catalog.bytea"),
    }
