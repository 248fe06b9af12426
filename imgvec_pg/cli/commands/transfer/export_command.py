"""`imgvec export`: write a collection's vectors into files."""

import time
from dataclasses import asdict
from pathlib import Path

import click

from imgvec_pg.cli.options import dsn_option, echo_json, json_option
from imgvec_pg.cli.output.progress import image_progress
from imgvec_pg.database.connect import connect, needing, require_schema
from imgvec_pg.store.registry import get_collection
from imgvec_pg.text import counted
from imgvec_pg.transfer.export_collection import (
    LAYOUTS,
    VECTOR_TYPES,
    describe_export,
    estimate_rows,
    export_vectors,
)
from imgvec_pg.transfer.export_description import FILE_NAME
from imgvec_pg.transfer.garbage import collected_rarely


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
@json_option
@dsn_option
def export(
    name: str,
    directory: Path,
    layout: str,
    vector_type: str,
    columns: str,
    has_map: bool,
    as_json: bool,
    dsn: str,
) -> None:
    """Export a collection's vectors as parquet or .npy files, or as a table of LanceDB.

    Into a new folder: keys, vectors of norm 1, the SHA-256 of the pictures that they are of, and _imgvec.json, which says
    which model made them and of what. DuckDB, LanceDB, pandas and numpy open the files as they are, imgvec import takes them
    back.

    Each part, of 64 MB of vectors, is of one moment; rows that change meanwhile are in it as they were or as they are. Cut
    off, the same command goes on behind the last part that is whole. Needs the extra transfer, and lancedb for --format lance.

    \b
    Example:
      imgvec export product_clip vectors
      imgvec export product_clip vectors --format npy --vectors float32 --columns name,price
    """
    wanted = [column.strip() for column in columns.split(",") if column.strip()]
    with connect(dsn, application_name="imgvec export") as connection:
        require_schema(connection)
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

                finished = export_vectors(connection, collection, directory, description, progress)
    seconds = time.monotonic() - begun
    if as_json:
        echo_json(
            {
                **asdict(finished),
                "directory": str(directory),
                "seconds": round(seconds, 2),
                "golden": len(finished.golden),
            }
        )
        return
    click.echo(
        f"{collection.name}: {counted(finished.rows, 'vector')} of {finished.model} in {directory}, {seconds:.1f} s"
    )
    click.echo(
        f"  {directory / FILE_NAME} says what they are; take them back with: imgvec import COLLECTION {directory}"
    )
