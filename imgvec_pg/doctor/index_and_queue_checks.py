"""Checks of index, queue, workers and memory of a collection."""

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg.rows import class_row

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.index_methods.ivfflat import default_probes
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.doctor.finding import Finding
from imgvec_pg.doctor.server_checks import ServerFacts
from imgvec_pg.doctor.source_checks import CollectionFacts
from imgvec_pg.images.rendering.version import NEWEST
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.index.build import RAISED_BYTES, needed_bytes
from imgvec_pg.store.index.ddl import IndexState, index_states
from imgvec_pg.text import counted

WORTH_AN_INDEX_ROWS = 10_000
"""Below this an exact search takes a few milliseconds."""
OUTGROWN = 2
"""Growth since its build from which an IVFFlat index is worth building anew."""
LATE_SECONDS = 120


@dataclass(frozen=True)
class QueueFacts:
    """What sql/queries/doctor_queue.sql returns."""

    waiting: int
    abandoned: int
    quarantined: int
    ready: int
    workers: int
    last_seen: str | None
    failures: int


def check_index(
    connection: Connection, collection: Collection, facts: CollectionFacts, server: ServerFacts
) -> Iterator[Finding]:
    """Check that there is a valid index, of whatever method, and memory to build and to search it."""
    name = collection.name
    states = index_states(connection, collection)
    backfill = f"imgvec backfill {name}"
    building = connection.execute(
        load_sql("queries/index_progress.sql"), {"table": f"imgvec.{collection.embedding_table}"}
    ).fetchone()
    broken = [state for state in states if state.index_name is not None and not state.is_valid]
    missing = [state for state in states if state.index_name is None]
    rows = facts.estimated_rows
    if not states:
        remedy = f"imgvec collection partition {name}"
        yield Finding(
            "info",
            name,
            f"all tenants share one partition and are compared exactly (about {rows:,} embeddings)",
            remedy,
        )
        return
    if building is not None:
        yield Finding("info", name, f"an index is being built: {building[0]}")
    elif broken:
        shown = ", ".join(f"imgvec.{state.index_name}" for state in broken)
        yield Finding(
            "error", name, f"the index {shown} is INVALID (its build was cancelled) and not used", backfill
        )
    elif missing and rows >= WORTH_AN_INDEX_ROWS:
        yield Finding(
            "warning", name, f"no index: each search reads all of about {rows:,} embeddings", backfill
        )
    elif missing:
        yield Finding("info", name, f"no index yet (about {rows:,} embeddings); the first backfill builds it")
    else:
        yield Finding("ok", name, f"the {states[-1].label} index is valid ({size(index_bytes(states))})")
        yield from _check_lists(connection, collection, states, rows)
    needed, _, _ = needed_bytes(collection, rows, rows)
    if needed > max(server.maintenance_work_mem, RAISED_BYTES):
        yield Finding(
            "warning",
            name,
            f"building the index wants {size(needed)} of maintenance_work_mem, the server gives "
            f"{size(server.maintenance_work_mem)}: it will be slow",
            f"ALTER SYSTEM SET maintenance_work_mem = '{-(-needed // (1 << 20))}MB'; SELECT pg_reload_conf()",
        )


def _check_lists(
    connection: Connection, collection: Collection, states: list[IndexState], rows: int
) -> Iterator[Finding]:
    """Check that near_* read as many lists of an IVFFlat index as search_* do, and that it was built of about these rows."""
    name, lists = collection.name, states[-1].lists
    if lists is None:
        return
    probes = connection.execute(load_sql("queries/session_probes.sql")).fetchone()
    read, wanted = probes[0] if probes else 1, collection.probes or default_probes(lists)
    if read < wanted:
        yield Finding(
            "warning",
            name,
            f"near_* read {read} of {lists} lists (ivfflat.probes), where search_* read {wanted}: they find fewer of the nearest",
            f"ALTER DATABASE {connection.info.dbname} SET ivfflat.probes = {wanted}, for new sessions; imgvec index tune {name}",
        )
    built = sum(state.built[0] for state in states if state.lists is not None and state.built is not None)
    if built and rows > OUTGROWN * built:
        yield Finding(
            "warning",
            name,
            f"the lists of the IVFFlat index were found among {built:,} rows, there are about {rows:,} now: each search reads "
            "more of them, and recall may have changed",
            f"imgvec index rebuild {name}, then: imgvec recall {name}",
        )


def index_bytes(states: list[IndexState]) -> int:
    """Return the size of all indexes; a partitioned table's own has none."""
    return sum(state.index_bytes for state in states)


def check_buffers(server: ServerFacts, total_bytes: int) -> Iterator[Finding]:
    """Check that the indexes of all collections fit into shared_buffers."""
    if total_bytes > server.shared_buffers:
        yield Finding(
            "warning",
            "server",
            f"the indexes take {size(total_bytes)}, shared_buffers is {size(server.shared_buffers)}: searches wait for disk",
            f"ALTER SYSTEM SET shared_buffers = '{-(-total_bytes * 5 // (4 << 20))}MB' if memory allows, then restart the server",
        )


def size(count: int) -> str:
    """Return a number of bytes as PostgreSQL says it."""
    if count >= 10 << 30:
        return f"{count / (1 << 30):,.0f} GB"
    return f"{count / (1 << 20):,.0f} MB" if count >= 1 << 20 else f"{count / 1024:,.0f} kB"


def check_rendering(collection: Collection) -> Iterator[Finding]:
    """Say that the pixels of a collection are those of older rules of rendering, or partly."""
    name, has = collection.name, collection.rendering
    if has > NEWEST:
        yield Finding(
            "error",
            name,
            f"its pictures are rendered by version {has}, this release knows {NEWEST} at most: nothing can be embedded",
            "install a later release",
        )
    elif collection.rendering_from is not None:
        yield Finding(
            "warning",
            name,
            f"not all of its pictures are compared yet: some may still be rendered by version {collection.rendering_from}, "
            f"new ones are by {has}",
            f"imgvec retry {name} --rendering goes on where it was cut off",
        )
    elif has < NEWEST:
        yield Finding(
            "info",
            name,
            f"its pictures are rendered by version {has} of the rules, and stay so until you change it; {NEWEST} is the newest",
            f"imgvec retry {name} --rendering --dry-run lists the rows whose pixels would change",
        )


def check_queue(connection: Connection, collection: Collection) -> Iterator[Finding]:
    """Check that work goes on, and say what failed."""
    name = collection.name
    with connection.cursor(row_factory=class_row(QueueFacts)) as cursor:
        queue = cursor.execute(
            load_sql("queries/doctor_queue.sql"),
            {"collection_id": collection.id, "late_seconds": LATE_SECONDS},
        ).fetchone()
    assert queue is not None  # noqa: S101 - an aggregate always gives a row
    run = f"imgvec backfill {name}, or for good: imgvec worker {name}"
    seen = f"; the last was seen {queue.last_seen}" if queue.last_seen else ""
    if not collection.is_listed:
        yield Finding(
            "warning", name, "not all rows of the source have been enqueued yet", f"imgvec backfill {name}"
        )
    if queue.waiting and not queue.workers:
        yield Finding(
            "warning", name, f"{counted(queue.waiting, 'row', 'wait')} and no worker runs now{seen}", run
        )
    elif queue.waiting:
        yield Finding(
            "ok", name, f"{counted(queue.waiting, 'row', 'wait')}, {counted(queue.workers, 'worker', 'run')}"
        )
    else:
        yield Finding("ok", name, "nothing waits")
    if queue.abandoned:
        yield Finding(
            "warning",
            name,
            f"left by workers that died or hang: {counted(queue.abandoned, 'job')}",
            f"any worker takes them again: {run}",
        )
    if queue.quarantined:
        yield Finding(
            "info",
            name,
            f"{counted(queue.quarantined, 'job')} cost a worker its life: tried alone, given up after three more",
            f"imgvec failures {name}",
        )
    if queue.failures:
        yield Finding(
            "warning",
            name,
            f"{counted(queue.failures, 'row')} could not be embedded",
            f"imgvec failures {name}, then: imgvec retry {name}",
        )
