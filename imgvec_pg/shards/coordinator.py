"""Search functions of a coordinator: a collection that spans shards, once all describe it alike."""

import re
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection, needing, one_line, pinned_search_path, vector_schema
from imgvec_pg.database.index_methods.hnsw import DEFAULT_EF_SEARCH
from imgvec_pg.database.index_methods.ivfflat import DEFAULT_PROBES
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError, CollectionNotFoundError, UsageError
from imgvec_pg.shards.near_tables import create_near, drop_near, why_no_near
from imgvec_pg.shards.servers import (
    OWNER,
    as_json,
    close_shards,
    dblink_schema,
    describe_shard,
    find_shards,
    grant_functions,
    shared_functions,
)
from imgvec_pg.store.key_sql import KeySql
from imgvec_pg.store.registry import find_collections
from imgvec_pg.store.search_functions import LEFT_OUT, all_rows
from imgvec_pg.store.spec import check_name

SAME = ("key_columns", "key_types", "dimensions", "model", "fingerprint", "prompt", "rendering", "bands")
"""What shards must say alike of a collection: else distances of one are not those of another."""

SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)+")
"""Names that PostgreSQL takes for an application's own settings."""

SEARCH_ARGUMENTS = 4
"""Arguments of search_* of one server, since distinct_pictures."""


def span_collection(
    connection: Connection, name: str, shards: Sequence[str], *, passed_settings: Sequence[str] = ()
) -> dict[str, Any]:
    """Make, or make anew, the function imgvec.search_<name> that asks these shards, and return how they describe the collection.

    Args:
        name: The collection's name on each shard, and here.
        shards: Names of shards, in the order in which they are asked.
        passed_settings: Settings of the asking session that are set on the shards too, such as app.tenant.

    Raises:
        UsageError: No shard, one named twice, or a setting without a prefix.
        CollectionError: A shard does not exist, has no such collection, or describes it otherwise; or this
            database has a collection of that name itself.
        DatabaseError: A shard does not answer.
    """
    check_name(name)
    _check(connection, name, shards, passed_settings)
    told = {shard: describe_shard(connection, shard, name) for shard in shards}
    model = require_same(name, {shard: span_of(shard, name, each) for shard, each in told.items()})
    no_near = why_no_near(vector_schema(connection), told, passed_settings)
    key = sharded_key(model["key_columns"], model["key_types"])
    try:
        with connection.transaction():
            connection.execute(load_sql("queries/lock_schema.sql"))
            # None was removed, and no collection made, meanwhile.
            _check(connection, name, shards, passed_settings)
            _drop_functions(connection, name)
            values = {
                **{part: model[part] for part in ("key_columns", "key_types", "dimensions", "fingerprint")},
                "name": name,
                "shards": list(shards),
                "model_name": model["model"],
                "passed_settings": list(passed_settings),
            }
            connection.execute(load_sql("shards/span.sql"), values)
            parts = search_parts(connection, name, key, model["dimensions"], passed_settings)
            with pinned_search_path(connection):
                connection.execute(shared_functions(connection))
                if len(key.names) > 1:
                    connection.execute(render("collection/key_type.sql", **parts))
                connection.execute(render("shards/search.sql", **parts))
                connection.execute(grant_search(name))
                if no_near is None:
                    create_near(connection, name, shards, key, model["dimensions"])
    except psycopg.errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"the role {connection.info.user} may not do this ({one_line(error)}); it must own the schema imgvec"
        ) from error
    except psycopg.errors.DependentObjectsStillExist as error:
        raise CollectionError(
            f"a view or function needs imgvec.search_{name} ({one_line(error)}); drop that first. Nothing was changed"
        ) from error
    except psycopg.errors.DuplicateTable as error:
        raise CollectionError(
            f"a left-over is in the way of near_{name} ({one_line(error)}); drop or rename it. Nothing was changed"
        ) from error
    return {**model, "no_near": no_near}


def sharded_key(columns: list[str], types: list[str]) -> KeySql:
    """Return the SQL of a key of shards, whose types are PostgreSQL's own."""
    return KeySql(columns, types, ["pg_catalog"] * len(columns))


def grant_search(name: str) -> sql.Composed:
    """Return the statement that lets imgvec's two roles search, and nobody else."""
    return grant_functions([f"search_{name}"])


def unspan_collection(connection: Connection, name: str) -> None:
    """Drop a coordinator's search function; the collection stays on its shards.

    Raises:
        CollectionNotFoundError: No collection of this name spans shards.
        CollectionError: A view needs the function.
    """
    row = connection.execute("SELECT FROM imgvec.sharded_collection WHERE name = %s", [name]).fetchone()
    if row is None:
        raise CollectionNotFoundError(
            f'no collection "{name}" spans shards here; imgvec shard list shows those that do'
        )
    try:
        with connection.transaction(), needing(connection, OWNER):
            _drop_functions(connection, name)
            connection.execute("DELETE FROM imgvec.sharded_collection WHERE name = %s", [name])
            close_shards(connection)
    except psycopg.errors.DependentObjectsStillExist as error:
        raise CollectionError(
            f"a view or function needs imgvec.search_{name} ({one_line(error)}); drop that first. Nothing was changed"
        ) from error


def _check(connection: Connection, name: str, shards: Sequence[str], passed_settings: Sequence[str]) -> None:
    if not shards:
        raise UsageError("name at least one shard: --shards eu,us")
    if twice := sorted({shard for shard in shards if list(shards).count(shard) > 1}):
        raise UsageError(f"shard {twice[0]} is named twice: its rows would be found twice")
    for setting in passed_settings:
        if not SETTING.fullmatch(setting):
            raise UsageError(
                f'"{setting}" is no setting of an application; expected a name with a prefix, such as app.tenant'
            )
    present = [shard.name for shard in find_shards(connection)]
    if missing := [shard for shard in shards if shard not in present]:
        raise CollectionError(
            f'shard "{missing[0]}" does not exist; there are: {", ".join(present) or "none; add one: imgvec shard add"}'
        )
    if find_collections(connection, name):
        raise CollectionError(
            f'"{name}" is a collection or alias of this database itself, whose functions have those names; '
            "a coordinator's database has none of that name"
        )


def describe_span(connection: Connection, shard: str, name: str) -> dict[str, Any]:
    """Return how a shard describes a collection.

    Raises:
        CollectionError: It has none of that name, or functions of another release.
        DatabaseError: It does not answer.
    """
    return span_of(shard, name, describe_shard(connection, shard, name))


def span_of(shard: str, name: str, told: dict[str, Any]) -> dict[str, Any]:
    """Return what a shard's description of itself says of a collection.

    Raises:
        CollectionError: It has none of that name, or functions of another release.
    """
    found = told["collection"]
    if found is None:
        raise CollectionError(
            f'shard "{shard}" has no collection "{name}"; make it there first: imgvec collection create'
        )
    if found["arguments"] != SEARCH_ARGUMENTS:
        raise CollectionError(
            f'shard "{shard}" has functions of another imgvec-pg release; run imgvec migrate there with this release'
        )
    return dict(found)


def require_same(name: str, described: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what shards say alike of a collection.

    Raises:
        CollectionError: They differ.
    """
    first, *others = described
    for other in others:
        for part in SAME:
            ours, theirs = described[first][part], described[other][part]
            # A model that no worker has loaded there yet has no fingerprint.
            if ours != theirs and not (part == "fingerprint" and None in (ours, theirs)):
                raise CollectionError(
                    f"{name} differs between shards: {part.replace('_', ' ')} is {as_json(ours)} on {first} and "
                    f"{as_json(theirs)} on {other}; distances of one are not those of the other. Nothing was changed"
                )
    known = [each["fingerprint"] for each in described.values() if each["fingerprint"] is not None]
    return {**described[first], "fingerprint": known[0] if known else None}


def _drop_functions(connection: Connection, name: str) -> None:
    drop_near(connection, name)
    connection.execute(
        render("collection/drop_functions.sql", function_names=sql.Literal([f"search_{name}"]))
    )
    connection.execute(
        sql.SQL("DROP TYPE IF EXISTS imgvec.{} RESTRICT").format(sql.Identifier(f"{name}_key"))
    )


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
        "u_keys": key.columns("u"),
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


def _arrays(key: KeySql) -> dict[str, sql.Composable]:
    """Return the `{parts}` by which plpgsql holds a shard's rows and those of all, an array a column."""
    numbers = range(1, len(key.names) + 1)
    types = [*key.type_names, "double precision"]
    found = [sql.Identifier(f"found_{number}") for number in numbers] + [sql.Identifier("found_distances")]
    everything = [sql.Identifier(f"all_{number}") for number in numbers] + [sql.Identifier("all_distances")]
    columns = [*(sql.Identifier("f", column) for column in key.names), sql.SQL("f.distance")]

    def declared(names: Sequence[sql.Composable]) -> sql.Composed:
        return sql.SQL(" ").join(
            sql.SQL("{} {}[];").format(each, sql.SQL(kind)) for each, kind in zip(names, types, strict=True)
        )

    return {
        "found_declarations": declared(found),
        "all_declarations": declared(everything),
        "found_variables": sql.SQL(", ").join(found),
        "all_variables": sql.SQL(", ").join(everything),
        "found_aggregates": sql.SQL(", ").join(
            # All in the order of the answer, and so alike.
            sql.SQL("array_agg({}) FILTER (WHERE f.imgvec_told IS NULL)").format(column)
            for column in [*columns, sql.SQL("f.imgvec_hash")]
        ),
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
    nothing = sql.SQL(", ").join([sql.SQL("NULL")] * (len(key.names) + 2))

    def head(content_hash: str) -> sql.Literal:
        text = sql.SQL("SELECT s.*, {}, NULL FROM imgvec.{}(").format(
            sql.SQL(content_hash), sql.Identifier(f"search_{name}")
        )
        return sql.Literal(text.as_string(connection))

    def tail(join: sql.Composable) -> sql.Literal:
        text = sql.SQL(") AS s{} UNION ALL SELECT {}, ").format(join, nothing)
        return sql.Literal(text.as_string(connection))

    return {
        "head": head("NULL::pg_catalog.bytea"),
        "tail": tail(sql.SQL("")),
        "distinct_head": head("e.content_hash"),
        "distinct_tail": tail(joined),
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
