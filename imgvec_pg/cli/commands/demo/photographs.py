"""`imgvec demo --photographs`: likeness of photographs by a model with real weights, offline."""

import shlex
import time

from imgvec_pg.cli.commands.demo.screen import Screen, program_name
from imgvec_pg.cli.output.progress import image_progress
from imgvec_pg.database import migrations
from imgvec_pg.database.connect import connect
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.demo import photographs
from imgvec_pg.demo.examples import run_example
from imgvec_pg.demo.place import DemoPlace
from imgvec_pg.demo.shop import create_database, embed_waiting
from imgvec_pg.embedding.catalog import describe_model
from imgvec_pg.embedding.load import check_loadable, load_embedder
from imgvec_pg.embedding.packaged_weights import LITE
from imgvec_pg.embedding.weights import find_weights
from imgvec_pg.store.index.build import build_index
from imgvec_pg.store.queue.jobs import queue_depth
from imgvec_pg.store.setup.database_defaults import set_database_defaults

MODEL_NOTE = (
    f"The model {LITE} is an EfficientNet Lite0 of 18 MB, trained on the photographs of ImageNet: it tells likeness and "
    'near-duplicates. It has no words: imgvec search "a cat" takes a CLIP or SigLIP model.'
)


def check_weights() -> None:
    """Refuse, before a server is started, where the weights are not here.

    Raises:
        MissingExtraError: The extra `models` is not installed.
        WeightsMissingError: The extra `lite` is not, and the weights are nowhere else.
    """
    check_loadable(LITE)
    find_weights(describe_model(LITE))


def show_photographs(place: DemoPlace, server: LocalServer, screen: Screen, *, keep: bool) -> None:
    """Embed the photographs and ask for likeness, duplicates and originals."""
    began = time.monotonic()
    with screen.step("altering photographs") as step:
        with place.one_line_errors():
            rows = photographs.write_photographs(place.photographs)
        step.text = (
            f"table shop.photograph: {len(rows)} files, {len(photographs.ALTERATIONS)} of each photograph"
        )
    dsn = create_database(server)
    with connect(dsn, application_name="imgvec demo") as connection:
        with screen.step("creating the collection") as step:
            migrations.upgrade(connection)
            set_database_defaults(connection)
            collection = photographs.open_photographs(connection, rows, place.photographs)
            step.text = f"collection {collection.name}: schema imgvec, triggers, search functions"
        with screen.step("loading the model") as step:
            embedder = load_embedder(LITE, device="cpu")
            step.text = f"model {LITE}: {embedder.dimensions} dimensions"
        waiting = queue_depth(connection, collection.id).waiting
        since = time.monotonic()
        with image_progress(waiting, "photographs") as show:
            stats = embed_waiting(server, dsn, connection, collection, embedder, place.photographs, show)
        rate = f"{stats.embedded:,} photographs embedded, {stats.images_per_second():.0f} a second"
        screen.done(rate if waiting else "all photographs are embedded already", time.monotonic() - since)
        with screen.step("building the HNSW index") as step:
            step.text = "HNSW index built" if build_index(connection, collection) else "HNSW index is there"
        screen.console.print()
        screen.paragraph(MODEL_NOTE)
        for number, query in enumerate(photographs.QUERIES, 1):
            screen.heading(f"{number}. {query.title}")
            screen.example(query, run_example(connection, query))
    screen.heading(f"Done in {time.monotonic() - began:.0f} s. The photographs:")
    screen.commands([str(place.photographs)])
    imgvec = program_name()
    if not keep:
        screen.heading("The server is stopped. To go on searching:")
        screen.commands([f"{imgvec} demo --photographs --keep"])
        return
    picture = shlex.quote(str(place.photographs / "coffee-1.jpg"))
    screen.heading("Try next, in this terminal:")
    screen.commands(
        [
            f"export IMGVEC_DSN={shlex.quote(dsn)}",
            f"{imgvec} search --collection {collection.name} --image {picture}",
            f"{imgvec} duplicates {collection.name}",
            f"{imgvec} server stop --directory {shlex.quote(str(place.server))}",
        ]
    )
