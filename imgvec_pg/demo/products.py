"""Products of the demo's shop: a sticker of each image, with a price, a stock and a supplier drawn by its name."""

import random
from dataclasses import dataclass

from imgvec_pg.demo.pictures import DemoPicture

SUPPLIERS = (
    {"id": 1, "name": "Blue Fern", "delivery_days": 1},
    {"id": 2, "name": "Northwind", "delivery_days": 2},
    {"id": 3, "name": "Old Mill", "delivery_days": 3},
    {"id": 4, "name": "Paper Moon", "delivery_days": 5},
    {"id": 5, "name": "Slow Boat", "delivery_days": 21},
)
PRICES = (1.0, 12.0)
SHARE_IN_STOCK = 0.75


@dataclass(frozen=True)
class Product:
    """A row of shop.product."""

    id: int
    name: str
    category: str
    price: float
    in_stock: bool
    supplier_id: int
    photo_path: str


def make_product(number: int, picture: DemoPicture) -> Product:
    """Make the product of one picture; the same picture always gets the same price, stock and supplier.

    Args:
        number: Its key.
    """
    dice = random.Random(picture.file)  # noqa: S311 - a shop, no secret
    return Product(
        id=number,
        name=picture.name,
        category=picture.category,
        price=round(dice.uniform(*PRICES), 1),
        in_stock=dice.random() < SHARE_IN_STOCK,
        supplier_id=dice.randint(1, len(SUPPLIERS)),
        photo_path=picture.file,
    )


def choose_products(products: list[Product], count: int | None, needed: set[str]) -> list[Product]:
    """Return `count` products: those whose names are needed, and others taken evenly from all categories."""
    if count is None or count >= len(products):
        return products
    first = [index for index, product in enumerate(products) if product.name in needed]
    even = [index * len(products) // count for index in range(count)]
    chosen = list(dict.fromkeys([*first, *even, *range(len(products))]))[:count]
    return [products[index] for index in sorted(chosen)]
