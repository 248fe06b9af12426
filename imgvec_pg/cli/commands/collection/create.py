"""`imgvec collection create`: make a table's pictures searchable."""

from pathlib import Path

import click
import psycopg
from rich.console import Console

from imgvec_pg.cli.options import dsn_option, lock_timeout_option
from imgvec_pg.cli.output.progress import count_progress
from imgvec_pg.database.connect import Connection, connect, one_line, require_schema
from imgvec_pg.database.hnsw import HnswParams
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.errors import CollectionError, UsageError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.estimate import Estimate, estimate_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.source import describe_source
from imgvec_pg.store.spec import CollectionRequest
from imgvec_pg.text import counted, size

LIBRARY = "imgvec.image"


@click.command()
@click.argument("name")
@dsn_option
@click.option(
    "--source", metavar="TABLE", help="Table that has a row for each picture, such as shop.product."
)
@click.option(
    "--image",
    "image_columns",
    multiple=True,
    metavar="COLUMN",
    help="Column with the pictures: paths (text) or the pictures themselves (bytea). Twice, for one of each.",
)
@click.option(
    "--library",
    is_flag=True,
    help="Use the built-in library (imgvec add) as the source; call its collection `image` to use the ready Python classes.",
)
@click.option(
    "--model",
    "model_name",
    required=True,
    help="architecture/pretrained, such as ViT-B-32/laion2b_s34b_b79k.",
)
@click.option(
    "--root", metavar="DIR", help="Folder that paths are relative to; the worker reads nothing outside it."
)
@click.option(
    "--url",
    "url_prefixes",
    multiple=True,
    metavar="PREFIX",
    help="URLs that may be fetched begin so: https://img.example.com, https://*.example.com, s3://bucket. None by default.",
)
@click.option(
    "--watch",
    "watch_columns",
    multiple=True,
    metavar="COLUMN",
    help="Another column whose change means a new picture.",
)
@click.option(
    "--key",
    "key_columns",
    multiple=True,
    metavar="COLUMN",
    help="Columns that identify a row, for views. Needs --no-fk.",
)
@click.option(
    "--no-fk",
    is_flag=True,
    help="No foreign key on the source: TRUNCATE and DROP of it then need no CASCADE.",
)
@click.option("--m", type=int, default=16, show_default=True, help="HNSW: links per node.")
@click.option(
    "--ef-construction", type=int, default=64, show_default=True, help="HNSW: candidates kept while building."
)
@click.option(
    "--quantize",
    type=click.Choice(["bit"]),
    help="bit: index one bit a dimension and rank the finds again by the full vectors, for collections beyond memory.",
)
@click.option(
    "--partitions", type=click.IntRange(0, 1024), default=0, help="Hash partitions of the embedding table."
)
@click.option(
    "--prompt",
    default="{}",
    metavar="TEXT",
    help="What words become before they are embedded, {} standing for them, such as 'a photo of {}'.",
)
@click.option("--dry-run", is_flag=True, help="Change nothing; say what it would take.")
@lock_timeout_option
def create(
    name: str,
    dsn: str,
    source: str | None,
    image_columns: tuple[str, ...],
    library: bool,
    model_name: str,
    root: str | None,
    url_prefixes: tuple[str, ...],
    watch_columns: tuple[str, ...],
    key_columns: tuple[str, ...],
    no_fk: bool,
    m: int,
    ef_construction: int,
    quantize: str | None,
    partitions: int,
    prompt: str,
    dry_run: bool,
    lock_timeout_ms: int,
) -> None:
    """Create the collection NAME: its embedding table, triggers and search functions.

    On a live table: SHARE ROW EXCLUSIVE is taken on the source for a moment (reading goes on, writes wait), and given
    up after --lock-timeout. The foreign key makes TRUNCATE and DROP of the source need CASCADE; --no-fk keeps them as
    they are and leaves deletions to triggers and `imgvec collection reconcile`. Then every row is enqueued to be embedded
    by `imgvec backfill`, without locking.

    \b
    Example:
      imgvec collection create product_clip --source shop.product --image photo_path \\
          --root /srv/photos --model ViT-B-32/laion2b_s34b_b79k
      imgvec collection create image --library --model demo
    """
    if library:
        if source or image_columns:
            raise UsageError("--library is a source of its own; leave out --source and --image")
        source, image_columns = LIBRARY, ("uri", "content")
        watch_columns, root = ("content_hash", *watch_columns), root or "/"
    if root is not None:
        # Workers start in other folders.
        root = str(Path(root).expanduser().absolute())
    if not source or not image_columns:
        raise UsageError(
            "say which table and column hold the pictures: --source shop.product --image photo_path, or --library"
        )
    model = describe_model(model_name)
    request = CollectionRequest(
        name=name,
        relation=source,
        image_columns=image_columns,
        model_name=model.name,
        dimensions=model.dimensions,
        has_text=model.has_text,
        root=root,
        watch_columns=watch_columns,
        key=key_columns,
        with_foreign_key=not no_fk,
        hnsw=HnswParams(m, ef_construction),
        partitions=partitions,
        quantization=quantize,
        prompt=prompt,
        url_prefixes=url_prefixes,
    )
    with connect(dsn, application_name="imgvec collection") as connection:
        require_schema(connection)
        if dry_run:
            print_estimate(estimate_collection(connection, request), request)
            return
        made = create_collection(connection, request, lock_timeout_ms=lock_timeout_ms)
        click.echo(
            f"collection {made.name}: {made.shown_source} by {made.model_name} ({made.dimensions} dimensions)"
        )
        if made.has_foreign_key:
            click.echo(f"  TRUNCATE and DROP of {made.shown_source} now need CASCADE (--no-fk avoids that)")
        warn_blind_spots(connection, made)
        enqueued = enqueue_rows(connection, made)
    click.echo(f"  {counted(enqueued, 'row')} enqueued; embed them with: imgvec backfill {made.name}")


def enqueue_rows(connection: Connection, made: Collection) -> int:
    """File all rows of the source and return how many.

    Raises:
        CollectionError: The collection is made, its rows are not enqueued.
    """
    try:
        with count_progress(Console(stderr=True), "filing rows") as progress:
            return list_source(connection, made, progress)
    except psycopg.errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"collection {made.name} is made, but its rows are not enqueued yet ({one_line(error)}): the role needs SELECT "
            f"on {made.shown_source}, and BYPASSRLS where policies hide rows; then run: imgvec backfill {made.name}"
        ) from error


def warn_blind_spots(connection: Connection, made: Collection) -> None:
    """Say which changes of the source no trigger will see, and when its pictures are elsewhere."""
    if made.root is not None and not Path(made.root).is_dir():
        click.echo(f"  the folder {made.root} is not on this machine; workers need it, or --root", err=True)
    source = describe_source(connection, made.source.as_string(connection), made.key_columns)
    if not source.can_have_triggers:
        click.echo(
            f"  a {source.kind} tells nobody of its changes: schedule imgvec collection reconcile {made.name}",
            err=True,
        )
    elif source.kind == "partitioned table":
        click.echo(f"  after attaching a partition run: imgvec collection reconcile {made.name}", err=True)


def print_estimate(estimate: Estimate, request: CollectionRequest) -> None:
    """Say what creating and filling a collection would take."""
    click.echo(f"collection {request.name} over {estimate.source}: nothing was changed")
    click.echo(
        f"  rows with a picture   {estimate.rows:,}{' (planner estimate)' if estimate.is_estimated else ''}"
    )
    click.echo(f"  embedding table       {size(estimate.table_bytes)}")
    click.echo(f"  HNSW index            {size(estimate.index_bytes)}")
    if estimate.hours is None:
        click.echo(
            f"  time to fill          unknown: no worker has run {request.model_name} on this database yet"
        )
    else:
        click.echo(
            f"  time to fill          {estimate.hours:.1f} h at the {estimate.images_per_second:.1f} images/s "
            f"measured here for {request.model_name}"
        )
    click.echo(
        f"  locks                 SHARE ROW EXCLUSIVE on {estimate.source} for a moment: reading goes on, writes wait"
    )
