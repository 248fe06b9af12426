"""Survey a collection that is split by tenant: which have partitions of their own, and which have grown large."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.partitioning import MAX_PARTITIONS
from imgvec_pg.database.sql_templates import bindable, load_sql, render
from imgvec_pg.errors import CollectionError
from imgvec_pg.store.collection import Collection

LARGE_ROWS = 10_000
"""Rows from which a tenant is worth a partition and an HNSW index of its own. The index is quicker from some 2,000 rows on; below
10,000 comparing takes 1.6 ms at most beside 0.4, and is exact (256 dimensions, two cores: benchmarks/results/tenants.txt)."""
UNFINISHED = "imgvec: becomes the partition of tenant "
"""What the comment on a table begins with that a stopped run left; the tenant, as text, follows."""
BOUND = re.compile(r"FOR VALUES IN \((.*)\)", re.DOTALL)


@dataclass(frozen=True)
class TenantPartition:
    """A partition of the embedding table, the tenants that it is for, as text, and its rows as PostgreSQL knows them."""

    table: str
    tenants: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class LargeTenant:
    """A tenant, as text, with its rows in the source, which has no partition of its own yet.

    Attributes:
        table: The partition that it gets.
        is_begun: Whether a stopped run left that table.
    """

    tenant: str
    rows: int
    table: str
    is_begun: bool


@dataclass(frozen=True)
class Survey:
    """The partitions that there are, and the tenants that are to get one, the largest first."""

    partitions: Sequence[TenantPartition]
    large: Sequence[LargeTenant]


def require_split(collection: Collection) -> None:
    """Refuse a collection whose large tenants cannot have partitions of their own.

    Raises:
        CollectionError: It is not divided, or by hash.
    """
    if collection.is_split_by_tenant:
        return
    if collection.partition_by is not None:
        raise CollectionError(
            f"collection {collection.name} is divided by the hash of {collection.partition_by} into {collection.partitions} "
            "partitions, which stay as they are; expected one made with --partition-by COLUMN and without --hash"
        )
    raise CollectionError(
        f"collection {collection.name} is not divided by tenant, and never can be: make another one with --partition-by COLUMN, "
        "fill it beside this one, and switch to it: imgvec collection switch"
    )


def survey(
    connection: Connection,
    collection: Collection,
    *,
    least_rows: int = LARGE_ROWS,
    named: Sequence[str] = (),
) -> Survey:
    """Say which tenants have partitions, and which of the others have many rows in the source.

    Args:
        least_rows: From how many on a tenant is large.
        named: Tenants, as text, that get a partition whatever their size.

    Raises:
        CollectionError: There would be too many partitions, or a named tenant has no rows.
    """
    require_split(collection)
    present = find_partitions(connection, collection)
    there = {tenant for partition in present for tenant in partition.tenants}
    begun = find_unfinished(connection, collection)
    rows = connection.execute(
        render("tenants/large_tenants.sql", **bindable(collection.parts("public"))),
        {"least": least_rows, "named": list(named), "there": sorted(there)},
    ).fetchall()
    if unknown := sorted(set(named) - {tenant for tenant, _, _ in rows}):
        raise CollectionError(
            f'no row of {collection.shown_source} has {collection.partition_by} "{unknown[0]}"; expected a tenant with rows'
        )
    numbers = _free_numbers(connection, collection)
    large = [
        LargeTenant(
            tenant,
            count,
            begun[tenant] if tenant in begun else f"{collection.embedding_table}_{next(numbers)}",
            is_begun=tenant in begun,
        )
        for tenant, count, is_there in rows
        if not is_there
    ]
    if len(present) + len(large) > MAX_PARTITIONS:
        raise CollectionError(
            f"{len(large):,} tenants have {least_rows:,} rows or more beside {len(present):,} partitions; expected at most "
            f"{MAX_PARTITIONS:,} together: choose a larger --rows"
        )
    return Survey(present, large)


def find_partitions(connection: Connection, collection: Collection) -> list[TenantPartition]:
    """Return the partitions of large tenants, the first made first."""
    rows = connection.execute(
        load_sql("tenants/own_partitions.sql"), {"table": f"imgvec.{collection.embedding_table}"}
    ).fetchall()
    return [
        TenantPartition(str(table), _tenants(connection, collection, bound), count)
        for table, bound, count in rows
    ]


def _tenants(connection: Connection, collection: Collection, bound: str) -> tuple[str, ...]:
    found = BOUND.fullmatch(bound)
    if found is None:
        return ()
    # What PostgreSQL itself printed: constants, quoted.
    values = sql.SQL(found[1])
    statement = render("tenants/tenants_of_bound.sql", **{**collection.parts("public"), "values": values})
    return tuple(str(row[0]) for row in connection.execute(statement))


def find_unfinished(connection: Connection, collection: Collection) -> dict[str, str]:
    """Return the tables that a stopped run left, by their tenants."""
    values = {"mark": UNFINISHED, "pattern": f"^{collection.embedding_table}_[0-9]+$"}
    rows = connection.execute(load_sql("tenants/unfinished_partitions.sql"), values).fetchall()
    return {str(tenant): str(table) for table, tenant in rows}


def _free_numbers(connection: Connection, collection: Collection) -> Iterator[int]:
    prefix = f"{collection.embedding_table}_"
    names = {
        str(row[0]) for row in connection.execute(load_sql("tenants/taken_names.sql"), {"prefix": prefix})
    }
    number = 0
    while True:
        number += 1
        if f"{prefix}{number}" not in names:
            yield number
