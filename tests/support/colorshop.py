"""A shop of one-coloured pictures; the distances of `color-grid` are worked out by hand."""

import io

import numpy as np
import numpy.typing as npt
from imgvec_test_embedder import DIMENSIONS, FINGERPRINT, NAME, ColorGrid
from PIL import Image
from psycopg import sql

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.spec import CollectionSpec

COLORS = ("red", "yellow", "green", "cyan", "blue", "magenta", "white", "black")
"""CSS "green" has 128 in its channel; lime is the pure one, used below."""
PURE = {"green": "lime"}

# 2 * (share of the channels that differ).
FROM_RED = {
    "red": 0,
    "yellow": 2 / 3,
    "magenta": 2 / 3,
    "black": 2 / 3,
    "white": 4 / 3,
    "green": 4 / 3,
    "blue": 4 / 3,
    "cyan": 2,
}


def picture(color: str, size: tuple[int, int] = (40, 30)) -> bytes:
    """Return a PNG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, PURE.get(color, color)).save(buffer, "PNG")
    return buffer.getvalue()


def embedding(*colors: str) -> npt.NDArray[np.float32]:
    """Return the vector of a picture with these colours from top to bottom."""
    return ColorGrid().embed_texts([" ".join(PURE.get(color, color) for color in colors)])[0]


def request(name: str = "product_color", relation: str = "shop.product", **changes: object) -> CollectionSpec:
    values: dict[str, object] = {
        "image": ["picture"],
        "model": NAME,
        "dimensions": DIMENSIONS,
        "has_text": True,
        **changes,
    }
    return CollectionSpec(name=name, source=relation, **values)  # type: ignore[arg-type]


def make_shop(connection: Connection) -> Collection:
    """Make shop.product with a row for each colour, all embedded; id 1 is red, and so on in COLORS' order."""
    connection.execute("CREATE SCHEMA shop")
    connection.execute(
        "CREATE TABLE shop.product (id integer PRIMARY KEY, name text NOT NULL, price numeric(8,2),"
        " in_stock boolean, details jsonb, picture bytea)"
    )
    for number, color in enumerate(COLORS, 1):
        connection.execute(
            "INSERT INTO shop.product VALUES (%s, %s, %s, %s, '{}', %s)",
            [number, f"{color} <shoe>", f"{number * 10}.50", number % 2 == 1, picture(color)],
        )
    collection = create_collection(connection, request())
    for number, color in enumerate(COLORS, 1):
        embed_row(connection, collection, [number], embedding(color))
    stamp(connection)
    return collection


def stamp(connection: Connection, fingerprint: str | None = FINGERPRINT) -> None:
    connection.execute("UPDATE imgvec.model SET fingerprint = %s", [fingerprint])


def embed_row(
    connection: Connection, collection: Collection, key: list[object], vector: npt.NDArray[np.float32]
) -> None:
    statement = sql.SQL(
        "INSERT INTO {} ({}, embedding, version, content_hash, precision) VALUES ({}, %s, 1, '', 'fp32')"
    )
    columns = sql.SQL(", ").join(map(sql.Identifier, collection.key_columns))
    table = sql.Identifier("imgvec", collection.embedding_table)
    values = sql.SQL(", ").join(sql.Placeholder() * len(key))
    connection.execute(statement.format(table, columns, values), [*key, str(vector.tolist())])
