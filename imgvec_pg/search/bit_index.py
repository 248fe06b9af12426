"""Searching a collection whose index holds one bit a dimension: candidates by the bits, ranked by the full vectors."""

from psycopg import sql

from imgvec_pg.database.index_methods.hnsw import BIT_OVERFETCH
from imgvec_pg.database.sql_templates import bindable
from imgvec_pg.search.query_types import Float32Array, RowKey, vector_text
from imgvec_pg.store.collection import Collection

MOST_CANDIDATES = 20_000
"""pgvector 0.8 src/hnsw.c: the default of hnsw.max_scan_tuples, where a scan ends."""


def candidate_count(k: int, ef_search: int | None) -> int:
    """Return how many rows the bits give, for k to be chosen from: as imgvec.search_<collection> has it."""
    return max(ef_search or 0, min(k * BIT_OVERFETCH, MOST_CANDIDATES))


def call_bits(
    collection: Collection, target: Float32Array | RowKey, schema: str
) -> tuple[dict[str, sql.Composable], dict[str, object]]:
    """Return the parts of collection/nearest_bit.sql that depend on the query, and their values."""
    if not isinstance(target, RowKey):
        query = sql.SQL("%(query)s::{}.halfvec").format(sql.Identifier(schema))
        return {"query": query, "e_is_other": sql.SQL("true")}, {"query": vector_text(target)}
    names = [f"key_{position}" for position in range(len(target.texts))]

    def is_target(row: str) -> sql.SQL:
        equal = [
            sql.SQL("{} OPERATOR({}.=) {}::{}").format(
                *bindable(
                    {"column": sql.Identifier(row, column), "schema": sql.Identifier(equality)}
                ).values(),
                sql.Placeholder(name),
                sql.SQL(type_name),
            )
            for column, equality, type_name, name in zip(
                collection.key_columns,
                collection.key_equality_schemas,
                collection.key_types,
                names,
                strict=True,
            )
        ]
        return sql.SQL(sql.SQL(" AND ").join(equal).as_string(None))

    table = bindable({"table": sql.Identifier("imgvec", collection.embedding_table)})["table"]
    query = sql.SQL("(SELECT o.embedding FROM {} AS o WHERE {})").format(table, is_target("o"))
    values: dict[str, object] = dict(zip(names, target.texts, strict=True))
    return {"query": query, "e_is_other": sql.SQL("NOT ({})").format(is_target("e"))}, values
