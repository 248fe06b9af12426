"""Which questions the demo asks."""

from dataclasses import asdict

from imgvec_pg.demo.examples import Example
from imgvec_pg.demo.products import Product

WORDS = Example("Words", 'What looks like "red fruit"?', "words.sql", words="red fruit")
WORDS_AND_COLUMNS = Example(
    "Words and columns",
    "Which musical instruments cost under 5, are in stock and come within three days?",
    "words_and_columns.sql",
    words="musical instrument",
)


def more_like(product: Product) -> Example:
    """Ask for products that look like one: its stored vector is the question, no words and no model."""
    return Example(
        "More like this one",
        f"What else looks like the {product.name}, product {product.id}?",
        "more_like_this.sql",
        values={"id": product.id},
    )


ALTERNATIVES = Example(
    "Instead of what is sold out",
    "For each of the dearest foods that are sold out: which two in stock look most like it?",
    "alternatives.sql",
)


def arrival_of(product: Product) -> Example:
    """Insert a product, as the shop's own application would."""
    return Example(
        "A new product",
        f"A {product.name} arrives. The application inserts a row and knows nothing of vectors.",
        "arrival.sql",
        values=asdict(product),
    )


def find_arrival(product: Product) -> Example:
    """Ask for the product that was inserted."""
    return Example(
        "Found",
        f'What looks like "{product.name}"?',
        "find_arrival.sql",
        words=product.name,
    )
