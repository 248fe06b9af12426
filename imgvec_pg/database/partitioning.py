"""How an embedding table may be divided: by the hash of its key, or by one column of it, the tenant's."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from psycopg import sql

from imgvec_pg.database.sql_templates import render
from imgvec_pg.errors import UsageError

MAX_PARTITIONS = 1024


def check_partitions(partitions: int) -> None:
    """Refuse a number of partitions that PostgreSQL would not handle well.

    Raises:
        UsageError: Not 0 to 1,024.
    """
    if not 0 <= partitions <= MAX_PARTITIONS:
        raise UsageError(f"partitions is {partitions}; expected 0 to {MAX_PARTITIONS:,}")


def check_partition_by(
    partition_by: str | None, partitions: int, index_method: str, quantization: str | None
) -> None:
    """Refuse indexes that the searches of one tenant cannot read.

    Raises:
        UsageError: An index of bits, or one other than HNSW where each large tenant has its own.
    """
    if partition_by is None:
        return
    if quantization is not None:
        raise UsageError(
            f"partition_by is {partition_by!r} beside quantization {quantization!r}; expected an index over the vectors "
            "themselves (--quantize none), which the search of one tenant reads"
        )
    if index_method != "hnsw" and partitions == 0:
        raise UsageError(
            f"partition_by is {partition_by!r} beside index_method {index_method!r}; expected hnsw where each large tenant has "
            "a partition of its own, or a number of hash partitions (--hash N)"
        )


def tenant_not_in_key(shown: str, column: str, key: Sequence[str], columns: Sequence[str]) -> str:
    """Return why a source cannot be divided by a column, and what to do."""
    if column not in columns:
        return f'{shown} has no column "{column}" to partition by; its key has: {", ".join(key)}'
    if column in key:
        return (
            f'{shown} has no other key column than "{column}", so each row would be a tenant of its own; expected a key such as '
            f"(tenant_id, {column}); to divide the table by the key's hash leave out --partition-by: --partitions N"
        )
    return (
        f'"{column}" is not in the key of {shown} ({", ".join(key)}), and PostgreSQL wants what divides a table in each of its '
        f"unique keys; make the primary key ({column}, {', '.join(key)}), or over a view say --key {column} "
        f"{' '.join(f'--key {name}' for name in key)} --no-fk"
    )


class Key(Protocol):
    """A key's columns, as store/key_sql.py has them."""

    @property
    def names(self) -> Sequence[str]:
        """Of the columns."""

    @property
    def type_names(self) -> Sequence[str]:
        """Of their types."""

    @property
    def equality_schemas(self) -> Sequence[str]:
        """The schemas of their types' =."""


def tenant_parts(
    column: str | None, key: Key, embedding_table: str, *, is_split: bool
) -> dict[str, sql.Composable]:
    """Return the `{parts}` of the key's column that divides a table; none where none does.

    Args:
        is_split: Whether large tenants have partitions of their own.
    """
    if column is None:
        return {}
    place = list(key.names).index(column)
    # As the parameters of near_*_row: a name that no column of the key has.
    parameter = "tenant"
    while parameter in key.names:
        parameter += "_"
    return {
        "tenant": sql.Identifier(column),
        "tenant_type": sql.SQL(key.type_names[place]),
        "tenant_equality": sql.SQL("OPERATOR({}.=)").format(sql.Identifier(key.equality_schemas[place])),
        "tenant_parameter": sql.Identifier(parameter),
        "is_split": sql.Literal(is_split),
        "small_tenants": sql.Identifier(small_tenants_table(embedding_table)),
    }


def small_tenants_table(embedding_table: str) -> str:
    """Return the name of the partition of all tenants that have none of their own."""
    return f"{embedding_table}_0"


def searched_parts(parts: Mapping[str, sql.Composable], *, of_tenant: bool) -> dict[str, sql.Composable]:
    """Return the `{parts}` that say which rows search.sql looks at: all, or one tenant's."""
    kind = "tenant" if of_tenant else "all"
    is_split = parts.get("is_split") == sql.Literal(True)
    found = {
        "searched_rows": render(f"collection/{kind}_rows.sql", **parts),
        "sized_tables": render(f"collection/{kind}_tables.sql", **parts),
    }
    if kind == "all":
        indexed = "partitions" if is_split else "table"
        found["indexed_tables"] = render(f"collection/indexed_{indexed}.sql", **parts)
        nothing = dict.fromkeys(
            (
                "further_parameter",
                "find_tenant",
                "unless_small",
                "narrow_to_tenant",
                "plan_for_tenant",
                "tenant_declarations",
            ),
            sql.SQL(""),
        )
        return {**found, **nothing}
    return {
        **found,
        "indexed_tables": found["sized_tables"],
        "search": parts["search_tenant"],
        "ranked_rows": sql.SQL("{} AS e").format(found["searched_rows"]),
        "further_parameter": sql.SQL(", {} {} DEFAULT NULL").format(
            parts["tenant_parameter"], parts["tenant_type"]
        ),
        "find_tenant": render("collection/find_tenant.sql", **parts),
        "unless_small": render("collection/unless_small.sql", **parts) if is_split else sql.SQL(""),
        "narrow_to_tenant": sql.SQL("") if is_split else render("collection/narrow_to_tenant.sql", **parts),
        "tenant_declarations": sql.SQL("tenant_table oid;\n    tenant_plan json;"),
        "plan_for_tenant": render("collection/plan_for_tenant.sql"),
    }
