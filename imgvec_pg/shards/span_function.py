"""The function by which a coordinator searches a collection on its shards, as its file and `{parts}`."""

from collections.abc import Sequence

from psycopg import sql

from imgvec_pg.database.connect import Connection, vector_schema
from imgvec_pg.database.index_methods.hnsw import DEFAULT_EF_SEARCH
from imgvec_pg.database.index_methods.ivfflat import DEFAULT_PROBES
from imgvec_pg.database.sql_templates import render
from imgvec_pg.shards.servers import dblink_schema
from imgvec_pg.store.key_sql import KeySql
from imgvec_pg.store.search_functions import LEFT_OUT, all_rows


def sharded_key(columns: list[str], types: list[str]) -> KeySql:
    """Return the SQL of a key of shards, whose types are PostgreSQL's own."""
    return KeySql(columns, types, ["pg_catalog"] * len(columns))


def search_parts(
    connection: Connection, name: str, key: KeySql, dimensions: int, passed_settings: Sequence[str]
) -> dict[str, sql.Composable]:
    """Return the `{parts}` of sql/shards/search.sql; its function replaces none."""
    is_composite = len(key.names) > 1
    key_type = sql.Identifier("imgvec", f"{name}_key") if is_composite else key.types
    parts: dict[str, sql.Composable] = {
        **key.parts(),
        "create": sql.SQL("CREATE FUNCTION"),
        "search": sql.Identifier(f"search_{name}"),
        "key_type": sql.Identifier(f"{name}_key"),
        "collection_name": sql.Literal(name),
        "dimensions": sql.Literal(dimensions),
        "vector": sql.Identifier(vector_schema(connection)),
        "dblink": sql.Identifier(dblink_schema(connection)),
        "among_type": key_type,
        "all_rows": all_rows(key_type),
        "u_keys": sql.SQL(", ").join(
            sql.SQL("u.{}::{}").format(sql.Identifier(column), sql.SQL(type_name))
            if _carried(type_name) != type_name
            else sql.Identifier("u", column)
            for column, type_name in zip(key.names, key.type_names, strict=True)
        ),
        "key_names": sql.SQL(", ").join(map(sql.Identifier, key.names)),
        **_arrays(key),
        **_statement(connection, name, key),
        "passed_settings": _passed(passed_settings),
        "usual_ef_search": sql.Literal(str(DEFAULT_EF_SEARCH)),
        "usual_probes": sql.Literal(str(DEFAULT_PROBES)),
    }
    checks = {
        "check_query": render("collection/check_query.sql", **parts),
        "check_among": render(
            "collection/check_among.sql", among=sql.SQL("$3"), left_out=sql.Literal(LEFT_OUT)
        ),
        "check_distinct": render("collection/check_distinct.sql", **parts),
    }
    return {**parts, **checks}


def _carried(type_name: str) -> str:
    """Return the type by which keys of a type are held in an array a column: of arrays there are no arrays."""
    return "text" if type_name.endswith("[]") else type_name


def _arrays(key: KeySql) -> dict[str, sql.Composable]:
    """Return the `{parts}` by which plpgsql holds a shard's rows and those of all, an array a column."""
    numbers = range(1, len(key.names) + 1)
    types = [*map(_carried, key.type_names), "double precision"]
    found = [sql.Identifier(f"found_{number}") for number in numbers] + [sql.Identifier("found_distances")]
    everything = [sql.Identifier(f"all_{number}") for number in numbers] + [sql.Identifier("all_distances")]

    def declared(names: Sequence[sql.Composable]) -> sql.Composed:
        return sql.SQL(" ").join(
            sql.SQL("{} {}[];").format(each, sql.SQL(kind)) for each, kind in zip(names, types, strict=True)
        )

    return {
        "found_declarations": declared(found),
        "all_declarations": declared(everything),
        "found_variables": sql.SQL(", ").join(found),
        "found_definitions": sql.SQL(", ").join(
            sql.SQL("{} {}[]").format(each, sql.SQL(kind)) for each, kind in zip(found, types, strict=True)
        ),
        "all_variables": sql.SQL(", ").join(everything),
        "all_from_found": sql.SQL(" ").join(
            sql.SQL("{0} := {0} || {1};").format(one, other)
            for one, other in zip(everything, found, strict=True)
        ),
    }


def _statement(connection: Connection, name: str, key: KeySql) -> dict[str, sql.Composable]:
    """Return the `{parts}` that are literals of what is sent to a shard, before and behind the arguments."""
    same_row = sql.SQL(" AND ").join(
        sql.SQL("e.{0} OPERATOR(pg_catalog.=) s.{0}").format(sql.Identifier(column)) for column in key.names
    )
    joined = sql.SQL(" LEFT JOIN imgvec.{} AS e ON {}").format(sql.Identifier(f"{name}_embedding"), same_row)
    columns = sql.SQL(", ").join(
        sql.SQL("pg_catalog.array_agg({}{})").format(
            sql.Identifier("s", column),
            sql.SQL("" if _carried(type_name) == type_name else "::pg_catalog.text"),
        )
        for column, type_name in [
            *zip(key.names, key.type_names, strict=True),
            ("distance", "double precision"),
        ]
    )

    def head(hashes: str) -> sql.Literal:
        text = sql.SQL("SELECT {}, {}, ").format(columns, sql.SQL(hashes))
        return sql.Literal(text.as_string(connection))

    model = sql.SQL(
        " || coalesce((SELECT pg_catalog.concat(m.name, pg_catalog.chr(10), m.fingerprint)"
        " FROM imgvec.collection AS c JOIN imgvec.model AS m ON m.id OPERATOR(pg_catalog.=) c.model_id"
        " WHERE c.name OPERATOR(pg_catalog.=) {}), pg_catalog.chr(10)) || pg_catalog.chr(10)"
    ).format(sql.Literal(name))
    return {
        "search_name": sql.Literal(f"search_{name}"),
        "shard_model": sql.Literal(model.as_string(connection)),
        "minute_setting": sql.Literal(f"imgvec.models_seen_{name}"),
        "head": head("NULL::pg_catalog.bytea[]"),
        "distinct_head": head("pg_catalog.array_agg(e.content_hash)"),
        "distinct_tail": sql.Literal(joined.as_string(connection)),
    }


def _passed(settings: Sequence[str]) -> sql.Composable:
    """Return the expression of the calls by which settings of the asking session are set on a shard before it is asked."""
    if not settings:
        return sql.SQL("''")
    return sql.SQL(" || ").join(
        sql.SQL(
            "format('pg_catalog.set_config(%L, %L, false), ', {0}, coalesce(current_setting({0}, true), ''))"
        ).format(sql.Literal(setting))
        for setting in settings
    )
