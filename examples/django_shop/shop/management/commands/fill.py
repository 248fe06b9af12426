"""`manage.py fill`: the demo's drawings as products, some in several sizes with one photo."""

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from private import drawings

from shop.models import Category, Product

ONE_SIZE = ("",)
SIZES = (", 5 cm", ", 8 cm", ", 12 cm", ", 20 cm")
IN_SIZES = 0.08
"""Share of the drawings that come in all sizes."""


class Command(BaseCommand):
    """Adds products until as many drawings are there as asked for."""

    help = "Fill the shop with the demo's drawings."

    def add_arguments(self, parser: CommandParser) -> None:
        """How many."""
        parser.add_argument("count", type=int)

    def handle(self, *args: object, **options: Any) -> None:  # noqa: ANN401 - Django's own signature
        """Add what is missing."""
        pictures = drawings(Path(settings.MEDIA_ROOT) / "products", options["count"])
        there = set(Product.objects.values_list("photo", flat=True))
        products = []
        for picture in pictures:
            photo = f"products/{picture.file}"
            dice = random.Random(picture.file)  # noqa: S311 - a shop, no secret
            price = Decimal(dice.randint(80, 1200)) / 100
            category, _ = Category.objects.get_or_create(name=picture.category)
            in_stock = dice.random() < 0.8
            sizes = SIZES if dice.random() < IN_SIZES else ONE_SIZE
            if photo not in there:
                products += [
                    Product(
                        name=picture.name + size,
                        category=category,
                        price=price + place,
                        in_stock=in_stock,
                        photo=photo,
                    )
                    for place, size in enumerate(sizes)
                ]
        Product.objects.bulk_create(products)
        self.stdout.write(f"{len(products)} products added, {Product.objects.count()} in the shop")
