"""A shop of coloured stickers behind the pages of imgvec browse, and a server of those pages that can go and come back."""

import io
from threading import Thread
from typing import Any

from colorshop import COLORS, PURE, request
from imgvec_test_embedder import ColorGrid
from PIL import Image, ImageDraw
from werkzeug.serving import make_server

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import connect
from imgvec_pg.pages.application import pages_app
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source

TOKEN = "a-token-that-nobody-guesses"
EVIL = "<img src=x onerror=alert(1)>"
STICKERS = 120
GONE = 17
"""The row whose picture is none."""


def sticker(number: int) -> bytes:
    """Return a picture of one colour with a mark that tells its number, so that no two are the same."""
    colour = list(COLORS)[number % len(COLORS)]
    image = Image.new("RGB", (120, 90), PURE.get(colour, colour))
    draw = ImageDraw.Draw(image)
    for place in range(8):
        if number >> place & 1:
            draw.rectangle((4 + 6 * place, 4, 7 + 6 * place, 7), fill="grey")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def make_stickers(dsn: str) -> None:
    """Make shop.sticker, by number the colours in COLORS' order, and collection sticker over it, embedded."""
    with connect(dsn) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute(
            "CREATE TABLE shop.sticker (id int PRIMARY KEY, name text, colour text, price numeric(8,2), in_stock boolean,"
            " added date, picture bytea)"
        )
        for number in range(STICKERS):
            colour = list(COLORS)[number % len(COLORS)]
            connection.execute(
                "INSERT INTO shop.sticker VALUES (%s, %s, %s, %s, %s, date '2026-01-01' + %s::int, %s)",
                [
                    number,
                    EVIL if number == 8 else f"{colour} sticker {number}",
                    colour,
                    1 + number * 7 % 100 / 10,
                    number % 3 != 0,
                    number,
                    # Each 40th row has the picture of the row 40 before.
                    sticker(number - 40 if number in (80, 81) else number),
                ],
            )
        connection.execute("ANALYZE shop.sticker")
        for name in ("sticker", "sticker_too"):
            made = create_collection(connection, request(name, "shop.sticker"))
            list_source(connection, made)
            Worker(dsn, name, ColorGrid(), PipelineOptions()).run()
        # Embedded, and gone since: the trigger would enqueue it anew.
        connection.execute("ALTER TABLE shop.sticker DISABLE TRIGGER USER")
        connection.execute("UPDATE shop.sticker SET picture = 'no picture' WHERE id = %s", [GONE])
        connection.execute("ALTER TABLE shop.sticker ENABLE TRIGGER USER")


class PageServer:
    """The pages on a port, which stays the same when they go and come back."""

    def __init__(self, dsn: str, collection: str) -> None:
        self._app = pages_app(dsn, TOKEN, collection)
        self._server: Any = None
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self._server = make_server("127.0.0.1", self.port, self._app, threaded=True)
        self.port = self._server.port
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
