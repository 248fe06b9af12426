"""Checks of near-duplicates: rows that the last run has not seen, decisions about pictures that are gone, the radius index."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import render
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.duplicates.groups import LINKAGES
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.radius_index import radius_index_state
from imgvec_pg.store.search_functions import RELATIONS, relation_parts
from imgvec_pg.text import counted

LIMIT_MS = 5_000
WORTH_WARNING = 0.05
"""Share of rows that the last run has not seen."""


def check_radius_index(connection: Connection, collection: Collection) -> Iterator[Finding]:
    """Tell of a radius index that is half made, costs more than it gives, or may miss rows; reads none of it."""
    name, state = collection.name, radius_index_state(connection, collection)
    make, drop = f"imgvec index create {name} --radius", f"imgvec index drop {name} --radius"
    if state.in_use and not state.exists:
        yield Finding("error", name, f"within_{name} asks a radius index that is gone, and fails", drop)
    elif state.in_use and not state.is_kept:
        yield Finding(
            "error",
            name,
            f"triggers that keep the radius index are off or gone: within_{name} may miss rows written since",
            f"{drop}, then {make}",
        )
    elif state.exists and not state.in_use:
        yield Finding(
            "warning",
            name,
            f"a radius index was begun and is not complete: it costs each write, and within_{name} does not ask it",
            f"{make} goes on, {drop} drops it",
        )
    elif state.in_use and state.hides_rows:
        yield Finding(
            "info",
            name,
            f"the source hides rows from some roles: for them within_{name} is faster without the radius index",
            drop,
        )


def check_duplicates(connection: Connection, collection: Collection) -> Iterator[Finding]:
    """Tell what `imgvec duplicates` has not seen, where it was ever run."""
    name = collection.name
    tables = [RELATIONS[part].format(name) for part in ("duplicate_run_table", "duplicate_seen_table")]
    present = [
        connection.execute(
            "SELECT pg_catalog.to_regclass('imgvec.' || pg_catalog.quote_ident(%s::text))", [table]
        ).fetchone()
        for table in tables
    ]
    if any(row is None or row[0] is None for row in present):
        return
    parts = {
        **collection.parts_without_source("public"),
        **collection.key_sql.parts(),
        **relation_parts(name),
    }
    row = _run(connection, render("collection/count_changes.sql", **parts))
    if row is None:
        yield Finding(
            "info",
            name,
            f"what imgvec duplicates has not seen could not be counted within {LIMIT_MS // 1000} s",
        )
        return
    if not row:
        return
    ended, threshold, condition, not_embedded, rows, gone, new, linkage, keep = row[0]
    again = f"imgvec duplicates {name} --threshold {threshold:g}"
    if linkage not in {None, LINKAGES[0]}:
        again += f" --linkage {linkage}"
    if condition is not None:
        again += f" --where {shlex.quote(condition)}"
    again += "".join(f" --keep {shlex.quote(rule)}" for rule in keep)
    changed = gone + (new or 0)
    if changed:
        told = f"{counted(gone, 'row')} gone or changed" + (
            "" if new is None else f", {new:,} new or changed"
        )
        yield Finding(
            "warning" if changed >= WORTH_WARNING * max(rows, 1) else "info",
            name,
            f"since imgvec duplicates ended, {ended:%Y-%m-%d %H:%M}: {told}; near-duplicates of those are in no pair yet",
            again,
        )
    if not_embedded:
        yield Finding(
            "info",
            name,
            f"the last imgvec duplicates left out {counted(not_embedded, 'row')} that had no vector then",
            again,
        )


def check_decisions(connection: Connection, collections: Sequence[Collection]) -> Iterator[Finding]:
    """Tell of decisions about pictures that no row has: they hold again where such a picture comes back."""
    row = connection.execute("SELECT to_regclass('imgvec.duplicate_decision')").fetchone()
    if row is None or row[0] is None or not collections:
        return

    def anywhere(column: str) -> sql.Composed:
        return sql.SQL(" OR ").join(
            sql.SQL("EXISTS (SELECT FROM imgvec.{} AS e WHERE e.content_hash = d.{})").format(
                sql.Identifier(one.embedding_table), sql.Identifier(column)
            )
            for one in collections
        )

    parts = {"has_first": anywhere("content_hash"), "has_second": anywhere("other_content_hash")}
    found = _run(connection, render("queries/count_decisions.sql", **parts))
    if found and found[0][1]:
        decisions, without = found[0]
        yield Finding(
            "info",
            "database",
            f"{without:,} of {counted(decisions, 'decision')} about duplicates {'is' if without == 1 else 'are'} about a picture "
            "that no row has any more; kept for when it comes back",
        )


def _run(connection: Connection, statement: sql.Composed) -> list[tuple[Any, ...]] | None:
    """Return the rows of a statement, None where it took too long."""
    try:
        with connection.transaction():
            connection.execute("SELECT set_config('statement_timeout', %s, true)", [str(LIMIT_MS)])
            return connection.execute(statement).fetchall()
    except psycopg.errors.QueryCanceled:
        return None
