"""The demo's photographs: eleven that the package ships, and altered copies of each, in a table and a collection of their own."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from psycopg.types.json import Jsonb

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.demo.examples import DemoQuery
from imgvec_pg.embedding.packaged_weights import LITE
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.collection_ddl import create_collection
from imgvec_pg.store.integrity.reconcile import list_source
from imgvec_pg.store.registry import find_collections
from imgvec_pg.store.spec import CollectionSpec

COLLECTION = "photograph_lite"
SHIPPED = Path(__file__).with_name("photographs")
ORIGINAL = "as it is"


def _watermarked(image: Image.Image) -> Image.Image:
    drawn = image.copy()
    pen = ImageDraw.Draw(drawn)
    for place in range(-image.height, image.width, 60):
        pen.line([(place, image.height), (place + image.height, 0)], fill=(255, 255, 255), width=3)
    return drawn


def _warmer(image: Image.Image) -> Image.Image:
    red, green, blue = image.split()
    red, blue = red.point(lambda value: min(255, value * 5 // 4)), blue.point(lambda value: value * 4 // 5)
    return Image.merge("RGB", (red, green, blue))


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    ORIGINAL: lambda image: image,
    "mirrored": ImageOps.mirror,
    "cropped": lambda image: ImageOps.crop(image, min(image.size) // 10),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    "smaller": lambda image: image.resize((image.width // 3, image.height // 3), Image.Resampling.LANCZOS),
    "warmer": _warmer,
    "watermarked": _watermarked,
}
"""By what is told of them; each becomes a file of its own."""

MORE_LIKE_THIS = DemoQuery(
    "More like this photograph",
    "Which photographs look like the cat, as it is?",
    "photographs_like.sql",
    values={"file": "cat-0.jpg"},
)
RECOGNISED = DemoQuery(
    "Which photograph was this?",
    "Of each way to alter a photograph: how many are nearest to their own original?",
    "photographs_recognised.sql",
)
DUPLICATES = DemoQuery(
    "Duplicates",
    "Which files are the rocket's near-duplicates, within a distance of 0.3?",
    "photographs_duplicates.sql",
    values={"file": "rocket-0.jpg", "distance": 0.3},
)
QUERIES = (MORE_LIKE_THIS, DUPLICATES, RECOGNISED)


def write_photographs(folder: Path) -> list[dict[str, object]]:
    """Write originals and altered copies as files, where they are missing, and return the rows of the table.

    Args:
        folder: Created where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for shipped in sorted(SHIPPED.glob("*.jpg")):
        with Image.open(shipped) as opened:
            image = opened.convert("RGB")
        for number, (title, alter) in enumerate(ALTERATIONS.items()):
            path = folder / f"{shipped.stem}-{number}.jpg"
            if not path.exists() or path.stat().st_size == 0:
                # Renamed into place: ctrl-C must not leave half a picture that the next run keeps.
                partial = path.with_suffix(".partial")
                alter(image).save(partial, "JPEG", quality=85)
                partial.replace(path)
            rows.append({"id": len(rows) + 1, "shows": shipped.stem, "altered": title, "file": path.name})
    return rows


def open_photographs(connection: Connection, rows: list[dict[str, object]], folder: Path) -> Collection:
    """Make table and collection where they are missing, and enqueue what is not embedded."""
    with connection.transaction():
        connection.execute(load_sql("demo/photographs.sql"))
        connection.execute(load_sql("demo/photographs_rows.sql"), {"photographs": Jsonb(rows)})
    found = find_collections(connection, COLLECTION)
    spec = CollectionSpec(COLLECTION, "shop.photograph", "file", LITE, root=str(folder))
    collection = found[0] if found else create_collection(connection, spec)
    list_source(connection, collection)
    return collection
