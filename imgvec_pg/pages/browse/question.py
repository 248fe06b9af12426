"""What a page of browse shows, read from its address and written into addresses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict

from imgvec_pg.errors import UsageError
from imgvec_pg.search.filters import PREFIXES

ADDED = ""
"""Order of what was added last, or with a question of nearness."""
MOST_CHOSEN = 200
OUTLIERS, DIFFERENT, BLANK = "outliers", "different", "blank"
SAVED = (OUTLIERS, DIFFERENT, BLANK)
"""Questions that come with the page: rows least like the rest, rows unlike each other, rows like a picture of one colour."""


@dataclass(frozen=True)
class Question:
    """The state of a page; the address has it wholly.

    Attributes:
        words: Words to be near to; "" for none.
        minus: Words to be far from.
        like: Key of a row to be near to, as `key_in_url` writes it.
        picture: Name of a picture that was uploaded (uploads.py).
        chosen: Filters, such as ("max:price", "5").
        order: A column of the source to order by, "-price" for the highest first; "" for nearness or what was added last.
        cut: With a question and an order: the cosine distance within which rows are near enough, 0 to 2; None takes one
            that suits the answer.
        all_rows: Whether rows with the same picture come each by itself.
        beside: Another collection of the same source, whose answer is shown beside.
        saved: One of SAVED, in its own order; of these only DIFFERENT goes with words, a picture or likeness. "" for none.
    """

    words: str = ""
    minus: str = ""
    like: str = ""
    picture: str = ""
    chosen: tuple[tuple[str, str], ...] = ()
    order: str = ADDED
    cut: float | None = None
    all_rows: bool = False
    beside: str = ""
    saved: str = ""

    @classmethod
    def read(cls, arguments: MultiDict[str, str]) -> Self:
        """Read an address's arguments; empty ones and those of others are passed over.

        Raises:
            UsageError: There are too many filters, the cut is no distance, or there is no such saved question.
        """
        given = [(name, value) for name, value in arguments.items(multi=True) if value.strip()]
        chosen = tuple(item for item in dict.fromkeys(given) if item[0].startswith(PREFIXES))
        if len(chosen) > MOST_CHOSEN:
            raise UsageError(f"{len(chosen)} filters are set; expected at most {MOST_CHOSEN}")
        plain = {name: value.strip() for name, value in given}
        found = cls(
            plain.get("q", ""),
            plain.get("minus", ""),
            plain.get("like", ""),
            plain.get("picture", ""),
            chosen,
            plain.get("order", ADDED),
            _read_cut(plain.get("cut")),
            plain.get("all_rows") == "1",
            plain.get("beside", ""),
            plain.get("saved", ""),
        )
        if found.saved not in ("", *SAVED):
            raise UsageError(
                f"there is no saved question {found.saved[:40]!r}; expected one of {', '.join(SAVED)}"
            )
        if found.asks and found.saved in {OUTLIERS, BLANK}:
            # Whoever then asks with words wants their answer.
            return replace(found, saved="")
        return replace(found, order=ADDED, cut=None, all_rows=False) if found.saved else found

    @property
    def asks(self) -> bool:
        """Whether it asks for nearness to something. Minus words alone do too."""
        return bool(self.words or self.minus or self.like or self.picture)

    @property
    def order_column(self) -> str | None:
        """The column to order by."""
        return self.order.removeprefix("-") or None

    @property
    def descending(self) -> bool:
        """Whether the highest come first."""
        return self.order.startswith("-")

    def arguments(self) -> list[tuple[str, str]]:
        """Return it as an address's arguments, without what is as it is by itself."""
        plain = [
            ("q", self.words),
            ("minus", self.minus),
            ("like", self.like),
            ("picture", self.picture),
            *self.chosen,
            ("order", self.order),
            ("cut", "" if self.cut is None else f"{self.cut:g}"),
            ("all_rows", "1" if self.all_rows else ""),
            ("beside", self.beside),
            ("saved", self.saved),
        ]
        return [(name, value) for name, value in plain if value]

    def address(self, path: str, **changes: Any) -> str:  # noqa: ANN401 - the fields of this class
        """Return the address of this state with changes."""
        arguments = replace(self, **changes).arguments()
        return f"{path}?{urlencode(arguments)}" if arguments else path

    def without(self, name: str, value: str) -> Sequence[tuple[str, str]]:
        """Return the filters without one of them."""
        return tuple(item for item in self.chosen if item != (name, value))


def _read_cut(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        cut = float(text)
    except ValueError:
        cut = -1.0
    if not 0 <= cut <= 2:
        raise UsageError(f"the cut is {text[:20]!r}; expected a cosine distance, 0 to 2")
    return cut
