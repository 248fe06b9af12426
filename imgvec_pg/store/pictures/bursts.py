"""Bursts of near copies that fill the list of an index scan: whether rows may be of one by their distances, and whether they are.

A graph's scan that got caught among frames of one scene gives nothing but them, while nearer rows lie elsewhere. search_* look at
the vectors of their own list (sql/collection/search.sql); a statement of the application's gives distances only, so from Python
the list is asked for its vectors where the distances do not rule a burst out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.index_methods.hnsw import MAX_EF_SEARCH
from imgvec_pg.database.sql_templates import bindable, render
from imgvec_pg.store.search_functions import BURST_DISTANCE, BURST_ROWS, BURST_SHARE

BURST_VECTORS = BURST_ROWS // 2
"""Different vectors that a burst has at least in an index over different pictures, where rows of one picture fill no list."""

BURST_SPREAD = 1 / 3
"""Share of the angle of BURST_DISTANCE (8.1 degrees) over which distances of the nearest few of a burst spread at most. Seen: 0.4
degrees of 1,000 pictures at cosine 0.9975; frames along a line differ by less, as the nearest follow one another. Of ordinary
searches, whose ten nearest spread over 3 to 7 degrees, one in ten is looked at then, and not each."""


@dataclass(frozen=True)
class ListHead:
    """The rows nearest to a query by the index, as sql/collection/list_head.sql tells them.

    Attributes:
        rows: How many there are.
        nearest: Cosine distance of the nearest from the query, 0 to 2; None without rows.
        near_copies: Share of them within BURST_DISTANCE of the one that the index gave first.
        vectors: How many different vectors they have, at least.
    """

    rows: int
    nearest: float | None
    near_copies: float | None
    vectors: int

    def is_burst(self, *, by_picture: bool) -> bool:
        """Whether they are of one burst of near copies that the query is not of.

        Args:
            by_picture: Whether the index is over different pictures.
        """
        return (
            self.rows >= BURST_ROWS
            and (self.nearest or 0) > BURST_DISTANCE
            and (self.near_copies or 0) >= BURST_SHARE
            and (not by_picture or self.vectors >= BURST_VECTORS)
        )


def list_rows(k: int, *, is_wide: bool) -> int:
    """Return how many rows of a scan's list are looked at: some more than k, or all that the widest list has."""
    return max(k, MAX_EF_SEARCH if is_wide else BURST_ROWS)


def may_be_burst(distances: Sequence[float]) -> bool:
    """Whether cosine distances from the query, 0 to 2, are those of rows of one burst, and its vectors are worth a look.

    Rows within an angle b of the nearest, which is at a, lie at a + b at most, as angles are a metric; BURST_SPREAD tells how
    much of b the nearest few of many take up.
    """
    nearest = min(distances, default=0.0)
    if nearest <= BURST_DISTANCE:
        return False
    angle = math.acos(max(-1.0, 1 - nearest)) + BURST_SPREAD * math.acos(1 - BURST_DISTANCE)
    furthest = 1 - math.cos(min(angle, math.pi))
    return sum(distance <= furthest for distance in distances) >= BURST_SHARE * len(distances)


def list_head_statement(
    near_call: sql.Composable, embedding_table: str, key_columns: Sequence[str]
) -> sql.Composed:
    """Return the statement that gives a ListHead of %(list_rows)s rows.

    Args:
        near_call: The call of a near_* function, its values bound.
    """
    same = (
        sql.SQL("e.{name} OPERATOR(pg_catalog.=) n.{name}").format(name=sql.Identifier(name))
        for name in key_columns
    )
    parts = {
        "embedding_table": sql.Identifier(embedding_table),
        "e_equals_n": sql.SQL(" AND ").join(same),
        "burst_distance": sql.Literal(BURST_DISTANCE),
    }
    return render("collection/list_head.sql", near_call=near_call, **bindable(parts))
