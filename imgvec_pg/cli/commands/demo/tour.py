"""Second half of `imgvec demo`: five queries, a contact sheet, and what to try next."""

import re
import shlex
from dataclasses import dataclass

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.cli.commands.demo.screen import Screen, program_name
from imgvec_pg.database.connect import Connection
from imgvec_pg.database.local_server.server import LocalServer
from imgvec_pg.demo import queries
from imgvec_pg.demo.arrival import wait_until_found
from imgvec_pg.demo.background import BackgroundWorker
from imgvec_pg.demo.examples import run_example
from imgvec_pg.demo.place import DemoPlace
from imgvec_pg.demo.products import Product
from imgvec_pg.demo.shop import DATABASE
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.search.contact_sheet import Sheet
from imgvec_pg.search.images import read_pictures
from imgvec_pg.search.nearest import NearestOptions, find_nearest
from imgvec_pg.search.query_embedding import embed_words
from imgvec_pg.search.query_types import SearchQuery
from imgvec_pg.store.collection import Collection

SHEET_WORDS = "heart"
SHEET_WHERE = "price < 8 AND in_stock"
SHEET_ROWS = 10
REAL_MODEL = "ViT-B-32/laion2b_s34b_b79k"


@dataclass(frozen=True)
class Shop:
    """The demo's shop, filled."""

    place: DemoPlace
    server: LocalServer
    dsn: str
    collection: Collection
    embedder: Embedder
    liked: Product
    arrival: Product


def ask_questions(screen: Screen, connection: Connection, shop: Shop) -> None:
    """Ask the five questions, the fifth while a worker runs; write them down for psql too."""
    asked = [
        queries.WORDS,
        queries.WORDS_AND_COLUMNS,
        queries.more_like(shop.liked),
        queries.ALTERNATIVES,
    ]
    script = "\n\n".join(example.script() for example in [*asked, queries.FIND_ARRIVAL])
    with shop.place.one_line_errors():
        shop.place.script.write_text(script + "\n", encoding="utf-8")
    # The worker that answers the first question starts beside it, on whatever machine this is.
    connection.execute("SET imgvec.text_timeout = '60 s'")
    options = PipelineOptions(follow=True, root=shop.place.photos)
    with BackgroundWorker(
        Worker(shop.dsn, shop.collection.name, shop.embedder, options), shop.server
    ) as worker:
        for number, example in enumerate(asked, 1):
            screen.heading(f"{number}. {example.title}")
            screen.example(example, run_example(connection, example))
        show_arrival(screen, connection, shop, worker)


def show_arrival(screen: Screen, connection: Connection, shop: Shop, worker: BackgroundWorker) -> None:
    """Insert a product and search for it until it is found."""
    arrives = queries.arrival_of(shop.arrival)
    found = queries.FIND_ARRIVAL
    screen.heading(f"5. {arrives.title}")
    screen.example(arrives)
    run_example(connection, arrives)
    answer, seconds = wait_until_found(connection, found, shop.arrival.id, worker)
    screen.console.print()
    screen.example(found, answer)
    screen.console.print()
    screen.paragraph(
        f"A running worker saw it and embedded it: found {seconds:.1f} s after the INSERT.", "   "
    )


def write_sheet(screen: Screen, connection: Connection, shop: Shop) -> None:
    """Write an answer with its pictures as one HTML file."""
    vector = embed_words(connection, shop.collection, shop.embedder, SHEET_WORDS)
    options = NearestOptions(k=SHEET_ROWS, where=SHEET_WHERE, columns=["name", "category", "price"])
    answer = find_nearest(connection, shop.collection, vector, options)
    keys = [row.key for row in answer.rows]
    pictures = read_pictures(connection, shop.collection, keys, shop.place.photos)
    sheet = Sheet(SearchQuery("words", SHEET_WORDS, vector), shop.collection, answer, SHEET_WHERE)
    page = sheet.html(pictures)
    with shop.place.one_line_errors():
        shop.place.sheet.write_text(page, encoding="utf-8")


def psql_quoted(path: str) -> str:
    """Quote a file name for psql's backslash commands, where it needs it."""
    if re.fullmatch(r"[\w./-]+", path):
        return path
    doubled = path.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"


def say_what_next(screen: Screen, shop: Shop, *, keep: bool, seconds: float) -> None:
    """End with the contact sheet, three commands to paste, and how to search photographs."""
    imgvec = program_name()
    server = shlex.quote(str(shop.place.server))
    screen.heading(f"Done in {seconds:.0f} s. See the pictures in a browser:")
    screen.commands([str(shop.place.sheet)])
    if keep:
        screen.heading("Search and filter them there; this prints the address to open:")
        screen.commands([f"{imgvec} browse {shop.collection.name} --dsn {shlex.quote(shop.dsn)}"])
        screen.heading("Try next, in this terminal:")
        screen.commands(
            [
                f"export IMGVEC_DSN={shlex.quote(shop.dsn)}",
                f'{imgvec} search "train" --where "price < 8 AND in_stock"',
                f"{imgvec} search --like {shop.liked.id} --html more.html",
                f"{imgvec} server psql --directory {server} {DATABASE}",
            ]
        )
        screen.heading("In psql, the questions once more:")
        screen.commands([f"\\i {psql_quoted(str(shop.place.script))}"])
    else:
        screen.heading("The server is stopped. To go on searching:")
        screen.commands([f"{imgvec} demo --keep"])
    screen.heading("Photographs need a real model. For a database and a table of your own:")
    screen.commands(
        [
            "export IMGVEC_DSN=postgresql:///mydatabase",
            f"{imgvec} migrate",
            f"{imgvec} collection create photo_clip --source my.table \\",
            f"    --image path_column --root /my/photos --model {REAL_MODEL}",
            f"{imgvec} backfill photo_clip",
        ]
    )
    if keep:
        screen.heading("PostgreSQL goes on running. To stop it:")
        screen.commands([f"{imgvec} server stop --directory {server}"])
