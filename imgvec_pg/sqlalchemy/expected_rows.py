"""How many rows PostgreSQL expects of a select: EXPLAIN as an SQLAlchemy statement, and what its answer says."""

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ClauseElement, Executable
from sqlalchemy.sql.visitors import InternalTraversal

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

PLAN_ROWS = re.compile(r" rows=(\d+) ")


def expected_rows(line: str) -> float:
    """Return the rows expected of a plan, from the first line of its EXPLAIN."""
    found = PLAN_ROWS.search(line)
    assert found is not None  # noqa: S101 - EXPLAIN's first line is the top node's
    return float(found[1])


class Explain(Executable, ClauseElement):
    """EXPLAIN of a statement with its values, as text: as JSON it takes a tenth longer."""

    # What SQLAlchemy needs to compile each statement once, and to bind the values of the next one like it.
    inherit_cache = True
    _traverse_internals = [("statement", InternalTraversal.dp_clauseelement)]  # noqa: RUF012

    def __init__(self, statement: sa.Select[Any]) -> None:
        self.statement = statement

    @property
    def _all_selected_columns(self) -> tuple[()]:
        """None of the statement's columns are in the answer; SQLAlchemy asks where it compiled the statement before."""
        return ()


@compiles(Explain)  # type: ignore[no-untyped-call, untyped-decorator, unused-ignore]
def _compile_explain(element: Explain, compiler: "SQLCompiler", **options: Any) -> str:  # noqa: ANN401
    return "EXPLAIN " + compiler.process(element.statement, **options)
