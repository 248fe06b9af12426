"""Make a collection on each of several shards and span them, all of it or nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from imgvec_pg.database.connect import Connection, connect, one_line, require_schema
from imgvec_pg.database.sql_templates import load_sql, render
from imgvec_pg.errors import CollectionError, DatabaseError, ImgvecError
from imgvec_pg.shards.coordinator import check_span, span_collection
from imgvec_pg.shards.servers import LINK, describe_shard, is_same_database
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection, drop_collection
from imgvec_pg.store.registry import find_collections, refuse_span
from imgvec_pg.store.spec import CollectionSpec

IDLE_MS = 10_000
"""How long a shard's transaction waits for the next shards, in milliseconds; then all is undone."""

OF_SEARCHES = ("options", "application_name")
"""Options of a server for the sessions of searches, which end statements after their time."""


@contextmanager
def connect_to_shards(coordinator: Connection, names: Sequence[str]) -> Iterator[dict[str, Connection]]:
    """Open a connection to each shard from this machine, as whom this role's user mapping says.

    Raises:
        DatabaseError: This role has no mapping, a shard does not answer, its schema is another release's, or its address means
            another database from here than from the coordinator's server.
    """
    with ExitStack() as stack:
        opened: dict[str, Connection] = {}
        for name in names:
            try:
                opened[name] = stack.enter_context(
                    connect(_login(coordinator, name), application_name="imgvec shard")
                )
                require_schema(opened[name])
                _require_same_database(coordinator, name, opened[name])
            except ImgvecError as error:
                raise DatabaseError(
                    f'shard "{name}" cannot be reached from here: {error}; the collection can also be made there, and then: '
                    "imgvec shard span"
                ) from error
        yield opened


def create_on_shards(
    coordinator: Connection,
    spec: CollectionSpec,
    shards: Mapping[str, Connection],
    *,
    lock_timeout_ms: int = 2000,
) -> tuple[dict[str, Any], dict[str, Collection]]:
    """Make a collection on each shard, each over its own part of the source, and the search over them here.

    No row is read; file them by reconcile.list_source. Nothing is left where one of them fails.

    Returns:
        How the shards describe it, as span_collection has it; the collection of each.

    Raises:
        UsageError, CollectionError: It cannot be made on one of them, whose name the error says, or there is one already.
        DatabaseError: A lock was not had in time, or a shard went away.
    """
    check_span(coordinator, spec.name, list(shards), ())
    refuse_span(coordinator, spec.name)
    made: dict[str, Collection] = {}
    try:
        with ExitStack() as stack:
            for name, connection in shards.items():
                stack.enter_context(connection.transaction())
                # It keeps writers of the source waiting until the last shard is done, which may hang.
                connection.execute(
                    sql.SQL("SET LOCAL idle_in_transaction_session_timeout = {}").format(
                        sql.Literal(f"{IDLE_MS}ms")
                    )
                )
                with _of_shard(name):
                    made[name] = create_collection(connection, spec, lock_timeout_ms=lock_timeout_ms)
        return span_collection(coordinator, spec.name, list(shards)), made
    except BaseException:
        _take_back(shards, made)
        raise


@contextmanager
def _of_shard(name: str) -> Iterator[None]:
    """Put the shard's name before what it refused."""
    try:
        yield
    except ImgvecError as error:
        raise type(error)(f'shard "{name}": {error}; nothing was changed on any shard') from error


def _take_back(shards: Mapping[str, Connection], made: Mapping[str, Collection]) -> None:
    """Drop what was made and committed, on all shards that answer.

    Raises:
        DatabaseError: It could not be dropped on some.
    """
    left: dict[str, str] = {}
    for name, collection in made.items():
        try:
            there = find_collections(shards[name], collection.name)
            if there and there[0].id == collection.id:
                drop_collection(shards[name], there[0])
        except (ImgvecError, psycopg.Error) as error:
            left[name] = one_line(error) if isinstance(error, psycopg.Error) else str(error)
    if left:
        dropped = next(iter(made.values())).name
        places = ", ".join(f'"{name}" ({told})' for name, told in left.items())
        raise DatabaseError(
            f"collection {dropped} could not be dropped again on shard {places}; run there: imgvec collection drop {dropped}"
        )


def _require_same_database(coordinator: Connection, name: str, opened: Connection) -> None:
    """Refuse another database than the coordinator's server asks: localhost and a socket's folder are a machine's own.

    Raises:
        DatabaseError: It is another.
    """
    row = opened.execute(render("shards/describe.sql", collection=sql.Literal(""))).fetchone()
    if row is None or not is_same_database(json.loads(row[0]), describe_shard(coordinator, name, "")):
        raise DatabaseError(
            "its address leads to another database from here than from the coordinator's server"
        )


def _login(coordinator: Connection, name: str) -> str:
    row = coordinator.execute(load_sql("shards/login.sql").format(), {"server": LINK.format(name)}).fetchone()
    if row is None or row[1] is None:
        role = sql.Identifier(coordinator.info.user).as_string(None)
        raise CollectionError(
            f"it is not said as whom {coordinator.info.user} logs in: CREATE USER MAPPING FOR {role} SERVER {LINK.format(name)} "
            "OPTIONS (user '…', password '…')"
        )
    of_libpq = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()} - {*OF_SEARCHES}
    return make_conninfo("", **{key: value for key, value in {**row[0], **row[1]}.items() if key in of_libpq})
