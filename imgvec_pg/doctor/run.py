"""Run all checks of `imgvec doctor`, in order. Changes nothing."""

from collections.abc import Iterable, Iterator

import psycopg

from imgvec_pg.database.connect import Connection, one_line
from imgvec_pg.doctor.copies_checks import check_copies
from imgvec_pg.doctor.duplicates_checks import check_decisions, check_duplicates, check_radius_index
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.doctor.index_and_queue_checks import (
    check_buffers,
    check_index,
    check_queue,
    check_rendering,
    index_bytes,
)
from imgvec_pg.doctor.server_checks import (
    ServerFacts,
    check_functions,
    check_pgvector,
    check_roles,
    check_schema,
    check_server,
    check_spans,
    read_server_facts,
)
from imgvec_pg.doctor.source_checks import (
    CollectionFacts,
    check_columns,
    check_exposure,
    check_policies,
    check_triggers,
    check_worker_rights,
    read_collection_facts,
)
from imgvec_pg.doctor.text_relay_checks import check_relay, check_words
from imgvec_pg.doctor.vacuum_checks import check_dead_rows
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.ddl import index_states
from imgvec_pg.store.registry import find_collections, find_spans

EMBEDDING_COLUMNS = {
    "embedding": None,
    "version": None,
    "content_hash": "bytea NOT NULL DEFAULT ''",
    "precision": "text NOT NULL DEFAULT 'unknown'",
    "embedded_at": "timestamptz NOT NULL DEFAULT now()",
    "reference_hash": "bytea",
}
"""Columns of an embedding table besides its key, and how one is added; None where no value would do
(sql/collection/embedding_table.sql)."""


def diagnose(connection: Connection) -> list[Finding]:
    """Check server, database and all collections.

    A check that this role has no right to make becomes a finding that says so.
    """
    server = read_server_facts(connection)
    findings = [*check_server(server), *check_pgvector(server)]
    schema = list(report_missing_rights(server, "database", check_schema(connection, server)))
    findings += schema
    if any(finding.level == "error" for finding in schema):
        return findings
    findings += report_missing_rights(server, "database", check_functions(connection))
    findings += report_missing_rights(server, "shards", check_spans(connection))
    findings += report_missing_rights(server, "database", check_roles(connection))
    findings += report_missing_rights(server, "database", check_relay(connection))
    findings += report_missing_rights(server, "database", check_collections(connection, server))
    return findings


def report_missing_rights(
    server: ServerFacts, subject: str, findings: Iterable[Finding]
) -> Iterator[Finding]:
    """Pass findings on; where the role lacks a right, say that the rest was not looked at."""
    try:
        yield from findings
    except psycopg.errors.InsufficientPrivilege as error:
        yield Finding(
            "info",
            subject,
            f"not all was looked at: the role {server.role_name} lacks a right ({one_line(error)})",
            "imgvec doctor as the owner of the schema imgvec",
        )


def check_collections(connection: Connection, server: ServerFacts) -> Iterator[Finding]:
    """Check each collection, and what they need together."""
    collections = find_collections(connection)
    if not collections and not find_spans(connection):
        yield Finding(
            "info",
            "database",
            "there is no collection yet",
            "imgvec collection create NAME --source TABLE --image COLUMN --model MODEL",
        )
    total_bytes = 0
    kept = []
    for collection in collections:
        facts = read_collection_facts(connection, collection)
        for findings in collection_checks(connection, server, collection, facts):
            yield from report_missing_rights(server, collection.name, findings)
        if facts.embedding_table is not None and not lacking_columns(facts):
            kept.append(collection)
            total_bytes += index_bytes(index_states(connection, collection))
    yield from report_missing_rights(server, "database", check_decisions(connection, kept))
    yield from check_buffers(server, total_bytes)


def collection_checks(
    connection: Connection, server: ServerFacts, collection: Collection, facts: CollectionFacts
) -> Iterator[Iterable[Finding]]:
    """Give the checks that make sense for a collection: few where its tables are gone."""
    if facts.columns is None or facts.embedding_table is None:
        yield [lost(collection, facts)]
        return
    if lacking := lacking_columns(facts):
        yield [incomplete(collection, lacking)]
        return
    yield check_columns(connection, collection, facts)
    yield check_exposure(connection, collection, facts)
    yield check_triggers(connection, collection, facts)
    yield check_foreign_key(collection, facts)
    yield check_policies(collection, facts)
    yield check_worker_rights(connection, collection, facts)
    yield check_index(connection, collection, facts, server)
    yield check_dead_rows(connection, collection)
    yield check_queue(connection, collection)
    yield check_rendering(collection)
    yield check_copies(connection, collection, facts)
    yield check_duplicates(connection, collection)
    yield check_radius_index(connection, collection)
    yield check_words(connection, collection)


def lost(collection: Collection, facts: CollectionFacts) -> Finding:
    """Say that the source or the embedding table of a collection is gone."""
    what = "its source table" if facts.columns is None else f"its table imgvec.{collection.embedding_table}"
    harm = "" if facts.columns is None else ": writes to the source may fail"
    return Finding(
        "error", collection.name, f"{what} was dropped{harm}", f"imgvec collection drop {collection.name}"
    )


def lacking_columns(facts: CollectionFacts) -> list[str]:
    """Return which of EMBEDDING_COLUMNS the embedding table has not got."""
    return [name for name in EMBEDDING_COLUMNS if name not in facts.embedding_columns]


def incomplete(collection: Collection, lacking: list[str]) -> Finding:
    """Say that the embedding table is of another schema, as after the restore of an old dump, and how to complete it."""
    addable = [EMBEDDING_COLUMNS[name] for name in lacking]
    added = "; ".join(
        f"ALTER TABLE imgvec.{collection.embedding_table} ADD COLUMN {name} {definition}"
        for name, definition in zip(lacking, addable, strict=True)
        if definition is not None
    )
    next_step = (
        f"{added}; then: imgvec migrate; imgvec index rebuild {collection.name}"
        if all(addable)
        else f"imgvec collection drop {collection.name}, then create it again"
    )
    return Finding(
        "error",
        collection.name,
        f"imgvec.{collection.embedding_table} lacks {' and '.join(lacking)}, as after the restore of another release's dump: "
        "searches and workers fail",
        next_step,
    )


def check_foreign_key(collection: Collection, facts: CollectionFacts) -> Iterator[Finding]:
    """Check that the foreign key is still there, without which deleted rows are found."""
    if not collection.forgets_by_key or facts.foreign_key:
        return
    is_missing = facts.foreign_key is None
    yield Finding(
        "error",
        collection.name,
        f"the foreign key to the source is {'gone' if is_missing else 'not valid'}: deleted rows may still be found",
        f"imgvec collection reconcile {collection.name}",
    )
