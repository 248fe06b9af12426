"""Checks of a collection's source: columns, triggers, policies, changes that triggers cannot see."""

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import trigger_names
from imgvec_pg.store.column_check import find_unfit_columns
from imgvec_pg.store.integrity.renewal import has_outdated_triggers
from imgvec_pg.store.source import KINDS
from imgvec_pg.text import counted


@dataclass(frozen=True)
class CollectionFacts:
    """What sql/queries/doctor_collection.sql returns; `columns` is name -> type, None when the source is gone.

    `view_owner` is the owner of a source that is a view, unless a superuser; `view_readers` the other roles that may run a
    worker over it; `unseen` why triggers could not file changes; `embedding_columns` names those of the embedding table.
    """

    source: int
    kind: str | None
    columns: dict[str, str] | None
    view_owner: str | None
    view_readers: str | None
    unseen: str | None
    source_has_policies: bool
    embedding_table: int | None
    embedding_columns: list[str]
    embeddings_have_policies: bool
    foreign_key: bool | None
    subscriptions: str | None
    estimated_rows: int


def read_collection_facts(connection: Connection, collection: Collection) -> CollectionFacts:
    """Ask the catalogue what the checks need."""
    with connection.cursor(row_factory=class_row(CollectionFacts)) as cursor:
        found = cursor.execute(
            load_sql("queries/doctor_collection.sql"), {"collection_id": collection.id}
        ).fetchone()
    assert found is not None  # noqa: S101 - the collection has just been read
    return found


def check_columns(
    connection: Connection, collection: Collection, facts: CollectionFacts
) -> Iterator[Finding]:
    """Check that every column that triggers and workers read is still there, of a type that fits."""
    columns = facts.columns or {}
    source = collection.source.as_string(None)
    can_have_triggers = facts.kind in ("r", "p")
    harm = "its changes are not seen" if can_have_triggers else "workers cannot read it"
    unfit = find_unfit_columns(connection, collection, facts.source)
    for found in unfit:
        if found.type_name is not None:
            yield Finding(
                "error",
                collection.name,
                f'the column "{found.name}" of {collection.shown_source} is {found.type_name} now, expected '
                f"{found.expected}: {harm}",
                f"change it back, then: imgvec collection reconcile {collection.name}; "
                f"or imgvec collection drop {collection.name}, then create it again",
            )
    missing = [found.name for found in unfit if found.type_name is None]
    for name in missing:
        column = sql.Identifier(name).as_string(None)
        yield Finding(
            "error",
            collection.name,
            f'{collection.shown_source} has no column "{name}" any more: {harm}',
            f"ALTER TABLE {source} RENAME COLUMN … TO {column}, then: imgvec collection reconcile {collection.name}; "
            f"or imgvec collection drop {collection.name}, then create it again",
        )
    for name, type_name in zip(collection.key_columns, collection.key_types, strict=True):
        now = columns.get(name)
        # A type may be printed with its schema or without, as the search_path has it.
        if now is None or name in [found.name for found in unfit]:
            continue
        if now.split(".")[-1] != type_name.split(".")[-1]:
            yield Finding(
                "warning",
                collection.name,
                f'the key column "{name}" of {collection.shown_source} is {now}, the embedding table has {type_name}: '
                "keys that do not fit fail, each alone",
                f"imgvec collection alter-key {collection.name}",
            )
    if not unfit:
        yield Finding("ok", collection.name, f"{collection.shown_source} has its key and image columns")


def check_triggers(
    connection: Connection, collection: Collection, facts: CollectionFacts
) -> Iterator[Finding]:
    """Check that the source and its partitions carry all triggers, enabled; say what no trigger can see."""
    source = collection.shown_source
    reconcile = f"imgvec collection reconcile {collection.name}"
    if facts.subscriptions:
        yield Finding(
            "warning",
            collection.name,
            f"the subscription {facts.subscriptions} writes {source}: replicated changes fire no trigger",
            f"schedule: {reconcile}",
        )
    if facts.kind not in ("r", "p"):
        kind = KINDS.get(facts.kind or "", "table")
        yield Finding(
            "info",
            collection.name,
            f"{source} is a {kind}, which tells nobody of its changes",
            f"schedule: {reconcile}",
        )
        return
    rows = connection.execute(
        load_sql("queries/doctor_triggers.sql"),
        {"source": facts.source, "trigger_names": trigger_names(collection)},
    ).fetchall()
    tables = {table: is_source for table, is_source, _, _ in rows}
    whole = True
    for table, is_source in tables.items():
        states = {name: state for of, _, name, state in rows if of == table}
        missing = [name for name, state in states.items() if state is None]
        silent = [name for name, state in states.items() if state in ("D", "R")]
        whole = whole and not missing and not silent
        if missing and is_source:
            yield Finding(
                "error", collection.name, f"{table} lacks {listed(missing)}: changes are not seen", reconcile
            )
        elif missing:
            yield Finding(
                "warning",
                collection.name,
                f"the partition {table} lacks {listed(missing)}: what is written to it directly is not seen",
                reconcile,
            )
        if silent:
            enable = ", ".join(f"ENABLE TRIGGER {sql.Identifier(name).as_string(None)}" for name in silent)
            yield Finding(
                "error",
                collection.name,
                f"{listed(silent)} on {table} is disabled: changes are not seen",
                f"ALTER TABLE {table} {enable}; then: {reconcile}",
            )
    if whole:
        yield Finding("ok", collection.name, f"all triggers are in place on {counted(len(tables), 'table')}")


def check_exposure(
    connection: Connection, collection: Collection, facts: CollectionFacts
) -> Iterator[Finding]:
    """Say whose code runs with whose rights, and which changes the triggers could not file."""
    if has_outdated_triggers(connection, collection):
        yield Finding(
            "error",
            collection.name,
            "its trigger functions are not this release's: casts of the source's owner may run with the rights of ours",
            "imgvec migrate",
        )
    if facts.unseen:
        yield Finding(
            "error",
            collection.name,
            f"changes of {collection.shown_source} were not seen ({facts.unseen})",
            f"once the cause is mended: imgvec collection reconcile {collection.name}",
        )
    if facts.kind in ("r", "p") and collection.reads_as is not None:
        yield Finding(
            "warning",
            collection.name,
            f"indexes, statistics or constraints of {collection.shown_source} call functions of the role {collection.reads_as}: "
            "a superuser's worker reads it with the rights of that role, all rows for each batch",
            "run workers, verify and reconcile as a role that is no superuser: a member of imgvec_worker with SELECT on it",
        )
    if facts.view_owner and facts.view_readers:
        yield Finding(
            "info",
            collection.name,
            f"{collection.shown_source} is a view of the role {facts.view_owner}: what it calls runs with the rights of the "
            f"workers that read it ({facts.view_readers})",
            "give these roles nothing but imgvec_worker and SELECT on the sources of their own collections",
        )


def listed(names: list[str]) -> str:
    """Return "trigger a" or "triggers a, b"."""
    return f"trigger{'s' if len(names) > 1 else ''} {', '.join(names)}"


def check_policies(collection: Collection, facts: CollectionFacts) -> Iterator[Finding]:
    """Check that row-level security of the source holds for the embeddings too."""
    hides = "shows each role other rows" if facts.kind == "v" else "has row-level security"
    if facts.source_has_policies and not facts.embeddings_have_policies:
        yield Finding(
            "error",
            collection.name,
            f"{collection.shown_source} {hides}, its embeddings do not: readers see keys of hidden rows",
            f"imgvec collection reconcile {collection.name}",
        )
    elif facts.source_has_policies:
        yield Finding("ok", collection.name, "the embeddings follow the source's row-level security")


def check_worker_rights(
    connection: Connection, collection: Collection, facts: CollectionFacts
) -> Iterator[Finding]:
    """Check that this role, and those that are members of imgvec_worker, can run a worker."""
    columns = facts.columns or {}
    wanted = [*collection.key_columns, *collection.watch_columns]
    rows = connection.execute(
        load_sql("queries/doctor_worker_rights.sql"),
        {
            "source": facts.source,
            "embedding_table": facts.embedding_table,
            "columns": [name for name in wanted if name in columns],
        },
    ).fetchall()
    for name, is_current, may_write, may_read, sees_all, schema_name, source_name in rows:
        role = sql.Identifier(name).as_string(None)
        steps = []
        if not may_write:
            steps.append(f"GRANT imgvec_worker TO {role}")
        if not may_read:
            steps.append(
                f"GRANT USAGE ON SCHEMA {schema_name} TO {role}; GRANT SELECT ON {source_name} TO {role}"
            )
        if not sees_all:
            steps.append(f"ALTER ROLE {role} BYPASSRLS")
        if steps:
            yield Finding(
                "info" if is_current else "warning",
                collection.name,
                f"the role {name} cannot run a worker: it lacks "
                + " and ".join(
                    text
                    for lacks, text in (
                        (not may_write, "the rights of imgvec_worker"),
                        (not may_read, f"SELECT on {source_name}"),
                        (not sees_all, f"BYPASSRLS for the policies on {source_name}"),
                    )
                    if lacks
                ),
                "; ".join(steps),
            )
