"""What a select must be, and must not have, for its rows to be found by nearness."""

from typing import Any

import sqlalchemy as sa

from imgvec_pg.errors import UsageError

FORBIDDEN = {
    "_limit_clause": "LIMIT",
    "_offset_clause": "OFFSET",
    "_fetch_clause": "FETCH",
    "_order_by_clauses": "ORDER BY",
    "_group_by_clauses": "GROUP BY",
    "_having_criteria": "HAVING",
    "_distinct": "DISTINCT",
}
"""What would stand between the index and the LIMIT; SQLAlchemy 2.0's own attributes of a Select."""


def check_select(statement: object, caller: str) -> None:
    """Refuse what is no select of SQLAlchemy's: text(), a union, a class, a string, a Query.

    Raises:
        UsageError: It is one of these.
    """
    if not isinstance(statement, sa.Select):
        raise UsageError(
            f"{caller} was given a {type(statement).__name__}; expected a select over the collection's source, such as "
            "select(Product)"
        )


def forbidden_clause(statement: sa.Select[Any]) -> str | None:
    """Return the first clause of a select that would stand between the index and the LIMIT; None where it has none."""
    for attribute, clause in FORBIDDEN.items():
        found = getattr(statement, attribute)
        if found is not None and found is not False and found != ():
            return clause
    return None
