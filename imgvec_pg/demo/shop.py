"""The demo's shop in its database, and its collection; idempotent: adds only what is missing."""

import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from psycopg import sql
from psycopg.types.json import Jsonb

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.stats import WorkerStats
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import Connection, connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.demo.background import BackgroundWorker
from imgvec_pg.demo.pictures import read_manifest, unpack_pictures
from imgvec_pg.demo.products import SUPPLIERS, Product, choose_products, make_product
from imgvec_pg.demo.queries import ARRIVAL, LIKED
from imgvec_pg.embedding.catalog import DEMO_NAME, describe_model
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.errors import ImgvecError, ModelError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.queue.jobs import queue_depth, release_jobs, retry_failures
from imgvec_pg.store.registry import find_collections
from imgvec_pg.store.spec import CollectionSpec

DATABASE = "shop"
COLLECTION = "product_demo"
SHOW_SECONDS = 0.1


def create_database(server: LocalServer) -> str:
    """Create the shop's database where it is missing and return its connection string."""
    with connect(server.dsn(), application_name="imgvec demo") as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    return server.dsn(DATABASE)


def unpack_photos(folder: Path, count: int | None) -> tuple[list[Product], Product]:
    """Write the photos as files and return what the shop sells, and the product that will arrive later.

    Args:
        count: Products wanted; None for all.

    Raises:
        ImgvecError: The pictures are missing from this installation.
    """
    try:
        pictures = read_manifest()
        for picture in pictures:
            photo = folder / picture.file
            # A machine that lost its power leaves files without content.
            if photo.exists() and photo.stat().st_size == 0:
                photo.unlink()
        unpack_pictures(folder)
    except (FileNotFoundError, zipfile.BadZipFile, ValueError) as error:
        raise ImgvecError(
            f"the demo's pictures are missing or damaged in this installation ({error}); "
            "repeat it: pip install --force-reinstall --no-deps imgvec-pg"
        ) from error
    products = [make_product(number, picture) for number, picture in enumerate(pictures, 1)]
    arrival = next(product for product in products if product.name == ARRIVAL)
    products.remove(arrival)
    return choose_products(products, count, {LIKED}), arrival


def fill_shop(connection: Connection, products: list[Product], arrival: Product) -> int:
    """Make the tables, add what is missing of them, take the late arrival out again; return the number of products.

    An older shop may have more than are given; none is taken away.
    """
    with connection.transaction():
        connection.execute(load_sql("demo/shop.sql"))
        connection.execute("DELETE FROM shop.product WHERE id = %s", [arrival.id])
        connection.execute(load_sql("demo/suppliers.sql"), {"suppliers": Jsonb(SUPPLIERS)})
        connection.execute(
            load_sql("demo/products.sql"), {"products": Jsonb([asdict(product) for product in products])}
        )
    # Filters of `imgvec browse` are made from statistics, which autovacuum would bring a minute later.
    connection.execute("ANALYZE shop.product")
    row = connection.execute("SELECT count(*) FROM shop.product").fetchone()
    return int(row[0]) if row else 0


def open_collection(connection: Connection, photos: Path) -> Collection:
    """Return the collection, created where it is missing, with every product listed and no job held by the dead."""
    found = find_collections(connection, COLLECTION)
    model = describe_model(DEMO_NAME)
    collection = (
        found[0]
        if found
        else create_collection(
            connection,
            CollectionSpec(
                name=COLLECTION,
                source="shop.product",
                image="photo_path",
                model=model.name,
                dimensions=model.dimensions,
                has_text=model.has_text,
                root=str(photos),
            ),
        )
    )
    list_source(connection, collection)
    # A killed demo holds its jobs for up to a minute. A living worker whose job is released loses work, no more.
    tokens = connection.execute("SELECT DISTINCT token FROM imgvec.job WHERE token IS NOT NULL").fetchall()
    release_jobs(connection, collection.id, [token for (token,) in tokens])
    retry_failures(connection, collection.id)
    return collection


def embed_waiting(
    server: LocalServer,
    dsn: str,
    connection: Connection,
    collection: Collection,
    embedder: Embedder,
    photos: Path,
    show: Callable[[int, float], None],
) -> WorkerStats:
    """Embed every row that waits.

    Args:
        show: Called with the photos done and the photos per second.

    Raises:
        ModelError: The shop was embedded by another version of the demo's model.
    """
    check_version(connection, collection, embedder)
    worker = Worker(dsn, collection.name, embedder, PipelineOptions(root=photos))
    if not queue_depth(connection, collection.id).waiting:
        return worker.stats
    with BackgroundWorker(worker, server) as background:
        while background.is_working(SHOW_SECONDS):
            show(worker.stats.finished, worker.stats.images_per_second())
    show(worker.stats.finished, worker.stats.images_per_second())
    return worker.stats


def check_version(connection: Connection, collection: Collection, embedder: Embedder) -> None:
    """Refuse a shop that an earlier release embedded with another demo model."""
    row = connection.execute(
        load_sql("queries/model_fingerprint.sql"), {"model_id": collection.model_id}
    ).fetchone()
    if row and row[0] not in (None, embedder.fingerprint):
        raise ModelError(
            "this demo shop was made by another release, whose demo model was another; "
            "make it anew: imgvec demo --reset"
        )
