"""Make the table, its collection and queue, import the vectors, and build an index."""

import shutil
from collections.abc import Mapping

from pgvector.psycopg import register_vector

from imgvec_pg.database import migrations
from imgvec_pg.database.index_methods.hnsw import graph_bytes, index_bytes
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.spec import CollectionSpec
from millions.run import NAME, Run
from millions.vectors import BUCKETS, FILTERS, Nearest, make_queries, write_parts

KEPT = 30
"""True neighbours kept of each query: some of the first ten are deleted and changed later."""
SIZES: Mapping[str, str] = {
    "table": "SELECT pg_table_size('imgvec.item_embedding')",
    "key index": "SELECT pg_relation_size('imgvec.item_embedding_pkey')",
    "hash index": "SELECT pg_relation_size('imgvec.item_embedding_content_hash')",
    "source": "SELECT pg_total_relation_size('item')",
    "queue": "SELECT pg_total_relation_size('imgvec.job')",
}


def make_source(run: Run) -> None:
    """Make the table item with small rows, and an empty collection over it, whose queue has all of them."""
    connection, rows = run.connection, run.rows
    migrations.upgrade(connection)
    register_vector(connection)
    connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, bucket integer NOT NULL, picture text)")
    with run.measured("source", "INSERT into the source", rows):
        connection.execute(
            "INSERT INTO item SELECT g, g * 7919 %% %s, g || '.jpg' FROM generate_series(1::bigint, %s) AS g",
            [BUCKETS, rows],
        )
        connection.execute("CREATE INDEX ON item (bucket)")
        connection.execute("VACUUM ANALYZE item")
    spec = CollectionSpec(NAME, NAME, ["picture"], "generated", run.generator.dimensions, False, root="/")
    with run.measured("enqueue", "collection create: all rows enqueued", rows):
        list_source(connection, create_collection(connection, spec))
    connection.execute("VACUUM ANALYZE imgvec.job")
    note_sizes(run, "queue")


def load(run: Run, queries: int) -> None:
    """Write files of vectors, finding the true neighbours on the way, and import them."""
    folder = run.folder / "vectors"
    folder.mkdir()
    asked = make_queries(run.generator, queries)
    run.nearest = {"all": Nearest(asked, KEPT)} | {
        name: Nearest(asked, KEPT, below) for name, below in FILTERS.items()
    }
    write_parts(run.generator, run.rows, folder, list(run.nearest.values()))
    with run.measured("import", "imgvec import of .npy, queue put right", run.rows):
        ended = run.command("import", NAME, folder, "--key-column", "id=id", "--trust-model")
    shutil.rmtree(folder)
    assert ended.code == 0, ended.text
    run.figures["import"]["client_peak_bytes"] = ended.peak
    run.say(f"    the command itself: {ended.peak >> 20:,} MB at most")
    with run.measured("analyze", "VACUUM ANALYZE of the embedding table", run.rows):
        run.connection.execute("VACUUM ANALYZE imgvec.item_embedding")
    run.connection.execute("VACUUM ANALYZE imgvec.job")
    note_sizes(run, "table", "key index", "hash index", "source")


def note_sizes(run: Run, *names: str) -> None:
    """Print and keep how much disk things take."""
    sizes = {name: int(run.value(SIZES[name])) for name in names}
    run.figures.setdefault("bytes", {}).update(sizes)
    shown = ", ".join(
        f"{name} {size / 1e6:,.0f} MB ({size / run.rows:.1f} B a row)" for name, size in sizes.items()
    )
    run.say(f"    {shown}")


def build(run: Run, kind: str) -> None:
    """Build the index of one kind, without parallel workers, in place of one that is there."""
    quantization = None if kind == "halfvec" else kind
    foretold = graph_bytes(run.rows, run.generator.dimensions, 16, quantization)
    is_there = run.value("SELECT imgvec.index_state('item')") != "none"
    verb = "rebuild" if is_there else "create"
    command = [
        "index",
        verb,
        NAME,
        "--memory",
        run.memory,
        "--workers",
        0,
        "--quantize",
        quantization or "none",
    ]
    with run.measured(f"build {kind}", f"index {verb}, {kind}, 0 workers", run.rows):
        ended = run.command(*command)
    assert ended.code == 0, ended.text
    spilled = [
        line for line in ended.text.splitlines() if "maintenance_work_mem" in line or "no longer fits" in line
    ]
    size = int(run.value("SELECT pg_relation_size('imgvec.item_embedding_hnsw')"))
    formula = index_bytes(run.rows, run.generator.dimensions, 16, quantization)
    run.figures[f"build {kind}"] |= {
        "index_bytes": size,
        "index_bytes_formula": formula,
        "graph_bytes_formula": foretold,
    }
    run.say(
        f"    index {size / 1e6:,.0f} MB, {size / run.rows:.1f} B a row (formula {formula / 1e6:,.0f} MB); graph by formula "
        f"{foretold >> 20:,} MB{'; ' + spilled[-1].strip() if spilled else ''}"
    )
    run.connection.execute("CHECKPOINT")
