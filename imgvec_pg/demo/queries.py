"""Names and texts of the demo's example queries."""

from dataclasses import asdict

from imgvec_pg.demo.examples import DemoQuery
from imgvec_pg.demo.products import Product

ARRIVAL = "pineapple"
"""The product that arrives while the demo runs."""
ARRIVAL_WORDS = "tropical fruit"
LIKED = "automobile"
"""The product that others are compared with."""
WORDS = DemoQuery(
    "Words", 'What looks like "green vegetable"?', "words.sql", values={"words": "green vegetable"}
)
WORDS_AND_COLUMNS = DemoQuery(
    "Words and columns",
    'Which "insect" costs under 5, is in stock and comes within three days?',
    "words_and_columns.sql",
    values={"words": "insect"},
)


def more_like(product: Product) -> DemoQuery:
    """Ask for products that look like one: its stored vector is the question, no words and no model."""
    return DemoQuery(
        "More like this one",
        f"What else looks like the {product.name}, product {product.id}?",
        "more_like_this.sql",
        values={"id": product.id},
    )


ALTERNATIVES = DemoQuery(
    "Instead of what is sold out",
    "For each of the dearest flags that are sold out: which two in stock look most like it?",
    "alternatives.sql",
)


def arrival_of(product: Product) -> DemoQuery:
    """Insert a product, as the shop's own application would."""
    return DemoQuery(
        "A new product",
        f"A {product.name} arrives. The application inserts a row and knows nothing of vectors.",
        "arrival.sql",
        values=asdict(product),
    )


FIND_ARRIVAL = DemoQuery(
    "Found", f'What looks like "{ARRIVAL_WORDS}"?', "find_arrival.sql", values={"words": ARRIVAL_WORDS}
)
"""Words that fit others too: the new one takes its place among them."""
