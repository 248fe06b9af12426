"""`imgvec import`: bring vectors that exist elsewhere into a collection."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import click

from imgvec_pg.cli.commands.transfer.import_report import as_object, report
from imgvec_pg.cli.exit_codes import SomeRowsFailed
from imgvec_pg.cli.options import Command, dsn_option, echo_json, json_option, model_options
from imgvec_pg.cli.output.messages import say
from imgvec_pg.cli.output.progress import image_progress
from imgvec_pg.database.connect import Connection, connect, needing, require_schema
from imgvec_pg.errors import ModelError
from imgvec_pg.search.query_embedding import ModelOptions, load_collection_model
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.registry import get_collection
from imgvec_pg.transfer.garbage import collected_rarely
from imgvec_pg.transfer.import_collection import (
    Imported,
    ImportOptions,
    import_vectors,
    require_fitting,
)
from imgvec_pg.transfer.model_proof import (
    TRUST,
    check_description,
    keep_description,
    prove_model,
    require_proof,
    sample_rows,
)
from imgvec_pg.transfer.readers.open_reader import choose_columns, open_reader
from imgvec_pg.transfer.row_lookup import RowLookup, find_keys
from imgvec_pg.transfer.vector_batch import VectorReader

Pair = tuple[str, str]


@dataclass(frozen=True)
class Given:
    """Options as they were given; names are those of the command."""

    key_columns: list[Pair]
    match: list[Pair]
    strip_prefix: str | None
    vector_column: str | None
    ids: Path | None
    trust_model: bool
    trust_pictures: bool
    queued: bool
    dry_run: bool
    jobs: int
    root: Path | None
    weights: Path | None
    device: str
    precision: str


def parse_pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[Pair]:
    """Turn SOURCE=FILE into pairs; a name alone is the same in both."""
    pairs = []
    for value in values:
        source, _, file = value.partition("=")
        if not source or (not file and "=" in value):
            raise click.BadParameter(
                f"{value!r} names no two columns; expected SOURCE_COLUMN=FILE_COLUMN", context, parameter
            )
        pairs.append((source, file or source))
    return pairs


def column_options(command: Command) -> Command:
    """Add the options that say what a file's columns are."""
    options = (
        click.option(
            "--key-column",
            "key_columns",
            multiple=True,
            callback=parse_pairs,
            metavar="SOURCE=FILE",
            help="Which column of the file holds a key column of the source; may be repeated.  [default: the one of its name]",
        ),
        click.option(
            "--match",
            multiple=True,
            callback=parse_pairs,
            metavar="SOURCE=FILE",
            help="Find rows by another column of the source than the key, such as photo_path=image_path.",
        ),
        click.option(
            "--strip-prefix",
            metavar="TEXT",
            help="With --match: take this off the beginning of the file's texts, such as the folder of its paths.",
        ),
        click.option(
            "--vector-column",
            metavar="NAME",
            help="Column of the vectors, or Qdrant's name for them.  [default: the only one, or embedding, or vector]",
        ),
        click.option(
            "--ids",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Of a FAISS index: the key of each of its numbers, as .npy or .parquet.",
        ),
    )
    wrapped: Any = command
    for option in reversed(options):
        wrapped = option(wrapped)
    return cast(Command, wrapped)


@click.command("import")
@click.argument("name", metavar="COLLECTION")
@click.argument("place", metavar="PATH")
@column_options
@click.option(
    "--trust-model", is_flag=True, help="Do not ask whether the vectors are the collection's model's."
)
@click.option(
    "--trust-pictures",
    is_flag=True,
    help="Take rows too that refer to another picture than the export says: the same ones under other paths.",
)
@click.option(
    "--queued",
    is_flag=True,
    help="Rows that wait in the queue as new or changed count as up to date with this file's vectors.",
)
@click.option("--dry-run", is_flag=True, help="Check all of it, and write nothing.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 8),
    default=2,
    show_default=True,
    metavar="N",
    help="Connections that write at once.",
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where this machine keeps the pictures, for the rows that are embedded again.",
)
@model_options
@json_option
@dsn_option
def import_(name: str, place: str, as_json: bool, dsn: str, **given: Any) -> None:  # noqa: ANN401 - the fields of Given
    """Import vectors that exist elsewhere into a collection.

    PATH is an export of imgvec's, a folder of clip-retrieval's, .parquet or .arrow files, a .npy file with a .parquet file of the
    same name, a LanceDB table (NAME.lance), a FAISS index, or the URL of a Qdrant collection. Nothing is written
    before all parts were found whole and the vectors are known to be the collection's model's: an export says so itself, of
    other files 50 rows are embedded again and compared.

    Vectors are divided by their norm. A row that has an embedding keeps it, a row whose picture changes afterwards is
    embedded anew, and imported rows are taken off the queue. Cut off, the same command goes on: no row is written twice. Exit
    code 4 says that some rows of the file were not taken. Load first and build the index after.

    \b
    Example:
      imgvec import product_clip vectors
      imgvec import product_clip items.parquet --key-column id=item_id --vector-column emb
      imgvec import product_clip /data/embeddings --match photo_path=image_path --strip-prefix /data/photos/
      imgvec import product_clip http://127.0.0.1:6333/collections/products --trust-model
    """
    wanted = Given(**given)
    if len(wanted.match) > 1 or (wanted.strip_prefix is not None and not wanted.match):
        raise click.UsageError("--match is given once, and --strip-prefix with it")
    with ExitStack() as stack:
        connections = [
            stack.enter_context(connect(dsn, application_name="imgvec import"))
            for _ in range(1 if wanted.dry_run else wanted.jobs)
        ]
        require_schema(connections[0])
        collection = get_collection(connections[0], name)
        begun = time.monotonic()
        reader, imported = run_import(connections, collection, place, wanted)
        seconds = time.monotonic() - begun
    if as_json:
        echo_json(as_object(collection, reader, imported, seconds, is_dry=wanted.dry_run))
    else:
        report(collection, reader, imported, seconds, is_dry=wanted.dry_run)
    if imported.refused or imported.counts.unknown:
        raise SomeRowsFailed


def run_import(
    connections: list[Connection], collection: Collection, place: str, wanted: Given
) -> tuple[VectorReader, Imported]:
    """Open what is to be imported, ask whether it belongs here, and import it."""
    connection = connections[0]
    match = wanted.match[0] if wanted.match else None
    columns, lookup = choose_columns(collection, wanted.key_columns, match, wanted.vector_column)
    lookup = replace(lookup, strip_prefix=wanted.strip_prefix or "")
    reader, lookup = open_reader(place, collection, columns, lookup, wanted.ids)
    require_fitting(collection, reader)
    needed = f"it takes imgvec_worker, SELECT on {collection.shown_source}, and TEMPORARY in the database unless it owns them"
    with needing(connection, needed):
        if not wanted.trust_model:
            require_model(connection, collection, reader, lookup, wanted)
        begun = time.monotonic()
        with collected_rarely(), image_progress(reader.rows, "rows", "importing") as show:

            def progress(done: int) -> None:
                show(done, done / max(time.monotonic() - begun, 0.001))

            options = ImportOptions(
                lookup,
                takes_queued=wanted.queued,
                compares_references=not wanted.trust_pictures,
                is_dry=wanted.dry_run,
            )
            return reader, import_vectors(connections, collection, reader, options, progress)


def require_model(
    connection: Connection,
    collection: Collection,
    reader: VectorReader,
    lookup: RowLookup,
    wanted: Given,
) -> None:
    """Refuse vectors that are not the collection's model's: by an export's own description, else by embedding a sample again.

    Raises:
        ModelError: They are not, or nothing tells.
    """
    if reader.description is not None:
        check_description(connection, collection, reader.description)
        if not wanted.dry_run:
            keep_description(connection, collection, reader.description)
        return
    try:
        embedder = load_collection_model(
            connection, collection, ModelOptions(wanted.weights, wanted.device, wanted.precision)
        )
    except ModelError as error:
        raise ModelError(
            f"{reader.name} does not say which model made its vectors, and {collection.model_name} cannot be loaded to "
            f"tell ({error}); "
            f"with {TRUST} they are taken for its"
        ) from error
    rows = [
        (key, batch.vectors[place])
        for batch in sample_rows(reader)
        for place, key in find_keys(connection, collection, lookup, batch)
    ]
    require_proof(collection, prove_model(connection, collection, embedder, rows, wanted.root), say)
