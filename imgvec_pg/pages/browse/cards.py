"""Rows as cards: what people call them, how near they are, how many rows have the picture."""

from collections.abc import Sequence
from dataclasses import dataclass

from imgvec_pg.flask.request_search import key_in_url
from imgvec_pg.search.display_columns import TITLES
from imgvec_pg.search.formatting import show_value, times
from imgvec_pg.search.nearest import Neighbour

PATHS = ("uri", "path", "file", "file_name", "photo", "photo_path", "image")
FACTS = 2


@dataclass(frozen=True)
class RowCard:
    """A row as the pages show it.

    Attributes:
        key: As `key_in_url` writes it.
        distance: Cosine distance, 0 to 2; None without a question.
        times: "× 12" where twelve rows have its picture.
        facts: A few of its columns' values.
    """

    key: str
    title: str
    distance: float | None
    copies: int
    times: str
    facts: Sequence[tuple[str, str]]


def make_card(row: Neighbour, order_column: str | None = None) -> RowCard:
    """Return a row's card.

    Args:
        order_column: The column by which rows are ordered: its value is shown.
    """
    columns = {name: show_value(value) for name, value in row.columns.items()}
    key = key_in_url(row.key)
    title_column = next((name for name in TITLES if columns.get(name)), None)
    title = columns[title_column] if title_column else key
    if title_column is None:
        # Of a path the file's name.
        path = next((columns[name] for name in PATHS if columns.get(name)), "")
        title = path.rsplit("/", 1)[-1] or path or key
    shown = [order_column] if order_column in columns else []
    shown += [name for name in columns if name not in (title_column, *PATHS, *shown) and columns[name]]
    facts = [(name, columns[name]) for name in shown[:FACTS] if name is not None]
    distance = None if row.distance < 0 else row.distance
    return RowCard(key, title, distance, row.copies, times(row.copies), facts)
