"""`imgvec export`: write a collection's vectors into files."""

import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.output.progress import image_progress
from imgvec_pg.database.connect import Connection, connect, is_pooled, needing, require_schema
from imgvec_pg.errors import ConnectionFailedError, UsageError
from imgvec_pg.store.registry import get_collection
from imgvec_pg.text import counted
from imgvec_pg.transfer.export_collection import (
    LAYOUTS,
    VECTOR_TYPES,
    describe_export,
    estimate_rows,
    export_vectors,
)
from imgvec_pg.transfer.export_description import FILE_NAME, ExportDescription
from imgvec_pg.transfer.garbage import collected_rarely

DEFAULT_JOBS = 2


def choose_jobs(connection: Connection, layout: str, given: int | None) -> int:
    """Return how many parts are read and written at once.

    Raises:
        UsageError: As many as were given cannot be.
    """
    if layout == "lance":
        if given is not None and given > 1:
            raise UsageError(
                f"--format lance writes one part after the other, and --jobs {given} was given; leave it out"
            )
        return 1
    if is_pooled(connection):
        if given is not None and given > 1:
            raise UsageError(
                f"--jobs {given} reads one snapshot over several connections, which a pooler such as pgbouncer may not give "
                "the sessions for; connect to PostgreSQL itself, or give --jobs 1"
            )
        return 1
    return given or DEFAULT_JOBS


def open_readers(stack: ExitStack, dsn: str, jobs: int) -> list[Connection]:
    """Open a connection for each part that is read at once.

    Raises:
        ConnectionFailedError: The server has not so many for this role.
    """
    try:
        return [stack.enter_context(connect(dsn, application_name="imgvec export")) for _ in range(jobs)]
    except ConnectionFailedError as error:
        if jobs == 1:
            raise
        raise ConnectionFailedError(
            f"{error}. This export takes {jobs + 1} connections; with --jobs 1 two are enough"
        ) from error


@click.command()
@click.argument("name", metavar="COLLECTION")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--format",
    "layout",
    type=click.Choice(LAYOUTS),
    default="parquet",
    show_default=True,
    help="npy: vectors as .npy files, keys and hashes in parquet files beside them. lance: a table of LanceDB.",
)
@click.option(
    "--vectors",
    "vector_type",
    type=click.Choice(VECTOR_TYPES),
    default="float16",
    show_default=True,
    help="float16 is what the database holds; float32 for readers that know no halves.",
)
@click.option(
    "--columns", metavar="A,B", default="", help="Columns of the source to write beside the vectors."
)
@click.option(
    "--map",
    "has_map",
    is_flag=True,
    help="Write each picture's place on the collection's map beside its vector: x, y and cluster.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 8),
    metavar="N",
    help="Parts that are read and written at once.  [default: 2, or 1 for lance, whose parts come one after the other, "
    "and behind a pooler]",
)
@json_option
@dsn_option
def export(
    name: str,
    directory: Path,
    layout: str,
    vector_type: str,
    columns: str,
    has_map: bool,
    jobs: int | None,
    as_json: bool,
    dsn: str,
) -> None:
    """Export a collection's vectors as parquet or .npy files, or as a table of LanceDB.

    Into a new folder: keys, vectors of norm 1, the SHA-256 of the pictures that they are of, and _imgvec.json, which says
    which model made them and of what. DuckDB, LanceDB, pandas and numpy open the files as they are, imgvec import takes them
    back.

    Parts are of 64 MB of vectors, and all of one moment: as pg_dump does, the command holds a snapshot until its end. With
    --jobs 1 each part is of a moment of its own, and none is held for longer. Cut off, the same command goes on behind the
    last part that is whole. Needs the extra transfer, and lancedb for --format lance.

    \b
    Example:
      imgvec export product_clip vectors
      imgvec export product_clip vectors --format npy --vectors float32 --columns name,price
    """
    wanted = [column.strip() for column in columns.split(",") if column.strip()]
    with ExitStack() as stack:
        connection = stack.enter_context(connect(dsn, application_name="imgvec export"))
        require_schema(connection)
        readers = open_readers(stack, dsn, choose_jobs(connection, layout, jobs))
        collection = get_collection(connection, name)
        needed = f"it takes SELECT on imgvec.{collection.embedding_table} and on {collection.shown_source}"
        with needing(connection, needed):
            description = describe_export(
                connection, collection, layout, vector_type, wanted, has_map=has_map
            )
            total = estimate_rows(connection, collection)
            begun = time.monotonic()
            with collected_rarely(), image_progress(total, "rows", "exporting") as show:

                def progress(done: int) -> None:
                    show(done, done / max(time.monotonic() - begun, 0.001))

                finished = export_vectors(connection, readers, collection, directory, description, progress)
    _report(finished, directory, time.monotonic() - begun, as_json=as_json)


def _report(finished: ExportDescription, directory: Path, seconds: float, *, as_json: bool) -> None:
    if as_json:
        values = {**asdict(finished), "golden": len(finished.golden)}
        echo_json({**values, "directory": str(directory), "seconds": round(seconds, 2)})
        return
    vectors = counted(finished.rows, "vector")
    click.echo(f"{finished.collection}: {vectors} of {finished.model} in {directory}, {seconds:.1f} s")
    click.echo(
        f"  {directory / FILE_NAME} says what they are; take them back with: imgvec import COLLECTION {directory}"
    )
