"""Search functions of a coordinator: a collection that spans shards, once all describe it alike."""

import re
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import (
    Connection,
    lock_timeout,
    needing,
    one_line,
    pinned_search_path,
    vector_schema,
)
from imgvec_pg.database.function_names import SEARCH_FUNCTIONS
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError, CollectionNotFoundError, UsageError
from imgvec_pg.shards.near_tables import NEAR_FUNCTIONS, create_near, drop_near, why_no_near
from imgvec_pg.shards.servers import (
    OWNER,
    as_json,
    close_shards,
    describe_shard,
    find_shards,
    grant_functions,
    shared_functions,
)
from imgvec_pg.shards.span_function import search_parts, sharded_key
from imgvec_pg.store.registry import find_collections
from imgvec_pg.store.spec import check_name

SAME = (
    "pgvector",
    "key_columns",
    "key_types",
    "dimensions",
    "model",
    "fingerprint",
    "prompt",
    "rendering",
    "bands",
)
"""What shards must say alike of a collection: else distances of one are not those of another."""

SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)+")
"""Names that PostgreSQL takes for an application's own settings."""

LOCK_MS = 2_000
"""Wait for those who read near_*: whoever asks next waits behind a DROP TABLE that waits."""

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
        CollectionError: A shard does not exist, has no such collection, or describes it otherwise; its key has a type that is not
            PostgreSQL's own; or this database has a collection of that name itself.
        DatabaseError: A shard does not answer.
    """
    check_name(name)
    check_span(connection, name, shards, passed_settings)
    told = {shard: describe_shard(connection, shard, name) for shard in shards}
    model = require_same(name, {shard: span_of(shard, name, each) for shard, each in told.items()})
    _refuse_key(connection, name, model)
    no_near = why_no_near(vector_schema(connection), told, passed_settings)
    key = sharded_key(model["key_columns"], model["key_types"])
    try:
        with lock_timeout(connection, LOCK_MS):
            connection.execute(load_sql("queries/lock_schema.sql"))
            # None was removed, and no collection made, meanwhile.
            check_span(connection, name, shards, passed_settings)
            granted = _drop_functions(connection, name)
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
                _grant_again(connection, granted)
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


def _find_grants(connection: Connection, name: str) -> list[tuple[str, str, str]]:
    """Return kind and name of what is about to be made anew, and the statement of each right that others have on it."""
    functions = [SEARCH_FUNCTIONS[function].format(name) for function in ("search", *NEAR_FUNCTIONS)]
    return connection.execute(
        load_sql("shards/grants.sql"), {"functions": functions, "table": f"{name}_embedding"}
    ).fetchall()


def _grant_again(connection: Connection, granted: Sequence[tuple[str, str, str]]) -> None:
    """Give the rights that were given on what has been made again."""
    for kind, name, statement in granted:
        looked_up = "to_regproc" if kind == "FUNCTION" else "to_regclass"
        row = connection.execute(
            sql.SQL("SELECT {}(format('imgvec.%%I', %s::text)) IS NOT NULL").format(sql.SQL(looked_up)),
            [name],
        ).fetchone()
        if row is not None and row[0]:
            # What PostgreSQL printed, names quoted.
            connection.execute(sql.SQL(statement))


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
        with lock_timeout(connection, LOCK_MS), needing(connection, OWNER):
            _drop_functions(connection, name)
            connection.execute("DELETE FROM imgvec.sharded_collection WHERE name = %s", [name])
            close_shards(connection)
    except psycopg.errors.DependentObjectsStillExist as error:
        raise CollectionError(
            f"a view or function needs imgvec.search_{name} ({one_line(error)}); drop that first. Nothing was changed"
        ) from error


def check_span(
    connection: Connection, name: str, shards: Sequence[str], passed_settings: Sequence[str]
) -> None:
    """Refuse a span that cannot be made here.

    Raises:
        UsageError: No shard, one named twice, or a setting without a prefix.
        CollectionError: A shard does not exist, or this database has a collection of that name itself.
    """
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
    return {**found, "pgvector": ".".join(str(told["pgvector"]).split(".")[:2])}


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


def _refuse_taken_names(name: str, key_columns: Sequence[str]) -> None:
    """Refuse a key whose columns have names that what asks shards needs beside it.

    Raises:
        CollectionError: A column has.
    """
    for column in key_columns:
        if column == "partial" or column.startswith("imgvec_"):
            raise CollectionError(
                f'key column "{column}" of {name} has a name that the search over shards needs for itself; make the collection '
                "over a view with another name for it on each shard (--no-fk). Nothing was changed"
            )


def _refuse_key(connection: Connection, name: str, model: dict[str, Any]) -> None:
    """Refuse a key of a type that only the shards know, or of a name that is taken.

    Raises:
        CollectionError: It has such a column.
    """
    _refuse_taken_names(name, model["key_columns"])
    with pinned_search_path(connection):
        row = connection.execute(
            load_sql("shards/foreign_types.sql").format(), {"types": model["key_types"]}
        ).fetchone()
    if row is not None and row[0] is not None:
        column = model["key_columns"][model["key_types"].index(row[0])]
        raise CollectionError(
            f'key column "{column}" of {name} is of type {row[0]}; expected a type of PostgreSQL\'s own over shards, such as '
            "bigint, text or uuid. Nothing was changed"
        )


def _drop_functions(connection: Connection, name: str) -> list[tuple[str, str, str]]:
    """Drop what searches a collection, and return the rights that others had on it, as _grant_again takes them."""
    granted = _find_grants(connection, name)
    drop_near(connection, name)
    connection.execute(
        render("collection/drop_functions.sql", function_names=sql.Literal([f"search_{name}"]))
    )
    connection.execute(
        sql.SQL("DROP TYPE IF EXISTS imgvec.{} RESTRICT").format(sql.Identifier(f"{name}_key"))
    )
    return granted
